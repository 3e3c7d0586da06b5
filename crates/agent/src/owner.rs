//! The task that owns the worker: every input goes through it, every effect comes from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use types::{Task, TaskId, TaskStatus};
use worker::{Assignments, Attempt, Command, Effect, Input, Outcome, Worker};

use crate::clock::Clock;
use crate::commands::Hands;
use crate::database::Writer;
use crate::limits::OUTCOME_QUEUE_MAX;

/// What others tell the owner. `link` numbers sessions: what an older one still says is ignored.
pub(crate) enum Message {
    /// A session is up.
    Connected {
        link: u64,
        outbox: mpsc::Sender<Outgoing>,
    },
    /// It is over.
    Disconnected { link: u64 },
    /// Assignments came.
    Assignments { link: u64, message: Assignments },
    /// A report was answered.
    Reported {
        link: u64,
        report: u64,
        accepted: bool,
    },
    /// What the executor found at the start.
    Found(Vec<TaskId>),
    /// The node left its cluster: every task is to be stopped and removed, found remains too. The
    /// number of those that are left is told as it falls.
    Vacate(watch::Sender<usize>),
    /// Somebody asks for the tasks of this node.
    Tasks(oneshot::Sender<Vec<Arc<Task>>>),
}

/// What the owner wants of the session.
pub(crate) enum Outgoing {
    /// Report statuses.
    Report {
        report: u64,
        statuses: Vec<(TaskId, TaskStatus)>,
    },
    /// Reopen the assignments stream.
    Resync,
}

/// Owns the worker.
pub(crate) struct Owner {
    pub(crate) worker: Worker,
    pub(crate) clock: Clock,
    pub(crate) hands: Hands,
    pub(crate) writer: Option<Writer>,
    pub(crate) inbox: mpsc::Receiver<Message>,
    /// Told whenever tasks came or went.
    pub(crate) tasks_changed: watch::Sender<()>,
    pub(crate) stop: CancellationToken,
}

/// The owner at work.
struct Running {
    owner: Owner,
    link: Option<(u64, mpsc::Sender<Outgoing>)>,
    commands: BTreeMap<TaskId, (Attempt, JoinHandle<()>)>,
    outcomes: mpsc::Sender<(TaskId, Attempt, Outcome)>,
    /// Who is told how many tasks are left, once the node has left its cluster.
    vacating: Option<watch::Sender<usize>>,
}

impl Owner {
    /// Runs until the agent stops. Tasks go on without it.
    pub(crate) async fn run(self) {
        let (outcomes, mut done) = mpsc::channel(OUTCOME_QUEUE_MAX);
        let mut running = Running {
            owner: self,
            link: None,
            commands: BTreeMap::new(),
            outcomes,
            vacating: None,
        };
        running.input(Input::Tick).await;
        loop {
            let wake = running.owner.worker.wake_at();
            let wake = wake.map(|at| running.owner.clock.instant(at));
            let alarm = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = running.owner.stop.cancelled() => break,
                message = running.owner.inbox.recv() => match message {
                    Some(message) => running.message(message).await,
                    None => break,
                },
                Some((task, attempt, outcome)) = done.recv() => {
                    running.done(task, attempt, outcome).await;
                }
                () = alarm => running.input(Input::Tick).await,
            }
        }
        running.finish().await;
    }
}

impl Running {
    async fn message(&mut self, message: Message) {
        let is_current = |link: u64| self.link.as_ref().is_some_and(|(id, _)| *id == link);
        match message {
            Message::Vacate(left) => {
                self.link = None;
                self.vacating = Some(left);
                // What a manager would say if it still spoke to this node.
                let nothing = Assignments {
                    complete: true,
                    ..Assignments::default()
                };
                self.input(Input::Assignments(nothing)).await;
            }
            Message::Connected { .. } if self.vacating.is_some() => {}
            Message::Connected { link, outbox } => {
                self.link = Some((link, outbox));
                self.input(Input::Connected).await;
            }
            Message::Disconnected { link } if is_current(link) => {
                self.link = None;
                self.input(Input::Disconnected).await;
            }
            Message::Assignments { link, message } if is_current(link) => {
                self.input(Input::Assignments(message)).await;
                self.owner.tasks_changed.send_replace(());
            }
            Message::Reported {
                link,
                report,
                accepted,
            } if is_current(link) => self.input(Input::Reported { report, accepted }).await,
            Message::Found(tasks) => self.input(Input::Found(tasks)).await,
            Message::Tasks(answer) => {
                let tasks = self.owner.worker.tasks().map(|(t, _)| t.clone());
                // Whoever asked may have gone away.
                let _gone = answer.send(tasks.collect());
            }
            Message::Disconnected { .. }
            | Message::Assignments { .. }
            | Message::Reported { .. } => {}
        }
    }

    async fn done(&mut self, task: TaskId, attempt: Attempt, outcome: Outcome) {
        if self.commands.get(&task).is_some_and(|(a, _)| *a == attempt) {
            self.commands.remove(&task);
        }
        self.input(Input::Done {
            task,
            attempt,
            outcome,
        })
        .await;
    }

    async fn input(&mut self, input: Input) {
        let now = self.owner.clock.now();
        let mut writes = Vec::new();
        for effect in self.owner.worker.handle(input, now) {
            match effect {
                Effect::Execute {
                    task,
                    attempt,
                    command,
                } => self.execute(task, attempt, command),
                Effect::Persist(write) => writes.push(write),
                Effect::Report { report, statuses } => {
                    self.send(Outgoing::Report { report, statuses });
                }
                Effect::Resync => self.send(Outgoing::Resync),
            }
        }
        if let Some(writer) = self.owner.writer.as_ref().filter(|_| !writes.is_empty()) {
            writer.write(writes).await;
        }
        if let Some(left) = &self.vacating {
            left.send_replace(self.owner.worker.len());
        }
    }

    /// Starts a command once an older one of the same task is abandoned for good.
    fn execute(&mut self, task: TaskId, attempt: Attempt, command: Command) {
        let older = self.commands.remove(&task).map(|(_, handle)| handle);
        if let Some(older) = &older {
            older.abort();
        }
        let mut hands = self.owner.hands.clone();
        let outcomes = self.outcomes.clone();
        let work = async move {
            if let Some(older) = older {
                let _abandoned = older.await;
            }
            let outcome = hands.execute(task, command).await;
            // The owner is gone only when the agent stops.
            let _gone = outcomes.send((task, attempt, outcome)).await;
        };
        self.commands.insert(task, (attempt, tokio::spawn(work)));
    }

    /// A session that does not take a message any more is about to end; then the worker reports
    /// again.
    fn send(&mut self, outgoing: Outgoing) {
        if let Some((_, outbox)) = &self.link
            && outbox.try_send(outgoing).is_err()
        {
            tracing::debug!("the session does not take messages any more");
        }
    }

    async fn finish(mut self) {
        for (_, handle) in self.commands.values() {
            handle.abort();
        }
        for (_, handle) in std::mem::take(&mut self.commands).into_values() {
            let _abandoned = handle.await;
        }
        if let Some(writer) = self.owner.writer.take() {
            writer.finish().await;
        }
    }
}
