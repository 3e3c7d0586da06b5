//! Credentials for an image's registry, from what `docker login` has stored.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::error::{CliError, Result};

/// Docker Hub under the name that `docker login` stores.
const HUB: &str = "https://index.docker.io/v1/";

/// The header that engines take, for the registry of an image; `None` if there are no credentials.
///
/// # Errors
/// If the stored credentials cannot be read.
pub fn auth(image: &str) -> Result<Option<String>> {
    let path = config_path();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(&path, &e.to_string())),
    };
    let config: Value =
        serde_json::from_str(&text).map_err(|e| unreadable(&path, &e.to_string()))?;
    let registry = registry_of(image);
    if let Some(helper) = helper_for(&config, &registry) {
        return from_helper(&helper, &registry);
    }
    stored(&config, &registry).map_err(|why| unreadable(&path, &why))
}

fn config_path() -> PathBuf {
    let dir = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".docker");
    dir.unwrap_or_else(home).join("config.json")
}

fn unreadable(path: &std::path::Path, why: &str) -> CliError {
    let path = path.display();
    CliError::Failed(format!(
        "cannot read registry credentials from {path}: {why}"
    ))
}

/// The registry of an image: its first part if that is a host, else Docker Hub.
fn registry_of(image: &str) -> String {
    match image.split_once('/') {
        Some(("docker.io" | "index.docker.io", _)) => HUB.to_owned(),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host.to_owned(),
        _ => HUB.to_owned(),
    }
}

fn helper_for(config: &Value, registry: &str) -> Option<String> {
    let own = config
        .get("credHelpers")
        .and_then(|helpers| helpers.get(registry));
    let helper = own.or_else(|| config.get("credsStore"))?.as_str()?;
    (!helper.is_empty()).then(|| helper.to_owned())
}

fn stored(config: &Value, registry: &str) -> std::result::Result<Option<String>, String> {
    let auths = config.get("auths").and_then(Value::as_object);
    let host = |name: &str| {
        let name = name
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        name.split('/').next().unwrap_or(name).to_owned()
    };
    let entry = auths.and_then(|all| {
        let same = all.iter().find(|(name, _)| host(name) == host(registry));
        all.get(registry).or(same.map(|(_, entry)| entry))
    });
    let Some(entry) = entry else { return Ok(None) };
    if let Some(token) = entry.get("identitytoken").and_then(Value::as_str) {
        return Ok(Some(header(
            &json!({"identitytoken": token, "serveraddress": registry}),
        )));
    }
    let Some(auth) = entry.get("auth").and_then(Value::as_str) else {
        return Ok(None);
    };
    let decoded = STANDARD
        .decode(auth)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) = pair.ok_or_else(|| format!("the entry of {registry} is damaged"))?;
    let password = password.trim_end_matches('\0');
    let auth = json!({"username": user, "password": password, "serveraddress": registry});
    Ok(Some(header(&auth)))
}

fn header(auth: &Value) -> String {
    URL_SAFE.encode(auth.to_string())
}

/// Asks a credential helper as Docker's command line does: the registry on its standard input.
fn from_helper(helper: &str, registry: &str) -> Result<Option<String>> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| CliError::Failed(format!("cannot ask {program}: {why}"));
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(registry.as_bytes())
            .map_err(|e| failed(e.to_string()))?;
    }
    let output = child
        .wait_with_output()
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        // Helpers answer so for a registry that nobody logged in to.
        return Ok(None);
    }
    let answer: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| failed(e.to_string()))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let auth = match text("Username") {
        "<token>" => json!({"identitytoken": text("Secret"), "serveraddress": registry}),
        user => json!({
            "username": user, "password": text("Secret"), "serveraddress": registry,
        }),
    };
    Ok(Some(header(&auth)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_first_part_if_it_is_a_host() {
        for (image, registry) in [
            ("nginx", HUB),
            ("library/nginx:1", HUB),
            ("docker.io/library/nginx", HUB),
            ("ghcr.io/a/b", "ghcr.io"),
            ("localhost/a", "localhost"),
            ("host:5000/a", "host:5000"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }

    #[test]
    fn stored_credentials_become_the_engines_header() {
        let auth = STANDARD.encode("me:secret");
        let config = json!({"auths": {"https://ghcr.io": {"auth": auth}}});
        let header = stored(&config, "ghcr.io").unwrap().unwrap();
        let decoded: Value = serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        let expected = json!({"username": "me", "password": "secret", "serveraddress": "ghcr.io"});
        assert_eq!(decoded, expected);
        assert_eq!(stored(&config, "quay.io"), Ok(None));
        let config = json!({"auths": {"ghcr.io": {"auth": "%%"}}});
        assert!(stored(&config, "ghcr.io").is_err());
    }
}
