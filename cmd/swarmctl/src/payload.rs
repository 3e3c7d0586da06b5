//! `secret …` and `config …`: named pieces of data that tasks get as files.

mod entry;

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

pub use self::entry::Kind;
use self::entry::{Entry, New};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::out::inspect::{self, InspectArgs, all_of};
use crate::out::listing::{ListArgs, Listing, Row};
use crate::out::{self, human};
use crate::parse::filter::Filters;
use crate::parse::keyed;

/// More than the cluster takes of either kind; stops an endless input.
const DATA_BYTES_MAX: u64 = 2 << 20;

/// Commands about either kind.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create one from a file, or from standard input with "-"
    Create(CreateArgs),
    /// List
    #[command(alias = "list")]
    Ls(LsArgs),
    /// Show everything but the value of secrets
    Inspect {
        /// Names or ids
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        args: InspectArgs,
    },
    /// Remove
    #[command(alias = "remove")]
    Rm {
        /// Names or ids
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Flags of `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Label (may be repeated)
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Plugin that has the value (secrets only)
    #[arg(short, long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Template language of the value
    #[arg(long, value_name = "DRIVER")]
    template_driver: Option<String>,
    /// Name
    name: String,
    /// File with the value, or "-"
    file: Option<PathBuf>,
}

/// Flags of `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListArgs,
}

/// Runs one of them.
///
/// # Errors
/// If it cannot be done.
pub async fn run(client: &Client, kind: Kind, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(client, kind, &args).await,
        Command::Ls(args) => ls(client, kind, &args.list).await,
        Command::Inspect { names, args } => {
            let mut found = Vec::new();
            for name in &names {
                found.push(kind.find(client, name).await.map(|entry| entry.shown()));
            }
            inspect::print(found, &args)
        }
        Command::Rm { names } => {
            let mut errors = Vec::new();
            for name in &names {
                match kind.remove(client, name).await {
                    Ok(()) => out::print(name)?,
                    Err(error) => errors.push(error),
                }
            }
            all_of(errors)
        }
    }
}

async fn create(client: &Client, kind: Kind, args: &CreateArgs) -> Result<()> {
    if args.driver.is_some() && kind == Kind::Config {
        return Err(CliError::Usage(
            "--driver: only secrets can come from a plugin".into(),
        ));
    }
    let data = match (&args.file, &args.driver) {
        (Some(path), None) => read(path)?,
        (None, Some(_)) => Vec::new(),
        (Some(_), Some(_)) => {
            let text = "--driver: the plugin has the value; leave the file out";
            return Err(CliError::Usage(text.into()));
        }
        (None, None) => {
            let text = format!("give the file with the value of {}, or \"-\"", args.name);
            return Err(CliError::Usage(text));
        }
    };
    let refuse = |why| CliError::flag("label", &args.labels.join(" "), why);
    let new = New {
        name: args.name.clone(),
        labels: keyed::labels(&args.labels).map_err(refuse)?,
        data,
        driver: args.driver.clone(),
        templating: args.template_driver.clone(),
    };
    out::print(&kind.create(client, new).await?)
}

fn read(path: &std::path::Path) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let failed = |e: std::io::Error| {
        CliError::Failed(format!(
            "cannot read the value from {}: {e}",
            path.display()
        ))
    };
    if path.as_os_str() == "-" {
        std::io::stdin()
            .take(DATA_BYTES_MAX)
            .read_to_end(&mut data)
            .map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(DATA_BYTES_MAX)
            .read_to_end(&mut data)
            .map_err(failed)?;
    }
    Ok(data)
}

async fn ls(client: &Client, kind: Kind, args: &ListArgs) -> Result<()> {
    let filters = Filters::parse(&args.filter, &["id", "name", "label"])?;
    let mut entries = kind.list(client, &filters).await?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    out::print(&listing(kind, &entries, human::now()).render(args)?)
}

fn listing(kind: Kind, entries: &[Entry], now: types::Timestamp) -> Listing {
    let row = |entry: &Entry| {
        let labels: Vec<_> = entry
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        Row::from_iter([
            ("ID".to_owned(), json!(entry.id)),
            ("Name".to_owned(), json!(entry.name)),
            ("Driver".to_owned(), json!(entry.driver)),
            (
                "CreatedAt".to_owned(),
                json!(human::ago(entry.created, now)),
            ),
            (
                "UpdatedAt".to_owned(),
                json!(human::ago(entry.updated, now)),
            ),
            ("Labels".to_owned(), json!(labels.join(","))),
        ])
    };
    let columns: &[_] = match kind {
        Kind::Secret => &[
            ("ID", "ID"),
            ("Name", "NAME"),
            ("Driver", "DRIVER"),
            ("CreatedAt", "CREATED"),
            ("UpdatedAt", "UPDATED"),
        ],
        Kind::Config => &[
            ("ID", "ID"),
            ("Name", "NAME"),
            ("CreatedAt", "CREATED"),
            ("UpdatedAt", "UPDATED"),
        ],
    };
    Listing {
        columns,
        extra: &[("Labels", "LABELS")],
        table: None,
        rows: entries.iter().map(row).collect(),
    }
}
