//! Getting images onto the node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use executor::ExecError;
use futures_util::StreamExt;
use types::ContainerSpec;

use crate::engine::{Engine, is_not_found, words};

/// When images are pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Only what is not on the node. A tag that moved in the registry is not seen; services that
    /// need that name a digest.
    #[default]
    Missing,
    /// Always asks the registry first, except for digests that are on the node. When the registry
    /// does not answer, what is on the node is used.
    Always,
}

/// Pulls images, each at most once at a time.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// One lock per image that is being pulled: ten tasks of one service make one pull.
    pulls: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Images {
    /// Pulls before the container is created, where the policy says so. A failure is not fatal
    /// here: it is returned as words for the case that the image is not on the node either.
    pub(crate) async fn refresh(
        &self,
        engine: &Engine,
        spec: &ContainerSpec,
        policy: PullPolicy,
    ) -> Option<String> {
        if policy == PullPolicy::Missing {
            return None;
        }
        if spec.image.contains('@') && is_present(engine, &spec.image).await {
            return None;
        }
        let lock = self.lock(&spec.image);
        let _alone = lock.lock().await;
        let error = pull(engine, spec).await.err();
        if let Some(error) = &error {
            tracing::warn!(
                image = spec.image,
                error,
                "using what is on the node, pull failed"
            );
        }
        error
    }

    /// Pulls an image that is not on the node.
    pub(crate) async fn fetch(
        &self,
        engine: &Engine,
        spec: &ContainerSpec,
    ) -> Result<(), ExecError> {
        let lock = self.lock(&spec.image);
        let _alone = lock.lock().await;
        if is_present(engine, &spec.image).await {
            return Ok(());
        }
        pull(engine, spec)
            .await
            .map_err(|error| not_here(&spec.image, &error))
    }

    fn lock(&self, image: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(pulls.entry(image.to_owned()).or_default())
    }
}

/// The verdict on an image that is neither here nor to be had.
pub(crate) fn not_here(image: &str, error: &str) -> ExecError {
    ExecError::rejected(format!(
        "image {image:?} is not on this node and could not be pulled: {error}"
    ))
}

async fn is_present(engine: &Engine, image: &str) -> bool {
    match engine.docker.inspect_image(image).await {
        Ok(_) => true,
        Err(error) => {
            if !is_not_found(&error) {
                tracing::debug!(image, error = words(&error), "cannot inspect the image");
            }
            false
        }
    }
}

async fn pull(engine: &Engine, spec: &ContainerSpec) -> Result<(), String> {
    let (name, tag) = split_reference(&spec.image);
    let options = CreateImageOptionsBuilder::default()
        .from_image(name)
        .tag(tag)
        .build();
    let credentials = match &spec.pull_options {
        Some(options) if !options.registry_auth.is_empty() => {
            Some(credentials(&options.registry_auth)?)
        }
        _ => None,
    };
    let mut progress = Box::pin(engine.docker.create_image(Some(options), None, credentials));
    while let Some(step) = progress.next().await {
        let step = step.map_err(|error| words(&error))?;
        if let Some(detail) = step.error_detail {
            return Err(detail
                .message
                .unwrap_or_else(|| "the registry gave no reason".to_owned()));
        }
    }
    Ok(())
}

/// Name and tag or digest of a reference; without either the tag is `latest`, as an empty one
/// would pull every tag there is.
fn split_reference(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (without_tag(name), digest);
    }
    let name = without_tag(image);
    match image.get(name.len() + 1..) {
        Some(tag) if !tag.is_empty() => (name, tag),
        _ => (name, "latest"),
    }
}

/// The reference up to its tag. A colon before the last slash belongs to a registry's port.
fn without_tag(image: &str) -> &str {
    let last_part = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[last_part..].find(':') {
        Some(colon) => &image[..last_part + colon],
        None => image,
    }
}

/// Reads registry credentials: JSON in base64, of whichever alphabet and padding.
fn credentials(encoded: &str) -> Result<DockerCredentials, String> {
    let decode = |engine: &base64::engine::GeneralPurpose| engine.decode(encoded).ok();
    let json = [URL_SAFE, STANDARD, URL_SAFE_NO_PAD, STANDARD_NO_PAD]
        .iter()
        .find_map(decode)
        .ok_or("the registry credentials are not base64")?;
    // The reason would quote the credentials.
    serde_json::from_slice(&json).map_err(|_| "the registry credentials are not JSON".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_split_into_name_and_tag_or_digest() {
        for (image, parts) in [
            ("busybox", ("busybox", "latest")),
            ("busybox:1.36", ("busybox", "1.36")),
            ("host:5000/a/b", ("host:5000/a/b", "latest")),
            ("host:5000/a/b:v1", ("host:5000/a/b", "v1")),
            ("a/b:v1@sha256:00ff", ("a/b", "sha256:00ff")),
            ("a@sha256:00ff", ("a", "sha256:00ff")),
        ] {
            assert_eq!(split_reference(image), parts, "{image}");
        }
    }

    #[test]
    fn credentials_read_in_either_alphabet_and_never_show_in_errors() {
        let json = br#"{"username":"u??>","password":"canary"}"#;
        for encoded in [URL_SAFE.encode(json), STANDARD_NO_PAD.encode(json)] {
            let read = credentials(&encoded).unwrap();
            assert_eq!(read.username.as_deref(), Some("u??>"));
            assert_eq!(read.password.as_deref(), Some("canary"));
        }
        let error = credentials(&URL_SAFE.encode(b"canary")).unwrap_err();
        assert!(!error.contains("canary"));
        assert!(credentials("%%%").is_err());
    }
}
