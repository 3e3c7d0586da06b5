//! Reads the news of services, draws them, and decides nothing.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use wire::swarm::v1::{ServiceProgress, WatchServiceRequest};

use super::state::{Verdict, Watched};
use super::{Target, WaitArgs, view};
use crate::client::{Client, call, lost};
use crate::error::{CliError, Result};
use crate::out;

/// Rows asked for; the view shows no more.
const TASKS_MAX: u32 = 20;
/// News waiting to be drawn. The manager sends ten a second at most.
const QUEUE: usize = 16;
/// How often the live view is drawn without news.
const REDRAW: Duration = Duration::from_millis(500);
/// Pause before a manager is asked again after the connection broke.
const RETRY: Duration = Duration::from_millis(500);
/// Managers may change their leader; after this long without any contact the wait fails.
const CONTACT_LOST_MAX: Duration = Duration::from_secs(30);

type News = (usize, Result<ServiceProgress>);

/// Waits until all services are stable as asked, unless the flags say not to wait.
///
/// # Errors
/// If one cannot get there, time is over, or the user interrupts.
pub async fn converge(client: &Client, targets: Vec<Target>, args: &WaitArgs) -> Result<()> {
    if args.detach {
        return Ok(());
    }
    let mut all: Vec<_> = targets.into_iter().map(Watched::new).collect();
    let mut screen = Screen::new(args.quiet);
    let ended = follow(client, &mut all, args, &mut screen).await;
    screen.end(&all);
    ended?;
    let failed: Vec<_> = all
        .iter()
        .filter_map(|watched| match &watched.verdict {
            Some(Verdict::Failed(why)) => Some(format!("service {}: {why}", watched.target.name)),
            _ => None,
        })
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(CliError::Failed(failed.join("; ")))
    }
}

async fn follow(
    client: &Client,
    all: &mut [Watched],
    args: &WaitArgs,
    screen: &mut Screen,
) -> Result<()> {
    let began = Instant::now();
    let (sender, mut news) = mpsc::channel(QUEUE);
    let mut readers = JoinSet::new();
    for (at, watched) in all.iter().enumerate() {
        readers.spawn(read(
            client.clone(),
            watched.target.id.clone(),
            at,
            sender.clone(),
        ));
    }
    drop(sender);
    let mut interrupt = Box::pin(tokio::signal::ctrl_c());
    while all.iter().any(|w| w.verdict.is_none()) {
        let stable = all
            .iter()
            .filter(|w| w.verdict.is_none())
            .filter_map(Watched::stable_at);
        let redraw = began.elapsed() + REDRAW;
        let wake = began + stable.min().map_or(redraw, |at| at.min(redraw));
        let end = args
            .timeout
            .map_or(wake + REDRAW, |timeout| began + timeout);
        tokio::select! {
            Some((at, said)) = news.recv() => all[at].take(said?, began.elapsed()),
            () = sleep_until(wake) => all.iter_mut().for_each(|w| w.tick(began.elapsed())),
            () = sleep_until(end), if args.timeout.is_some() => {
                let timeout = args.timeout.unwrap_or_default();
                return Err(CliError::NotConverged(view::late(all, timeout)));
            }
            _ = &mut interrupt => return Err(interrupted(all)),
        }
        screen.show(all, began.elapsed());
    }
    Ok(())
}

fn interrupted(all: &[Watched]) -> CliError {
    let names: Vec<_> = all.iter().map(|w| w.target.name.as_str()).collect();
    CliError::NotConverged(format!(
        "interrupted: the operation goes on in the background (`swarmctl service ps {}` shows it)",
        names.join(" ")
    ))
}

/// Passes on the news of one service, over as many connections as it takes.
async fn read(client: Client, id: String, at: usize, news: mpsc::Sender<News>) {
    let mut contact = Instant::now();
    loop {
        let error = match read_once(&client, &id, at, &news, &mut contact).await {
            Ok(()) => CliError::Failed("the manager ended the watch".into()),
            Err(error) => error,
        };
        let passing = error.is_passing() || matches!(error, CliError::Failed(_));
        if news.is_closed() {
            return;
        }
        if !passing || contact.elapsed() > CONTACT_LOST_MAX {
            // The reader is gone if this fails, and then nobody wants to know.
            let _gone = news.send((at, Err(error))).await;
            return;
        }
        sleep(RETRY).await;
    }
}

async fn read_once(
    client: &Client,
    id: &str,
    at: usize,
    news: &mpsc::Sender<News>,
    contact: &mut Instant,
) -> Result<()> {
    const ATTEMPT: &str = "watch the service";
    let client = client.again().await?;
    let request = WatchServiceRequest {
        service_id: id.to_owned(),
        tasks_max: TASKS_MAX,
        until_settled: false,
    };
    let mut stream = call(ATTEMPT, client.cluster().watch_service(request)).await?;
    loop {
        match stream.message().await {
            Ok(Some(progress)) => {
                *contact = Instant::now();
                if news.send((at, Ok(progress))).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(status) => return Err(CliError::call(ATTEMPT, &lost(status))),
        }
    }
}

/// Where progress goes: a live view on a terminal, lines elsewhere, nowhere if quiet.
enum Screen {
    Quiet,
    Live {
        area: MultiProgress,
        rows: Vec<ProgressBar>,
    },
    Lines {
        shown: Vec<String>,
    },
}

impl Screen {
    fn new(quiet: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if std::io::stderr().is_terminal() {
            Self::Live {
                area: MultiProgress::new(),
                rows: Vec::new(),
            }
        } else {
            Self::Lines { shown: Vec::new() }
        }
    }

    fn show(&mut self, all: &[Watched], now: Duration) {
        match self {
            Self::Quiet => {}
            Self::Lines { shown } => {
                shown.resize(all.len(), String::new());
                for (watched, before) in all.iter().zip(shown) {
                    let line = view::summary(watched, None);
                    if line != *before {
                        out::note(&line);
                        *before = line;
                    }
                }
            }
            Self::Live { area, rows } => draw(area, rows, &view::live(all, now)),
        }
    }

    fn end(&mut self, all: &[Watched]) {
        if let Self::Live { area, rows } = self {
            let lines: Vec<_> = all.iter().map(|w| view::summary(w, None)).collect();
            draw(area, rows, &lines);
            rows.iter().for_each(ProgressBar::abandon);
        }
    }
}

fn draw(area: &MultiProgress, rows: &mut Vec<ProgressBar>, lines: &[String]) {
    let style = ProgressStyle::with_template("{wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    while rows.len() < lines.len() {
        let row = area.add(ProgressBar::no_length());
        row.set_style(style.clone());
        rows.push(row);
    }
    for surplus in rows.drain(lines.len()..) {
        surplus.finish_and_clear();
        area.remove(&surplus);
    }
    for (row, line) in rows.iter().zip(lines) {
        row.set_message(line.clone());
    }
}
