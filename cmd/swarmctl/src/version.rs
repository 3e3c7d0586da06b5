//! `version`.

use std::path::Path;

use serde_json::{Value, json};
use wire::swarm::v1 as pb;

use crate::client::{Client, call};
use crate::error::Result;
use crate::out;
use crate::out::listing::unescape;
use crate::out::template::Template;

/// Flags of `version`.
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// "json" or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// Shows both versions; a manager that cannot be reached is said to be so and is no failure.
///
/// # Errors
/// If the format is no template.
pub async fn run(socket: &Path, args: &VersionArgs) -> Result<()> {
    let server = server(socket).await;
    let version = match &server {
        Ok(version) => Value::from(version.clone()),
        Err(_) => Value::Null,
    };
    let value = json!({
        "Client": {"Version": env!("CARGO_PKG_VERSION")},
        "Server": {"Version": version},
    });
    match args.format.as_deref() {
        Some("json") => out::print(&value.to_string()),
        Some(format) => out::print(&Template::parse(&unescape(format))?.render(&value)?),
        None => {
            let server = server.unwrap_or_else(|why| why.to_string());
            out::print(&format!(
                "Client: {}\nServer: {server}",
                env!("CARGO_PKG_VERSION")
            ))
        }
    }
}

async fn server(socket: &Path) -> Result<String> {
    let client = Client::connect(socket).await?;
    let request = pb::StatusRequest {};
    let status = call("ask for the version", client.cluster().status(request)).await?;
    Ok(status.version)
}
