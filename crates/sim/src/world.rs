//! The simulated cluster: one queue of events in simulated time, and everything they happen to.

use std::collections::{BTreeMap, BTreeSet};

use invariants::{Verdict, Violation};
use types::{NodeId, Timestamp};

use crate::agent::{Agent, ToAgent, ToManager};
use crate::host::{Host, Outcome, Packet, SnapshotFile, Waiter};
use crate::operator::Operator;
use crate::oracle::Oracle;
use crate::params::{Bug, MS, Params, SEC};
use crate::reign::{Planned, ReignId};
use crate::rng::{Rng, fold};

/// When simulated time begins: a moment of 2023.
const EPOCH_SECS: u64 = 1_700_000_000;

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
    /// An operator does something.
    Operator,
    /// Something breaks.
    Fault,
    /// The whole cluster is looked at.
    Look,
}

#[derive(Debug)]
pub(crate) enum ManagerEvent {
    Tick,
    Written,
    SnapshotMade(Box<SnapshotFile>),
    SnapshotEnded(consensus::RaftId, bool),
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
    /// Situations that were reached.
    pub marks: Marks,
    pub(crate) bug: Option<Bug>,
    pub(crate) calm: bool,
    pub(crate) rng: Rng,
    pub(crate) seed: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) oracle: Oracle,
    pub(crate) operator: Operator,
    /// Pairs of managers between which nothing passes in this direction.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Pairs of agent and manager between which nothing passes.
    pub(crate) agent_cut: BTreeSet<(usize, usize)>,
    /// Connections that lost a message: nothing passes them any more, in either direction.
    pub(crate) dead_links: BTreeSet<u64>,
    pub(crate) numbers: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) passes: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    show: Option<Show>,
}

impl World {
    /// The cluster of a seed, before anything happened.
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = Rng::new(seed);
        let params = Params::from_rng(&mut rng);
        let mut world = Self {
            now: 0,
            trace: 0,
            marks: Marks::new(),
            bug,
            calm: false,
            seed,
            hosts: Vec::new(),
            agents: Vec::new(),
            oracle: Oracle::default(),
            operator: Operator::default(),
            cut: BTreeSet::new(),
            agent_cut: BTreeSet::new(),
            dead_links: BTreeSet::new(),
            numbers: 0,
            violation: None,
            passes: 0,
            queue: BTreeMap::new(),
            events: 0,
            show: None,
            rng,
            params,
        };
        for at in 0..world.params.managers {
            let host = Host::new(at, NodeId::random(&mut world.rng), world.skew());
            world.hosts.push(host);
        }
        world.found_cluster();
        for at in 0..world.params.agents {
            world.new_agent(at);
        }
        for (at, event) in [
            (2 * SEC, Event::Operator),
            (5 * SEC, Event::Fault),
            (SEC, Event::Look),
        ] {
            world.after(at, event);
        }
        world
    }

    /// Prints every event through `show` from now on.
    pub fn show(&mut self, show: Show) {
        self.show = Some(show);
    }

    /// How many events have happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn skew(&mut self) -> i64 {
        let max = self.params.skew_max;
        let drawn = self.rng.between(0, 2 * max);
        (i64::try_from(drawn).unwrap_or(0) - i64::try_from(max).unwrap_or(0)) * 1_000
    }

    /// Runs until a moment of simulated time.
    ///
    /// # Errors
    /// The first invariant that did not hold.
    pub fn run_until(&mut self, end: u64) -> Verdict {
        while let Some(next) = self.queue.first_entry() {
            if next.key().0 > end {
                break;
            }
            let ((at, _), event) = next.remove_entry();
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
        self.events += 1;
        let at = self.now.saturating_add(us);
        self.queue.insert((at, self.events), event);
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn mark(&mut self, name: &'static str) {
        *self.marks.entry(name).or_default() += 1;
    }

    pub(crate) fn judge(&mut self, verdict: Verdict) {
        if let Err(violation) = verdict {
            self.violation.get_or_insert(violation);
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
            Event::Operator => self.operate(),
            Event::Fault => self.fault(),
            Event::Look => {
                self.after(SEC, Event::Look);
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
}
