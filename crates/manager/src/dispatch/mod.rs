//! The leader's side of all agents: carries the dispatcher's inputs and effects.
//!
//! One task owns the dispatcher for one term. Streams have room for one message; the dispatcher
//! is told when it was taken, so that a slow agent is sent the newest state and never a backlog.

mod convert;
mod rpc;
mod streams;

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use consensus::Membership;
use dispatcher::{
    Answer, BatchId, CallError, CallId, Dispatcher, Effect, Input, Leadership, Manager,
    OpenSession, Outcome,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use store::State;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Status;
use types::node::NodeDescription;
use types::{NodeId, TaskId, TaskStatus};
use wire::api;

use crate::clock::{Steady, sleep_until};
use crate::entropy::SystemEntropy;
use crate::ledger::{Cursor, Ledger, News, Proposal, Reign};
use crate::quorum::{BoxFuture, Quorum};
use streams::Streams;

/// Calls waiting for the dispatcher. It answers in microseconds; a full queue makes callers wait.
const CALLS_QUEUE: usize = 1_024;

/// How often the managers are looked at, beside every change: their list, and which are silent.
const MANAGERS_PERIOD: std::time::Duration = std::time::Duration::from_secs(1);

/// Weight of every manager in the list agents choose from (SwarmKit's value).
const MANAGER_WEIGHT: i64 = 10;

type SessionOut = mpsc::Sender<Result<api::SessionMessage, Status>>;
type AssignmentsOut = mpsc::Sender<Result<api::AssignmentsMessage, Status>>;
type Reply = oneshot::Sender<Result<Answer, CallError>>;

/// What an agent's call asks of the dispatcher.
enum Command {
    Session {
        node: NodeId,
        description: Option<Arc<NodeDescription>>,
        session: String,
        addr: String,
        out: SessionOut,
    },
    Assignments {
        node: NodeId,
        session: String,
        out: AssignmentsOut,
    },
    Heartbeat {
        node: NodeId,
        session: String,
        reply: Reply,
    },
    Status {
        node: NodeId,
        session: String,
        updates: Vec<(TaskId, TaskStatus)>,
        reply: Reply,
    },
}

/// Serves `Dispatcher`; answers only while this manager leads.
#[derive(Clone, Default)]
pub struct DispatchApi {
    calls: Arc<RwLock<Option<mpsc::Sender<Command>>>>,
}

impl DispatchApi {
    /// Serves nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn install(&self, calls: Option<mpsc::Sender<Command>>) {
        *self.calls.write().unwrap_or_else(|e| e.into_inner()) = calls;
    }

    fn calls(&self) -> Result<mpsc::Sender<Command>, Status> {
        let calls = self.calls.read().unwrap_or_else(|e| e.into_inner());
        calls
            .clone()
            .ok_or_else(|| Status::unavailable("this manager is not the leader"))
    }

    /// Begins to take calls; they wait until [`DispatchApi::lead`] answers them.
    pub fn open(&self) -> Calls {
        let (calls, queue) = mpsc::channel(CALLS_QUEUE);
        self.install(Some(calls));
        Calls {
            queue,
            _uninstall: Uninstall(self.clone()),
        }
    }

    /// Runs the dispatcher of a reign until it is dropped.
    pub async fn lead(
        calls: Calls,
        ledger: Arc<Ledger>,
        managers: Managers,
        reign: Reign,
        own: NodeId,
    ) {
        Owner::new(ledger, managers, reign, own).run(calls).await;
    }
}

/// The managers that agents are told of. A change is told at once: an agent that knows too few may
/// not find the next leader.
pub struct Managers {
    quorum: Arc<dyn Quorum>,
    changes: watch::Receiver<Arc<Membership>>,
}

impl Managers {
    /// The voters of a quorum, looked at again with every change.
    pub fn new(quorum: Arc<dyn Quorum>, changes: watch::Receiver<Arc<Membership>>) -> Self {
        Self { quorum, changes }
    }

    /// The voters, and the nodes whose managers did not answer lately.
    fn look(&self) -> (Arc<[Manager]>, BTreeSet<NodeId>) {
        let members = self.quorum.members();
        let silent = members.iter().filter(|m| !m.reachable && !m.leader);
        let silent = silent.map(|m| m.node_id).collect();
        let voters = members.into_iter().filter(|m| m.voter);
        let list = voters.map(|m| Manager {
            node: m.node_id,
            addr: m.addr,
            weight: MANAGER_WEIGHT,
        });
        (list.collect(), silent)
    }
}

/// Calls of agents to the leader. Service ends when this is dropped.
pub struct Calls {
    queue: mpsc::Receiver<Command>,
    _uninstall: Uninstall,
}

/// Ends service when leadership ends, however it ends.
struct Uninstall(DispatchApi);

impl Drop for Uninstall {
    fn drop(&mut self) {
        self.0.install(None);
    }
}

/// An assignments stream that waits for the majority to confirm that this manager leads. Without
/// it, a leader that was deposed and does not know it yet would send an old complete set, and the
/// agent would stop what is not in it.
struct Opening {
    node: NodeId,
    session: String,
    out: AssignmentsOut,
    confirmed: Result<(), String>,
}

struct Owner {
    ledger: Arc<Ledger>,
    members: Managers,
    reign: Reign,
    core: Dispatcher,
    view: Arc<State>,
    cursor: Cursor,
    clock: Steady,
    streams: Streams,
    calls: std::collections::BTreeMap<CallId, Reply>,
    settling: FuturesUnordered<BoxFuture<'static, (BatchId, Outcome)>>,
    opening: FuturesUnordered<BoxFuture<'static, Opening>>,
    next_call: u64,
}

impl Owner {
    fn new(ledger: Arc<Ledger>, members: Managers, reign: Reign, own: NodeId) -> Self {
        let (view, cursor) = ledger.subscribe();
        // As the time of the reign: what waits for a moment compares it with what was stamped.
        let clock = Steady::from(view.time());
        let leadership = Leadership {
            term: reign.term,
            node: own,
            managers: members.look().0,
        };
        let core = Dispatcher::new(leadership, &view, clock.now());
        Self {
            ledger,
            members,
            reign,
            core,
            view,
            cursor,
            clock,
            streams: Streams::default(),
            calls: std::collections::BTreeMap::new(),
            settling: FuturesUnordered::new(),
            opening: FuturesUnordered::new(),
            next_call: 0,
        }
    }

    async fn run(mut self, mut calls: Calls) {
        let mut managers_due = tokio::time::interval(MANAGERS_PERIOD);
        loop {
            let wake = self.core.wake_at().map(|at| self.clock.instant(at));
            tokio::select! {
                command = calls.queue.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                news = self.cursor.next() => match news {
                    Some(news) => self.news(news),
                    None => return,
                },
                Some(opening) = self.opening.next() => self.open_assignments(opening),
                Some((batch, outcome)) = self.settling.next() => {
                    self.catch_up();
                    self.feed(Input::Settled { batch, outcome });
                }
                (stream, open) = self.streams.next_ready() => self.feed(match open {
                    true => Input::StreamReady { stream },
                    false => Input::StreamClosed { stream },
                }),
                Ok(()) = self.members.changes.changed() => self.check_managers(),
                _ = managers_due.tick() => self.check_managers(),
                () = sleep_until(wake) => self.feed(Input::Tick),
            }
        }
    }

    fn news(&mut self, news: News) {
        match news {
            News::Commits(commits, state) => {
                self.view = state;
                for commit in commits {
                    self.feed(Input::Committed(commit));
                }
            }
            News::Afresh(state) => {
                self.view = state;
                self.feed(Input::Resync);
            }
        }
    }

    fn check_managers(&mut self) {
        let (managers, silent) = self.members.look();
        self.feed(Input::Managers(managers));
        self.feed(Input::Silent(silent));
    }

    fn command(&mut self, command: Command) {
        let input = match command {
            Command::Session {
                node,
                description,
                session,
                addr,
                out,
            } => {
                let stream = self.streams.add_session(out);
                Input::OpenSession(OpenSession {
                    stream,
                    node,
                    description,
                    session,
                    addr,
                })
            }
            Command::Assignments { node, session, out } => {
                return self.confirm_assignments(node, session, out);
            }
            Command::Heartbeat {
                node,
                session,
                reply,
            } => Input::Heartbeat {
                call: self.call(reply),
                node,
                session,
            },
            Command::Status {
                node,
                session,
                updates,
                reply,
            } => Input::UpdateStatus {
                call: self.call(reply),
                node,
                session,
                updates,
            },
        };
        self.feed(input);
    }

    fn confirm_assignments(&mut self, node: NodeId, session: String, out: AssignmentsOut) {
        let quorum = self.members.quorum.clone();
        self.opening.push(Box::pin(async move {
            let confirmed = quorum.read_barrier().await;
            Opening {
                node,
                session,
                out,
                confirmed,
            }
        }));
    }

    fn open_assignments(&mut self, opening: Opening) {
        let Opening {
            node,
            session,
            out,
            confirmed,
        } = opening;
        if let Err(why) = confirmed {
            // The agent may have gone; the stream ends either way.
            let _gone = out.try_send(Err(Status::unavailable(why)));
            return;
        }
        // The majority confirmed what is applied by now: the set must hold it.
        self.catch_up();
        let stream = self.streams.add_assignments(out);
        self.feed(Input::OpenAssignments {
            stream,
            node,
            session,
        });
    }

    fn catch_up(&mut self) {
        while let Some(news) = self.cursor.try_next() {
            self.news(news);
        }
    }

    fn call(&mut self, reply: Reply) -> CallId {
        self.next_call += 1;
        self.calls.insert(CallId(self.next_call), reply);
        CallId(self.next_call)
    }

    fn feed(&mut self, input: Input) {
        let now = self.clock.now();
        for effect in self.core.handle(input, &self.view, now, &mut SystemEntropy) {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { call, result } => {
                if let Some(reply) = self.calls.remove(&call) {
                    // The caller may have gone; its answer goes with it.
                    let _gone = reply.send(result);
                }
            }
            Effect::SendSession { stream, message } => {
                self.streams
                    .send_session(stream, convert::session_message(&message));
            }
            Effect::SendAssignments { stream, message } => {
                self.streams
                    .send_assignments(stream, convert::assignments(&message));
            }
            Effect::Close { stream, error } => self.streams.close(stream, convert::status(&error)),
            Effect::Propose { batch, plan } => {
                let proposals = self.ledger.propose_plan(self.reign, plan);
                self.settling
                    .push(Box::pin(settle(batch, proposals.map(|(p, _)| p))));
            }
        }
    }
}

async fn settle(batch: BatchId, proposals: Option<Vec<Proposal>>) -> (BatchId, Outcome) {
    let Some(proposals) = proposals else {
        return (batch, Outcome::Refused);
    };
    for proposal in proposals {
        if proposal.await.is_err() {
            return (batch, Outcome::Refused);
        }
    }
    (batch, Outcome::Committed)
}
