//! Whole objects as JSON, through a template, or laid out for reading.

use serde_json::Value;

use super::listing::unescape;
use super::pretty;
use super::template::Template;
use crate::error::{CliError, Result};

/// Flags of every command that inspects.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct InspectArgs {
    /// "json" for one object in a line, or a Go template such as '{{json .Spec}}'
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Lay the objects out for reading
    #[arg(long, conflicts_with = "format")]
    pub pretty: bool,
}

/// Prints what was found, then fails if something was not.
///
/// # Errors
/// If an object was not found or the format is no template for the objects.
pub fn print(found: Vec<Result<Value>>, args: &InspectArgs) -> Result<()> {
    let mut objects = Vec::new();
    let mut missing = Vec::new();
    for one in found {
        match one {
            Ok(object) => objects.push(object),
            Err(error) => missing.push(error),
        }
    }
    if !objects.is_empty() || missing.is_empty() {
        super::print(&render(&objects, args)?)?;
    }
    all_of(missing)
}

/// No error, the only one, or all of them in one sentence.
///
/// # Errors
/// If there is one.
pub fn all_of(mut errors: Vec<CliError>) -> Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => {
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Err(CliError::Failed(texts.join("; ")))
        }
    }
}

fn render(objects: &[Value], args: &InspectArgs) -> Result<String> {
    if args.pretty {
        return Ok(objects
            .iter()
            .map(pretty::layout)
            .collect::<Vec<_>>()
            .join("\n"));
    }
    match args.format.as_deref() {
        None | Some("") => Ok(format!("{:#}", Value::from(objects.to_vec()))),
        Some("json") => Ok(objects.iter().map(|object| format!("{object}\n")).collect()),
        Some(format) => {
            let template = Template::parse(&unescape(format))?;
            let lines = objects
                .iter()
                .map(|object| Ok(template.render(object)? + "\n"));
            lines.collect()
        }
    }
}
