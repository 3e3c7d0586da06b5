//! `service logs SERVICE|TASK`.

mod lines;
mod names;

use std::io::Write;
use std::time::Duration;

use clap::Args;
use types::Timestamp;
use wire::api;

use self::lines::{Assembler, Line};
use self::names::{Names, Prefix};
use crate::client::{Client, call, lost};
use crate::error::{CliError, Result};
use crate::out::human;
use crate::parse::scalar;
use crate::resolve;

/// How the status begins that ends a stream with lines missing.
const INCOMPLETE: &str = "warning: incomplete log stream";

/// Flags of `service logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Go on with new output
    #[arg(short, long)]
    follow: bool,
    /// Number of lines from the end of each task's output
    #[arg(short = 'n', long, value_name = "N", value_parser = tail, default_value = "all")]
    tail: Tail,
    /// Only output since a time (2026-01-02T13:23:37Z) or a duration ago (42m)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Show times
    #[arg(short, long)]
    timestamps: bool,
    /// Show only the output
    #[arg(long)]
    raw: bool,
    /// Leave task ids out
    #[arg(long)]
    no_task_ids: bool,
    /// Do not turn ids into names
    #[arg(long)]
    no_resolve: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Show the attributes that the logging driver kept
    #[arg(long)]
    details: bool,
    /// Service or task, by name or id
    #[arg(value_name = "SERVICE|TASK")]
    target: String,
}

/// Which lines from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    All,
    Last(u32),
}

impl Tail {
    /// The wire counts from the end with negative numbers, where -1 is none.
    fn number(self) -> i64 {
        match self {
            Self::All => 0,
            Self::Last(lines) => -1 - i64::from(lines),
        }
    }
}

fn tail(text: &str) -> std::result::Result<Tail, String> {
    match text {
        "all" | "-1" => Ok(Tail::All),
        _ => text
            .parse()
            .map(Tail::Last)
            .map_err(|_| "expected a number of lines or all".into()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Moment(Timestamp),
    Ago(Duration),
}

impl Since {
    fn moment(self) -> Timestamp {
        match self {
            Self::Moment(moment) => moment,
            Self::Ago(length) => human::now().minus(length),
        }
    }
}

fn since(text: &str) -> std::result::Result<Since, String> {
    if let Ok(length) = scalar::duration(text) {
        return Ok(Since::Ago(length));
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Since::Moment(Timestamp::from_secs(seconds)));
    }
    let moment = text.parse::<prost_types::Timestamp>();
    let moment = moment.map_err(|_| "expected 2026-01-02T13:23:37Z, seconds or a duration ago")?;
    Ok(Since::Moment(human::moment(Some(&moment))))
}

/// Shows output until there is no more.
///
/// # Errors
/// If there is no such service or task, or the manager cannot be asked.
pub async fn run(client: &Client, args: &LogsArgs) -> Result<()> {
    const ATTEMPT: &str = "read the logs";
    let request = api::SubscribeLogsRequest {
        selector: Some(selector(client, &args.target).await?),
        options: Some(api::LogSubscriptionOptions {
            streams: Vec::new(),
            follow: args.follow,
            tail: args.tail.number(),
            since: args
                .since
                .and_then(|since| wire::convert::timestamp(since.moment())),
        }),
    };
    let mut stream = call(ATTEMPT, client.logs().subscribe_logs(request)).await?;
    let mut printer = Printer {
        names: Names::new(client.clone()),
        args,
    };
    let mut assembler = Assembler::default();
    let ended = loop {
        match stream.message().await {
            Ok(Some(batch)) => {
                for message in batch.messages {
                    for line in assembler.take(message) {
                        printer.print(&line).await?;
                    }
                }
            }
            Ok(None) => break Ok(()),
            Err(status) => break Err(lost(status)),
        }
    };
    for line in assembler.finish() {
        printer.print(&line).await?;
    }
    match ended {
        Ok(()) => Ok(()),
        Err(status) if status.message().starts_with(INCOMPLETE) => {
            eprintln!("{}", status.message());
            Ok(())
        }
        Err(status) => Err(CliError::call(ATTEMPT, &status)),
    }
}

/// A service comes before a task of the same name.
async fn selector(client: &Client, target: &str) -> Result<api::LogSelector> {
    match resolve::service(client, target).await {
        Ok(service) => {
            let service_ids = vec![service.id];
            return Ok(api::LogSelector {
                service_ids,
                ..<_>::default()
            });
        }
        Err(CliError::NoSuch { .. }) => {}
        Err(error) => return Err(error),
    }
    match resolve::task(client, target).await {
        Ok(task) => Ok(api::LogSelector {
            task_ids: vec![task.id],
            ..<_>::default()
        }),
        Err(CliError::NoSuch { .. }) => Err(CliError::NoSuch {
            kind: "service or task",
            wanted: target.to_owned(),
        }),
        Err(error) => Err(error),
    }
}

struct Printer<'a> {
    names: Names,
    args: &'a LogsArgs,
}

impl Printer<'_> {
    async fn print(&mut self, line: &Line) -> Result<()> {
        let mut text = Vec::new();
        if self.args.timestamps {
            text.extend_from_slice(format!("{} ", line.at).as_bytes());
        }
        if !self.args.raw {
            let prefix = Prefix {
                task_ids: !self.args.no_task_ids,
                whole_ids: self.args.no_trunc,
                ids_only: self.args.no_resolve,
            };
            text.extend_from_slice(self.names.prefix(&line.context, prefix).await.as_bytes());
        }
        if self.args.details && !line.attrs.is_empty() {
            text.extend_from_slice(format!("{} ", line.attrs).as_bytes());
        }
        text.extend_from_slice(&line.data);
        text.push(b'\n');
        if line.stderr {
            std::io::stderr().write_all(&text)?;
        } else {
            std::io::stdout().write_all(&text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_counted_as_the_wire_does() {
        assert_eq!(tail("all").unwrap().number(), 0);
        assert_eq!(tail("0").unwrap().number(), -1);
        assert_eq!(tail("10").unwrap().number(), -11);
        assert!(tail("ten").is_err());
    }

    #[test]
    fn times_are_moments_or_lengths() {
        assert_eq!(since("42m"), Ok(Since::Ago(Duration::from_secs(2520))));
        assert_eq!(since("1000"), Ok(Since::Moment(Timestamp::from_secs(1000))));
        let moment = Timestamp::from_secs(1_767_360_217);
        assert_eq!(since("2026-01-02T13:23:37Z"), Ok(Since::Moment(moment)));
        assert!(since("yesterday").is_err());
    }
}
