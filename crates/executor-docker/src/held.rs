//! The images that the engine holds, as this node reports them for placement.

use std::time::{Duration, Instant};

use bollard::models::ImageSummary;
use bollard::query_parameters::ListImagesOptions;
use tokio::sync::Mutex;
use types::node::{IMAGES_BYTES_MAX, IMAGES_MAX};

use crate::engine::Engine;

/// Least time between two looks. Each change of the list is a write of the node's record.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// What an image without a name is called.
const NAMELESS: &str = "<none>";

/// The images held, as of the last look.
#[derive(Debug, Default)]
pub(crate) struct Held {
    last: Mutex<Option<(Instant, String)>>,
}

impl Held {
    /// Names with tags, the newest image first, separated by blanks. An engine that does not
    /// answer leaves it at what was seen last.
    pub(crate) async fn names(&self, engine: &Engine) -> String {
        let mut last = self.last.lock().await;
        let known = match &*last {
            Some((at, names)) if at.elapsed() < LOOK_PERIOD => return names.clone(),
            Some((_, names)) => names.clone(),
            None => String::new(),
        };
        let listed = engine.docker.list_images(None::<ListImagesOptions>).await;
        let names = match listed {
            Ok(images) => names(images),
            Err(error) => {
                tracing::debug!(%error, "cannot list the images");
                known
            }
        };
        *last = Some((Instant::now(), names.clone()));
        names
    }
}

fn names(images: Vec<ImageSummary>) -> String {
    let mut named: Vec<(i64, String)> = images
        .into_iter()
        .flat_map(|image| {
            let created = image.created;
            image.repo_tags.into_iter().map(move |tag| (-created, tag))
        })
        .filter(|(_, tag)| !tag.starts_with(NAMELESS) && !tag.contains(' '))
        .collect();
    named.sort();
    let mut list = String::new();
    for (_, tag) in named.into_iter().take(IMAGES_MAX) {
        if list.len() + 1 + tag.len() > IMAGES_BYTES_MAX {
            break;
        }
        if !list.is_empty() {
            list.push(' ');
        }
        list.push_str(&tag);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(created: i64, tags: &[&str]) -> ImageSummary {
        ImageSummary {
            created,
            repo_tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            ..ImageSummary::default()
        }
    }

    #[test]
    fn the_newest_come_first_and_nameless_ones_not_at_all() {
        let images = vec![
            image(1, &["old:1"]),
            image(3, &["new:2", "new:latest"]),
            image(2, &["<none>:<none>"]),
            image(9, &[]),
        ];
        assert_eq!(names(images), "new:2 new:latest old:1");
    }

    #[test]
    fn the_list_is_bounded_in_number_and_size() {
        let many = (0..100).map(|n| image(n, &[&format!("app:{n}")]));
        let list = names(many.collect());
        assert_eq!(list.split(' ').count(), IMAGES_MAX);
        assert!(list.starts_with("app:99 "));
        let long = (0..100).map(|n| image(n, &[&format!("{}:{n}", "x".repeat(300))]));
        assert!(names(long.collect()).len() <= IMAGES_BYTES_MAX);
    }
}
