//! `service logs SERVICE|TASK`.

mod lines;
mod names;

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use tonic::{Code, Status};
use types::Timestamp;
use wire::{Seen, api};

use self::lines::{Assembler, Line};
use self::names::{Names, Prefix};
use crate::client::{CALL_TIMEOUT, Client, lost};
use crate::error::{CliError, Result};
use crate::out::{self, human};
use crate::parse::scalar;
use crate::resolve;

/// How the status begins that ends a stream with lines missing.
const INCOMPLETE: &str = "warning: incomplete log stream";

/// Whoever follows tries this long to go on after a stream broke: far longer than a vote takes.
const RESUME_MAX: Duration = Duration::from_secs(60);

/// Pause before a stream that broke is taken up again.
const RESUME_PAUSE: Duration = Duration::from_millis(200);

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

const ATTEMPT: &str = "read the logs";

/// Shows output until there is no more.
///
/// # Errors
/// If there is no such service or task, or the manager cannot be asked.
pub async fn run(client: &Client, args: &LogsArgs) -> Result<()> {
    let mut reading = Reading {
        client: client.clone(),
        selector: selector(client, &args.target).await?,
        args,
        printer: Printer {
            names: Names::new(client.clone()),
            args,
        },
        assembler: Assembler::default(),
        seen: Seen::new(human::now(), args.tail == Tail::All),
        is_first: true,
    };
    let ended = reading.until_over().await;
    for line in std::mem::take(&mut reading.assembler).finish() {
        reading.printer.print(&line).await?;
    }
    match ended {
        Err(End::Status(status)) if status.message().starts_with(INCOMPLETE) => {
            out::note(status.message());
            Ok(())
        }
        Err(End::Status(status)) => Err(CliError::call(ATTEMPT, &status)),
        Err(End::Failed(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// Why a stream of lines ended before its end.
enum End {
    /// The manager said so.
    Status(Status),
    /// Something here.
    Failed(CliError),
}

impl From<CliError> for End {
    fn from(error: CliError) -> Self {
        Self::Failed(error)
    }
}

/// A reader of logs, over as many streams as it takes.
struct Reading<'a> {
    client: Client,
    selector: api::LogSelector,
    args: &'a LogsArgs,
    printer: Printer<'a>,
    assembler: Assembler,
    seen: Seen,
    is_first: bool,
}

impl Reading<'_> {
    /// Reads to the end; one who follows takes a stream that broke up again where it broke.
    async fn until_over(&mut self) -> Result<(), End> {
        let mut troubled: Option<Instant> = None;
        loop {
            let lines = self.seen.count();
            let ended = self.one_stream().await;
            if self.seen.count() > lines {
                troubled = None;
            }
            let why = match ended {
                Err(End::Status(status)) if self.args.follow && may_go_on(&status) => status,
                ended => return ended,
            };
            let since = *troubled.get_or_insert_with(Instant::now);
            if since.elapsed() > RESUME_MAX {
                return Err(End::Status(why));
            }
            self.seen.interrupted();
            tokio::time::sleep(RESUME_PAUSE).await;
            // The daemon on this machine may have been restarted.
            if let Ok(client) = self.client.again().await {
                self.client = client;
            }
        }
    }

    async fn one_stream(&mut self) -> Result<(), End> {
        let request = self.request();
        let mut logs = self.client.logs();
        let asked = tokio::time::timeout(CALL_TIMEOUT, logs.subscribe_logs(request));
        let answer = asked
            .await
            .unwrap_or_else(|_| Err(Status::unavailable("no answer in time")));
        let mut stream = answer.map_err(|e| End::Status(lost(e)))?.into_inner();
        self.is_first = false;
        loop {
            let batch = stream.message().await.map_err(|e| End::Status(lost(e)))?;
            let Some(batch) = batch else { return Ok(()) };
            for message in batch.messages {
                if !self.seen.is_new(&message) {
                    continue;
                }
                for line in self.assembler.take(message) {
                    self.printer.print(&line).await?;
                }
            }
        }
    }

    fn request(&self) -> api::SubscribeLogsRequest {
        let (tail, since) = if self.is_first {
            let since = self.args.since.map(Since::moment);
            (self.args.tail.number(), since)
        } else {
            (Tail::All.number(), Some(self.seen.resume_from()))
        };
        api::SubscribeLogsRequest {
            selector: Some(self.selector.clone()),
            options: Some(api::LogSubscriptionOptions {
                streams: Vec::new(),
                follow: self.args.follow,
                tail,
                since: since.and_then(wire::convert::timestamp),
            }),
        }
    }
}

/// Whether the stream broke for a reason that passes: the leader is gone, or the connection.
fn may_go_on(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Aborted)
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
