//! Images that nodes say they hold.
//!
//! Our agents report them in an engine label; stock engines report none. What is not reported is
//! not there, as far as placement goes: an image is then pulled where it may already be.

use types::Node;
use types::node::IMAGES_LABEL;

/// Registry and repository that references leave out.
const IMPLIED: [&str; 3] = ["docker.io/library/", "docker.io/", "index.docker.io/"];

/// Names with tags of the images that a node says it holds.
pub(crate) fn held(node: &Node) -> impl Iterator<Item = &str> {
    let described = node.description.as_deref();
    let label = described.and_then(|d| d.engine.labels.get(IMAGES_LABEL));
    label
        .map(String::as_str)
        .unwrap_or_default()
        .split(' ')
        .filter(|i| !i.is_empty())
}

/// The name without its tag.
pub(crate) fn without_tag(image: &str) -> &str {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// A reference as nodes report it: without digest and what is implied, with its tag. `None` if it
/// names no tag and is pinned by digest: nodes report tags.
pub(crate) fn normal(reference: &str) -> Option<String> {
    let (name, pinned) = match reference.split_once('@') {
        Some((name, _)) => (name, true),
        None => (reference, false),
    };
    let implied = IMPLIED.iter().find_map(|prefix| name.strip_prefix(prefix));
    let name = implied.unwrap_or(name);
    if name.is_empty() {
        return None;
    }
    match (without_tag(name) == name, pinned) {
        (true, true) => None,
        (true, false) => Some(format!("{name}:latest")),
        (false, _) => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_engines_list_them() {
        for (reference, want) in [
            ("redis", Some("redis:latest")),
            ("redis:7", Some("redis:7")),
            ("docker.io/library/redis:7", Some("redis:7")),
            ("docker.io/grafana/loki", Some("grafana/loki:latest")),
            ("localhost:5000/app", Some("localhost:5000/app:latest")),
            ("redis:7@sha256:00", Some("redis:7")),
            ("redis@sha256:00", None),
            ("", None),
        ] {
            assert_eq!(normal(reference).as_deref(), want, "{reference}");
        }
        assert_eq!(without_tag("localhost:5000/app"), "localhost:5000/app");
        assert_eq!(without_tag("localhost:5000/app:1"), "localhost:5000/app");
    }
}
