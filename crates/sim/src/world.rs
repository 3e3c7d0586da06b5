//! The simulated cluster: one queue of events in simulated time, and everything they happen to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use invariants::{Verdict, Violation};
use sim_script::params::{MS, Params, SEC};
use sim_script::rng::{Rng, fold, mix};
use sim_script::scenario::Scenario;
use sim_script::schedule::{Act, Step};
use types::{ClusterId, NodeId, NodeRole, Timestamp, defaults};

use crate::agent::{Agent, ToAgent, ToManager};
use crate::bugs::Bug;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::host::{Host, Outcome, Waiter};
use crate::identity::Identities;
use crate::link::Packet;
use crate::operator::Operator;
use crate::oracle::Oracle;
use crate::queue::Queue;
use crate::reign::{Planned, ReignId};
use crate::snapshot::SnapshotFile;

/// When simulated time begins: a moment of 2023.
pub(crate) const EPOCH_SECS: u64 = 1_700_000_000;

/// Time of a raft tick.
pub(crate) const TICK: u64 = consensus::TICK_MS * MS;

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    /// For the process of a manager, unless it was restarted since.
    Manager(usize, u64, ManagerEvent),
    /// A manager starts.
    BootManager(usize),
    /// A packet between managers arrives.
    Packet(Box<Packet>),
    /// An agent's call arrives at a manager.
    ToManager(usize, u64, Box<ToManager>),
    /// A manager's message arrives at an agent.
    ToAgent(usize, u64, Box<ToAgent>),
    /// For the process of an agent, unless it was restarted since.
    Agent(usize, u64, AgentEvent),
    /// An agent starts.
    BootAgent(usize),
    /// A container ends by itself.
    Exit(usize, types::TaskId, u64, i32),
    /// Something is done from outside.
    Act(Box<Step>),
    /// A client reads.
    Read,
    /// A client that watches looks for what is new.
    Watch(usize),
    /// The whole cluster is looked at.
    Look,
}

#[derive(Debug)]
pub(crate) enum ManagerEvent {
    Tick,
    Written,
    Synced,
    SnapshotMade(Box<SnapshotFile>),
    SnapshotEnded(consensus::RaftId, bool),
    Unreachable(consensus::RaftId),
    /// A read barrier was answered: whether this manager leads.
    Confirmed(consensus::ReadId, bool),
    /// What raft wants done is done.
    Drain,
    /// A reign may follow one that ended with a refusal.
    Resume,
    /// The shell looks at what raft says of leadership.
    Leadership,
    /// The pipeline wakes up.
    Pipeline(u64),
    /// A stage's plan is proposed.
    Propose(u64, Box<Planned>),
    /// The dispatcher reads the feed.
    News(u64),
    /// The dispatcher's alarm.
    Alarm(u64),
    /// A proposal ended.
    Settled(ReignId, Waiter, Outcome),
    /// A stream took its last message.
    Taken(u64, dispatcher::StreamId),
}

#[derive(Debug)]
pub(crate) enum AgentEvent {
    Connect,
    Wake,
    Found,
    Flush,
    Heartbeat(u64),
    /// A call of a link was not answered in time.
    Timeout(u64, u64),
    Done(types::TaskId, worker::Attempt),
    /// A look at the certificate.
    Certificate,
}

/// One row of what happened, for people.
pub type Show = Box<dyn FnMut(u64, &str, &str)>;

/// How often a situation occurred, so that a batch of runs can prove that it reached it.
pub type Marks = BTreeMap<&'static str, u64>;

/// Everything.
pub struct World {
    /// What the run is like.
    pub params: Params,
    /// Simulated time since the beginning, in microseconds.
    pub now: u64,
    /// A hash of everything that happened.
    pub trace: u64,
    counts: BTreeMap<usize, (&'static str, u64)>,
    pub(crate) bug: Option<Bug>,
    pub(crate) calm: bool,
    pub(crate) rng: Rng,
    pub(crate) seed: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) oracle: Oracle,
    pub(crate) operator: Operator,
    pub(crate) clients: Clients,
    pub(crate) identities: Identities,
    /// Pairs of managers between which nothing passes in this direction.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Pairs of agent and manager between which nothing passes.
    pub(crate) agent_cut: BTreeSet<(usize, usize)>,
    /// Connections that lost a message: nothing passes them any more, in either direction.
    pub(crate) dead_links: BTreeSet<u64>,
    /// When the connections of a manager were last reset.
    pub(crate) resets: BTreeMap<usize, u64>,
    /// Messages between managers overtake each other until then.
    pub(crate) reorder_until: u64,
    /// Until when snapshots travel slowly, and how long they take.
    pub(crate) slow_snapshots: (u64, u64),
    /// The voters and the learners, and the entry that made them so.
    pub(crate) voters: BTreeSet<consensus::RaftId>,
    pub(crate) learners: BTreeSet<consensus::RaftId>,
    pub(crate) members_index: u64,
    /// When the state of a manager was last lost.
    pub(crate) newest_loss: u64,
    pub(crate) numbers: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) passes: u64,
    queue: Queue<Event>,
    show: Option<Show>,
}

impl World {
    /// The cluster of a scenario, before anything happened.
    pub fn new(scenario: &Scenario, bug: Option<Bug>) -> Self {
        let (seed, params) = (scenario.seed, scenario.params.clone());
        let mut world = Self {
            now: 0,
            trace: 0,
            counts: BTreeMap::new(),
            bug,
            calm: false,
            seed,
            hosts: Vec::new(),
            agents: Vec::new(),
            oracle: Oracle::default(),
            operator: Operator::default(),
            clients: Clients::default(),
            identities: Identities::new(ClusterId::MAX),
            cut: BTreeSet::new(),
            agent_cut: BTreeSet::new(),
            dead_links: BTreeSet::new(),
            resets: BTreeMap::new(),
            reorder_until: 0,
            slow_snapshots: (0, 0),
            voters: BTreeSet::new(),
            learners: BTreeSet::new(),
            members_index: 0,
            newest_loss: 0,
            numbers: 0,
            violation: None,
            passes: 0,
            queue: Queue::default(),
            show: None,
            rng: Rng::new(mix(seed) ^ 0x5eed),
            params,
        };
        world.populate(scenario);
        world
    }

    fn populate(&mut self, scenario: &Scenario) {
        self.identities = Identities::new(ClusterId::random(&mut self.rng));
        let life = Duration::from_micros(self.params.certificate_life);
        for at in 0..self.params.managers {
            let clock = self.new_clock();
            let node = NodeId::random(&mut self.rng);
            let at = usize::try_from(at).unwrap_or(0);
            self.hosts.push(Host::new(at, node, clock));
            // Without an agent here nobody renews what the machine has.
            let combined = self.params.combined > 0;
            let lasts = if combined {
                life
            } else {
                defaults::NODE_CERT_EXPIRY
            };
            self.found_identity(node, NodeRole::Manager, lasts);
            if combined {
                self.new_agent(node);
            }
        }
        for _ in 0..self.params.agents {
            let node = NodeId::random(&mut self.rng);
            self.found_identity(node, NodeRole::Worker, life);
            self.new_agent(node);
        }
        self.found_cluster();
        for step in &scenario.steps {
            self.queue.push(step.at, Event::Act(Box::new(step.clone())));
        }
        self.after(SEC, Event::Look);
        self.start_clients();
    }

    /// Prints every event through `show` from now on.
    pub fn show(&mut self, show: Show) {
        self.show = Some(show);
    }

    /// How many events have happened.
    pub fn events(&self) -> u64 {
        self.queue.count()
    }

    pub(crate) fn new_clock(&mut self) -> Clock {
        let (skew, drift) = (self.params.skew_max, self.params.drift_max);
        let mut around = |max: u64| {
            let drawn = i64::try_from(self.rng.between(0, 2 * max)).unwrap_or(0);
            drawn - i64::try_from(max).unwrap_or(0)
        };
        Clock::new(around(skew) * 1_000, around(drift))
    }

    /// Runs until a moment of simulated time.
    ///
    /// # Errors
    /// The first invariant that did not hold.
    pub fn run_until(&mut self, end: u64) -> Verdict {
        while let Some((at, event)) = self.queue.pop_until(end) {
            self.now = at;
            self.happen(event);
            if let Some(violation) = self.violation.take() {
                return Err(violation);
            }
        }
        self.now = end;
        Ok(())
    }

    /// True time as a moment.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp(EPOCH_SECS * 1_000_000_000 + self.now * 1_000)
    }

    /// The simulated time of a moment of true time, not before now.
    pub(crate) fn until(&self, at: Timestamp) -> u64 {
        // Rounded up, so that what was to happen at a moment finds that it has come.
        let us =
            at.0.saturating_sub(EPOCH_SECS * 1_000_000_000)
                .div_ceil(1_000);
        us.saturating_sub(self.now)
    }

    pub(crate) fn after(&mut self, us: u64, event: Event) {
        self.queue.push(self.now.saturating_add(us), event);
    }

    /// Does something from outside after a while.
    pub(crate) fn act_later(&mut self, us: u64, act: Act, how: u64) {
        let at = self.now.saturating_add(us);
        let step = Step {
            at,
            act,
            who: 0,
            ms: 0,
            how,
            text: String::new(),
        };
        self.queue.push(at, Event::Act(Box::new(step)));
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn mark(&mut self, name: &'static str) {
        // By address: names are long, alike, and marked millions of times.
        self.counts
            .entry(name.as_ptr() as usize)
            .or_insert((name, 0))
            .1 += 1;
    }

    /// Situations that were reached.
    pub(crate) fn marks(&self) -> Marks {
        let mut marks = Marks::new();
        for (name, count) in self.counts.values() {
            *marks.entry(name).or_default() += count;
        }
        marks
    }

    pub(crate) fn judge(&mut self, verdict: Verdict) {
        if let Err(violation) = verdict {
            self.violation.get_or_insert(violation);
        }
    }

    /// Notes that something was reached, if it was.
    pub(crate) fn mark_if(&mut self, reached: bool, name: &'static str) {
        if reached {
            self.mark(name);
        }
    }

    pub(crate) fn violate(&mut self, rule: &'static str, text: impl Into<String>) {
        self.judge(Err(Violation::new(rule, text)));
    }

    /// Notes that something happened: in the trace and, if somebody looks on, as a row.
    pub(crate) fn note(&mut self, who: (&str, usize), what: u64, row: impl FnOnce() -> String) {
        self.trace = fold(fold(self.trace, self.now), what);
        if let Some(show) = &mut self.show {
            let (kind, at) = who;
            show(self.now, &format!("{kind}{at}"), &row());
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Manager(at, start, event) => self.manager_event(at, start, event),
            Event::BootManager(at) => self.boot_manager(at),
            Event::Packet(packet) => self.packet(*packet),
            Event::ToManager(at, link, call) => self.at_manager(at, link, *call),
            Event::ToAgent(at, link, answer) => self.at_agent(at, link, *answer),
            Event::Agent(at, boot, event) => self.agent_event(at, boot, event),
            Event::BootAgent(at) => self.boot_agent(at),
            Event::Exit(at, task, run, code) => self.exit(at, task, run, code),
            Event::Act(step) => self.act(&step),
            Event::Read => self.client_reads(),
            Event::Watch(at) => self.watch(at),
            Event::Look => {
                self.after(SEC, Event::Look);
                self.look_after_managers();
                self.check_files();
                self.check_pipeline();
                let verdict = self.look();
                self.judge(verdict);
            }
        }
    }

    /// The manager that leads and is ready, if one is: the one of the highest term.
    pub(crate) fn leader(&self) -> Option<usize> {
        let reigns = self.hosts.iter().enumerate().filter_map(|(at, host)| {
            let reign = host.process.as_ref()?.reign.as_ref()?;
            Some((reign.reign.term, at))
        });
        reigns.max().map(|(_, at)| at)
    }

    /// The agent on the machine of a manager.
    pub(crate) fn agent_on(&self, at: usize) -> Option<usize> {
        let node = self.hosts[at].node;
        self.agents.iter().position(|a| a.node == node)
    }

    /// The manager on the machine of an agent.
    pub(crate) fn host_on(&self, agent: usize) -> Option<usize> {
        let node = self.agents[agent].node;
        self.hosts.iter().position(|h| h.node == node && !h.gone)
    }
}
