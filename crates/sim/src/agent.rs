//! One agent: the real worker, its database, its connection to a manager, and a node on which
//! containers behave as their image says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dispatcher::{AssignmentChange, AssignmentKind, Assignments, Item, ItemId};
use sim_script::params::{MS, SEC};
use types::node::{EngineDescription, NodeDescription, Platform};
use types::{Node, NodeId, Resources, TaskId, TaskState, TaskStatus};
use worker::{Attempt, Change, Command, Effect, Input, StoredTask, Worker, Write};

use crate::bugs::Bug;
use crate::identity::Identity;
use crate::node::Thing;
use crate::show::short;
use crate::world::{AgentEvent, Event, World};

/// How long an agent waits for an answer (the shell's number).
const CALL_TIMEOUT: u64 = 5 * SEC;

/// What an agent sends to a manager over a link.
#[derive(Debug)]
pub(crate) enum ToManager {
    Open(usize, Arc<NodeDescription>),
    Closed,
    Assignments(String, u64),
    Renew,
    Heartbeat(String),
    Report(String, u64, Vec<(TaskId, TaskStatus)>),
}

/// What a manager sends to an agent over a link.
#[derive(Debug)]
pub(crate) enum ToAgent {
    /// A session message of the session of this name, with the node's record.
    Session(String, Arc<Node>),
    Certificate(Identity),
    /// Assignments of a stream, which has this number among those of the link, made when the
    /// tables were at this version.
    Assignments {
        generation: u64,
        version: u64,
        message: Assignments,
    },
    Heartbeat(Duration),
    Reported(u64, bool),
    /// A call or stream ended with an error.
    Refused(String),
}

/// A connection to a manager.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: u64,
    pub(crate) manager: usize,
    /// Who was asked, and passes calls on.
    pub(crate) via: usize,
    /// The session, once it is open.
    pub(crate) session: Option<String>,
    pub(crate) since: u64,
    /// Number of the present assignments stream.
    pub(crate) generation: u64,
    /// Calls that wait for an answer.
    open_calls: BTreeMap<u64, Waits>,
    /// Messages arrive in the order they were sent.
    pub(crate) arrives: u64,
    arrives_there: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    Session,
    Heartbeat,
    Report(u64),
}

/// A command under way.
pub(crate) struct Doing {
    pub(crate) attempt: Attempt,
    pub(crate) command: Command,
}

/// An agent's machine.
pub(crate) struct Agent {
    pub(crate) node: NodeId,
    pub(crate) worker: Option<Worker>,
    pub(crate) boot: u64,
    pub(crate) link: Option<Link>,
    pub(crate) things: BTreeMap<TaskId, Thing>,
    pub(crate) doing: BTreeMap<TaskId, Doing>,
    pub(crate) paused_until: u64,
    /// The container engine does not answer until then.
    pub(crate) engine_down_until: u64,
    /// Its node object was removed by an operator.
    pub(crate) removed: bool,
    /// It never comes back when everything heals.
    pub(crate) lost: bool,
    /// When its certificate is due to be renewed.
    pub(crate) renew_at: u64,
    /// The cluster wants it to have another certificate.
    pub(crate) certificate_differs: bool,
    /// Secrets and configs that it was sent and not told to forget.
    pub(crate) files: BTreeSet<ItemId>,
    /// Since when it has had some that no task of it needs.
    pub(crate) idle_files: BTreeMap<ItemId, u64>,
    /// The message that the next one builds on; none until a connection brings a complete set.
    chain: Option<String>,
    /// Version of the tables behind what it was told last.
    pub(crate) told: u64,
    /// What it reported last.
    reported: Vec<(TaskId, TaskStatus)>,
    db: BTreeMap<TaskId, StoredTask>,
    unsynced: Vec<Write>,
    back_off: u64,
    wake: Option<u64>,
    description: Arc<NodeDescription>,
}

impl Agent {
    fn store(&mut self, write: Write) {
        match write {
            Write::Task { task, assigned } => {
                let status = self.db.remove(&task.id).and_then(|t| t.status);
                let stored = StoredTask {
                    task: task.clone(),
                    status,
                    assigned,
                    incomplete: false,
                };
                self.db.insert(task.id, stored);
            }
            Write::Status { task, status } => {
                if let Some(stored) = self.db.get_mut(&task) {
                    stored.status = Some(status);
                }
            }
            Write::Forget(task) => drop(self.db.remove(&task)),
        }
    }
}

impl World {
    pub(crate) fn new_agent(&mut self, node: NodeId) -> usize {
        let at = self.agents.len();
        let renew_at = self.renewal_moment(node);
        let resources = Resources {
            nano_cpus: 4_000_000_000,
            memory_bytes: 8 << 30,
            generic: Vec::new(),
        };
        let description = NodeDescription {
            hostname: format!("a{at}"),
            platform: Platform {
                architecture: "amd64".into(),
                os: "linux".into(),
            },
            resources,
            engine: own_engine(),
            ..NodeDescription::default()
        };
        self.agents.push(Agent {
            node,
            worker: None,
            boot: 0,
            link: None,
            things: BTreeMap::new(),
            doing: BTreeMap::new(),
            paused_until: 0,
            engine_down_until: 0,
            removed: false,
            lost: false,
            renew_at,
            certificate_differs: false,
            files: BTreeSet::new(),
            idle_files: BTreeMap::new(),
            chain: None,
            told: 0,
            reported: Vec::new(),
            db: BTreeMap::new(),
            unsynced: Vec::new(),
            back_off: 0,
            wake: None,
            description: Arc::new(description),
        });
        self.after(SEC, Event::BootAgent(at));
        at
    }

    pub(crate) fn boot_agent(&mut self, at: usize) {
        let agent = &mut self.agents[at];
        if agent.worker.is_some() || agent.removed || (agent.lost && self.calm) {
            return;
        }
        agent.boot += 1;
        agent.files.clear();
        (agent.wake, agent.certificate_differs) = (None, false);
        let renewal = agent.renew_at.saturating_sub(self.now);
        agent.worker = Some(Worker::new(agent.db.values().cloned()));
        let count = agent.db.len();
        self.note(("a", at), 11, || format!("starts with {count} tasks"));
        self.work(at, Input::Tick);
        let lag = self.rng.between(0, 500 * MS);
        self.agent_later(at, lag, AgentEvent::Found);
        self.agent_later(at, 10 * MS, AgentEvent::Connect);
        self.agent_later(at, renewal, AgentEvent::Certificate);
    }

    /// The agent's process ends; what it started goes on.
    pub(crate) fn kill_agent(&mut self, at: usize) {
        self.drop_link(at, false);
        let half = self.rng.chance(5_000);
        let agent = &mut self.agents[at];
        agent.worker = None;
        agent.unsynced.clear();
        let doing = std::mem::take(&mut agent.doing);
        if half {
            // Commands under way had their effect; nobody heard of it.
            for (task, doing) in doing {
                self.execute(at, task, &doing.command);
            }
        }
        self.note(("a", at), 12, || "is killed".into());
        self.mark("agent killed");
    }

    pub(crate) fn lose_database(&mut self, at: usize) {
        self.agents[at].db.clear();
        self.note(("a", at), 13, || "loses its database".into());
        self.mark("agent database lost");
    }

    pub(crate) fn agent_later(&mut self, at: usize, us: u64, event: AgentEvent) {
        let boot = self.agents[at].boot;
        self.after(us, Event::Agent(at, boot, event));
    }

    pub(crate) fn agent_event(&mut self, at: usize, boot: u64, event: AgentEvent) {
        let agent = &self.agents[at];
        if agent.boot != boot || agent.worker.is_none() {
            return;
        }
        if agent.paused_until > self.now {
            let wait = agent.paused_until - self.now;
            return self.after(wait, Event::Agent(at, boot, event));
        }
        match event {
            AgentEvent::Connect => self.connect(at),
            AgentEvent::Wake => {
                if self.agents[at].wake.is_some_and(|w| w <= self.now) {
                    self.agents[at].wake = None;
                    self.work(at, Input::Tick);
                }
            }
            AgentEvent::Found => self.found(at),
            AgentEvent::Flush => {
                let mut writes = std::mem::take(&mut self.agents[at].unsynced);
                if self.bug == Some(Bug::StartAgain) {
                    writes.retain(|w| !matches!(w, Write::Status { .. }));
                }
                let agent = &mut self.agents[at];
                writes.into_iter().for_each(|w| agent.store(w));
            }
            AgentEvent::Heartbeat(link) => self.heartbeat(at, link),
            AgentEvent::Timeout(link, call) => {
                let waits = |l: &&Link| l.id == link && l.open_calls.contains_key(&call);
                if agent.link.as_ref().filter(waits).is_some() {
                    self.drop_link(at, true);
                }
            }
            AgentEvent::Done(task, attempt) => self.done(at, task, attempt),
            AgentEvent::Certificate => self.look_at_certificate(at),
        }
    }

    /// What the executor finds on the node when the agent starts.
    fn found(&mut self, at: usize) {
        if self.agents[at].engine_down_until > self.now {
            return self.agent_later(at, SEC, AgentEvent::Found);
        }
        if self.bug == Some(Bug::ForgetRemains) && self.agents[at].db.is_empty() {
            return;
        }
        let found = self.agents[at].things.keys().copied().collect();
        self.work(at, Input::Found(found));
    }

    /// One input of the worker, and its effects.
    pub(crate) fn work(&mut self, at: usize, input: Input) {
        let now = self.time();
        let Some(worker) = self.agents[at].worker.as_mut() else {
            return;
        };
        for effect in worker.handle(input, now) {
            match effect {
                Effect::Execute {
                    task,
                    attempt,
                    command,
                } => self.launch(at, task, Doing { attempt, command }),
                Effect::Persist(write) => {
                    let agent = &mut self.agents[at];
                    agent.unsynced.push(write);
                    if agent.unsynced.len() == 1 {
                        let lag = self.rng.between(0, 50 * MS);
                        self.agent_later(at, lag, AgentEvent::Flush);
                    }
                }
                Effect::Report { report, statuses } => self.report(at, report, statuses),
                Effect::Resync => self.open_assignments_stream(at),
            }
        }
        let agent = &mut self.agents[at];
        let Some(wake) = agent.worker.as_ref().and_then(Worker::wake_at) else {
            return;
        };
        let us = self.until(wake);
        let (due, agent) = (self.now + us, &mut self.agents[at]);
        if agent.wake.is_none_or(|w| w > due) {
            agent.wake = Some(due);
            self.agent_later(at, us, AgentEvent::Wake);
        }
    }

    // The connection.

    fn connect(&mut self, at: usize) {
        if self.agents[at].link.is_some() || self.agents[at].removed {
            return;
        }
        let known: Vec<_> = self
            .hosts
            .iter()
            .filter(|h| !h.gone)
            .map(|h| h.at)
            .collect();
        let Some(chosen) = self.rng.pick(&known) else {
            return;
        };
        // The manager that is asked passes the call on to the leader it knows of.
        let process = self.hosts[chosen].process.as_ref();
        let leader = process.and_then(|p| p.consensus.status().leader);
        let manager = leader.map_or(chosen, |id| usize::try_from(id.get() - 1).unwrap_or(0));
        let id = self.number();
        self.agents[at].link = Some(Link {
            id,
            manager,
            via: chosen,
            session: None,
            since: self.now,
            generation: 0,
            open_calls: BTreeMap::new(),
            arrives: 0,
            arrives_there: 0,
        });
        let description = self.agents[at].description.clone();
        self.call(at, Some(Waits::Session), ToManager::Open(at, description));
    }

    /// Sends a call to the manager of the link, and waits for its answer if there is one.
    pub(crate) fn call(&mut self, at: usize, waits: Option<Waits>, call: ToManager) {
        let number = self.number();
        let delay = self.agent_delay();
        let now = self.now;
        let Some(link) = self.agents[at].link.as_mut() else {
            return;
        };
        if let Some(waits) = waits {
            link.open_calls.insert(number, waits);
        }
        link.arrives_there = (now + delay).max(link.arrives_there + 1);
        let (id, manager, when) = (link.id, link.manager, link.arrives_there);
        if self.passes_link(at, manager, id) {
            self.after(when - now, Event::ToManager(manager, id, Box::new(call)));
        }
        if waits.is_some() {
            self.agent_later(at, CALL_TIMEOUT, AgentEvent::Timeout(id, number));
        }
    }

    /// How long a message takes: once everything is healed, never so long that heartbeats are
    /// missed.
    fn agent_delay(&mut self) -> u64 {
        let delay = self.rng.between(50, self.params.agent_delay_max);
        match self.rng.chance(50) && !self.calm {
            true => delay * 10,
            false => delay,
        }
    }

    /// Whether a message passes. A stream never loses one and goes on: the connection is dead then.
    fn passes_link(&mut self, at: usize, manager: usize, link: u64) -> bool {
        if self.agent_cut.contains(&(at, manager)) {
            self.dead_links.insert(link);
        }
        !self.dead_links.contains(&link)
    }

    /// A manager's message leaves for an agent.
    pub(crate) fn send_to_agent(&mut self, from: usize, at: usize, link: u64, answer: ToAgent) {
        let delay = self.agent_delay();
        if !self.passes_link(at, from, link) {
            return;
        }
        let now = self.now;
        let Some(side) = self.agents[at].link.as_mut().filter(|l| l.id == link) else {
            return;
        };
        side.arrives = (now + delay).max(side.arrives + 1);
        let when = side.arrives;
        self.after(when - now, Event::ToAgent(at, link, Box::new(answer)));
    }

    /// The session ends, and the agent tries again after a pause.
    pub(crate) fn drop_link(&mut self, at: usize, again: bool) {
        let told = self.rng.chance(7_000);
        if self.agents[at].link.is_none() {
            return;
        }
        if told {
            self.call(at, None, ToManager::Closed);
        }
        let Some(link) = self.agents[at].link.take() else {
            return;
        };
        if link.session.is_some() {
            self.agents[at].back_off = 0;
            self.note(("a", at), 14, || {
                format!("lost its session with m{}", link.manager)
            });
            self.work(at, Input::Disconnected);
            if self.bug == Some(Bug::StopWhenAlone) {
                self.forget_everything(at);
            }
        }
        if again {
            let agent = &mut self.agents[at];
            agent.back_off = (100 * MS + agent.back_off * 2).min(8 * SEC);
            let pause = self.rng.under(self.agents[at].back_off);
            self.agent_later(at, pause.max(MS), AgentEvent::Connect);
        }
    }

    /// Plants a bug: an empty complete set.
    fn forget_everything(&mut self, at: usize) {
        let message = worker::Assignments {
            complete: true,
            results_in: "1".into(),
            ..worker::Assignments::default()
        };
        self.work(at, Input::Assignments(message));
    }

    pub(crate) fn at_agent(&mut self, at: usize, link: u64, answer: ToAgent) {
        let agent = &mut self.agents[at];
        if agent.paused_until > self.now && agent.worker.is_some() {
            let wait = agent.paused_until - self.now;
            return self.after(wait, Event::ToAgent(at, link, Box::new(answer)));
        }
        if let ToAgent::Assignments {
            generation,
            version,
            message,
        } = answer
        {
            if self.is_current(at, (link, generation)) {
                self.assigned(at, version, message);
            }
            return;
        }
        let Some(side) = self.agents[at].link.as_mut().filter(|l| l.id == link) else {
            return;
        };
        match answer {
            ToAgent::Session(name, record) => match &side.session {
                Some(known) if *known != name => self.drop_link(at, true),
                Some(_) => self.hear_of_itself(at, &record),
                None => {
                    self.session_opens(at, name);
                    self.hear_of_itself(at, &record);
                }
            },
            ToAgent::Certificate(new) => self.new_certificate(at, new),
            ToAgent::Assignments { .. } => {}
            ToAgent::Heartbeat(period) => {
                side.open_calls.retain(|_, w| *w != Waits::Heartbeat);
                let us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
                self.agent_later(at, us, AgentEvent::Heartbeat(link));
            }
            ToAgent::Reported(report, _) if report > u64::MAX / 2 => {}
            ToAgent::Reported(report, accepted) => {
                side.open_calls.retain(|_, w| *w != Waits::Report(report));
                self.work(at, Input::Reported { report, accepted });
            }
            ToAgent::Refused(why) => {
                self.note(("a", at), 15, || format!("is refused: {why}"));
                self.drop_link(at, true);
            }
        }
    }

    fn assigned(&mut self, at: usize, version: u64, message: Assignments) {
        let number = message.results_in;
        self.note(("a", at), number, || crate::show::assignments(&message));
        let mut message = assignments(message);
        let agent = &mut self.agents[at];
        if let (Some(Bug::OldGeneration), Some(last)) = (self.bug, &agent.chain) {
            message.applies_to = last.clone();
        }
        let fits = message.complete || agent.chain.as_ref() == Some(&message.applies_to);
        if fits {
            agent.chain = Some(message.results_in.clone());
            if message.complete {
                agent.files.clear();
            }
            for change in &message.changes {
                match change {
                    Change::UpdateSecret(s) => _ = agent.files.insert(ItemId::Secret(s.id)),
                    Change::RemoveSecret(id) => _ = agent.files.remove(&ItemId::Secret(*id)),
                    Change::UpdateConfig(c) => _ = agent.files.insert(ItemId::Config(c.id)),
                    Change::RemoveConfig(id) => _ = agent.files.remove(&ItemId::Config(*id)),
                    Change::UpdateTask(_) | Change::RemoveTask(_) => {}
                }
            }
        }
        self.mark_if(!fits, "assignments that build on another message");
        if fits {
            self.check_generation(at, version);
        }
        self.work(at, Input::Assignments(message));
    }

    fn session_opens(&mut self, at: usize, name: String) {
        let now = self.now;
        let Some(link) = self.agents[at].link.as_mut() else {
            return;
        };
        link.open_calls.retain(|_, w| *w != Waits::Session);
        link.session = Some(name);
        link.since = now;
        let (id, manager) = (link.id, link.manager);
        self.agents[at].chain = None;
        self.note(("a", at), 16, || format!("has a session with m{manager}"));
        self.mark("session");
        self.work(at, Input::Connected);
        self.open_assignments_stream(at);
        self.heartbeat(at, id);
    }

    pub(crate) fn session_name(&self, at: usize) -> Option<String> {
        self.agents[at].link.as_ref()?.session.clone()
    }

    fn open_assignments_stream(&mut self, at: usize) {
        let Some(session) = self.session_name(at) else {
            return;
        };
        let Some(link) = self.agents[at].link.as_mut() else {
            return;
        };
        link.generation += 1;
        let generation = link.generation;
        self.call(at, None, ToManager::Assignments(session, generation));
    }

    fn heartbeat(&mut self, at: usize, link: u64) {
        let current = self.agents[at].link.as_ref().is_some_and(|l| l.id == link);
        if let Some(session) = self.session_name(at).filter(|_| current) {
            self.call(at, Some(Waits::Heartbeat), ToManager::Heartbeat(session));
        }
    }

    fn report(&mut self, at: usize, report: u64, statuses: Vec<(TaskId, TaskStatus)>) {
        let Some(session) = self.session_name(at) else {
            return;
        };
        self.note(("a", at), report, || {
            let one = |(id, s): &(TaskId, TaskStatus)| format!("{} {}", short(id), s.state);
            let all: Vec<_> = statuses.iter().map(one).collect();
            format!("reports {}", all.join(", "))
        });
        self.agents[at].reported = statuses.clone();
        let waits = Waits::Report(report);
        if self.bug == Some(Bug::ForgetReports) && report.is_multiple_of(7) {
            let accepted = true;
            return self.work(at, Input::Reported { report, accepted });
        }
        self.call(
            at,
            Some(waits),
            ToManager::Report(session, report, statuses),
        );
    }

    /// An agent says again what it said last, and something of a task that nobody knows.
    pub(crate) fn repeat_reports(&mut self, at: usize) {
        let Some(session) = self.session_name(at) else {
            return;
        };
        let mut statuses = self.agents[at].reported.clone();
        if let Some((_, status)) = statuses.first().cloned() {
            statuses.push((TaskId::random(&mut self.rng), status));
        }
        self.mark_if(
            !statuses.is_empty(),
            "reports repeated, and of an unknown task",
        );
        let report = u64::MAX - self.number();
        self.call(at, None, ToManager::Report(session, report, statuses));
    }

    /// An agent stops nothing that is to run.
    pub(crate) fn check_stop(&mut self, at: usize, task: TaskId) {
        let agent = &self.agents[at];
        let ended = agent.worker.as_ref().is_some_and(|w| {
            let mut all = w.tasks();
            all.any(|(t, s)| t.id == task && s.state.is_terminal())
        });
        let truth = self.oracle.state().tasks().get(task);
        let wanted = truth.is_some_and(|t| {
            t.node_id == Some(agent.node) && t.is_active() && t.desired_state < TaskState::Shutdown
        });
        if wanted && !ended {
            let text = format!("a{at} stops task {task}, which is to run there");
            self.violate("O6", text);
        }
    }
}

/// What an engine says of itself under our agent.
fn own_engine() -> EngineDescription {
    let mut engine = EngineDescription::default();
    let label = types::node::OWN_AGENT_LABEL.into();
    engine.labels.insert(label, "true".into());
    engine
}

/// A message in the words of the worker.
fn assignments(message: Assignments) -> worker::Assignments {
    let changes = message.changes.into_iter().map(|change| match change {
        AssignmentChange::Update(Item::Task(t)) => Change::UpdateTask(t),
        AssignmentChange::Update(Item::Secret(s)) => Change::UpdateSecret(s),
        AssignmentChange::Update(Item::Config(c)) => Change::UpdateConfig(c),
        AssignmentChange::Remove(ItemId::Task(id)) => Change::RemoveTask(id),
        AssignmentChange::Remove(ItemId::Secret(id)) => Change::RemoveSecret(id),
        AssignmentChange::Remove(ItemId::Config(id)) => Change::RemoveConfig(id),
    });
    let name = |number: u64| match number {
        0 => String::new(),
        n => n.to_string(),
    };
    worker::Assignments {
        complete: message.kind == AssignmentKind::Complete,
        applies_to: name(message.applies_to),
        results_in: name(message.results_in),
        changes: changes.collect(),
    }
}
