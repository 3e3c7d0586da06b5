//! A cluster in memory: real tables and stages, pretended nodes, and a clock that scripts move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use allocator::Allocator;
use orchestrator::{Enforcer, Orchestrator, Reaper, Rebalancer};
use scheduler::Scheduler;
use store::{Action, Change, Draft, Object, Plan, State, Step};
use types::entropy::SeededEntropy;
use types::{Cluster, ClusterId, Entropy, Service, ServiceId, Task, TaskId, TaskState, Timestamp};

use crate::agents::{Agents, report};

/// When every script begins: midnight UTC on a Thursday.
const BEGIN_SECS: u64 = 1_767_225_600;

/// Rounds in which everything must come to rest at one moment.
const ROUNDS_MAX: usize = 20_000;

/// A cluster in memory.
#[derive(Debug)]
pub struct World {
    /// The tables.
    pub state: State,
    /// The present moment.
    pub now: Timestamp,
    pub(crate) entropy: SeededEntropy,
    pub(crate) agents: Agents,
    stages: Stages,
    wake_at: Option<Timestamp>,
    /// Fewest running tasks of each service since somebody asked.
    lowest: BTreeMap<ServiceId, u64>,
}

#[derive(Debug)]
struct Stages {
    enforcer: Enforcer,
    orchestrator: Orchestrator,
    rebalancer: Rebalancer,
    allocator: Allocator,
    scheduler: Scheduler,
    reaper: Reaper,
}

impl Stages {
    fn new(view: &State, now: Timestamp) -> Self {
        Self {
            enforcer: Enforcer::new(view, now),
            orchestrator: Orchestrator::new(view, now),
            rebalancer: Rebalancer::new(view, now),
            allocator: Allocator::new(view, now),
            scheduler: Scheduler::new(view, now),
            reaper: Reaper::new(view, now),
        }
    }

    fn observe(&mut self, change: &Change) {
        self.enforcer.observe(change);
        self.orchestrator.observe(change);
        self.rebalancer.observe(change);
        self.allocator.observe(change);
        self.scheduler.observe(change);
        self.reaper.observe(change);
    }

    /// The plan of one stage, in the order of the leader's pipeline.
    fn plan(&mut self, at: usize, view: &State, now: Timestamp, entropy: &mut dyn Entropy) -> Plan {
        match at {
            0 => self.enforcer.plan(view, now),
            1 => self.orchestrator.plan(view, now, entropy),
            2 => self.rebalancer.plan(view, now, entropy),
            3 => self.allocator.plan(view, now, entropy),
            4 => self.scheduler.plan(view, now, entropy),
            _ => self.reaper.plan(view, now),
        }
    }
}

const STAGES: usize = 6;

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A cluster without nodes and services.
    pub fn new() -> Self {
        let state = State::default();
        let now = Timestamp::from_secs(BEGIN_SECS);
        let mut world = Self {
            stages: Stages::new(&state, now),
            state,
            now,
            entropy: SeededEntropy::new(1),
            agents: Agents::default(),
            wake_at: None,
            lowest: BTreeMap::new(),
        };
        let cluster = empty_cluster(ClusterId::random(&mut world.entropy));
        world.apply(vec![Step::unguarded(Action::Create(cluster.into()))]);
        world
    }

    /// Another manager leads: its stages know nothing but the tables.
    pub fn change_leader(&mut self) {
        self.stages = Stages::new(&self.state, self.now);
    }

    /// A service by name.
    ///
    /// # Errors
    /// If there is none.
    pub fn service(&self, name: &str) -> Result<&Arc<Service>, String> {
        let mut found = self.state.services().by_name(name);
        found.next().ok_or_else(|| format!("no service {name}"))
    }

    /// Applies a step that a user or a node asks for.
    ///
    /// # Errors
    /// If the tables refuse it.
    pub fn act(&mut self, actions: impl IntoIterator<Item = Action>) -> Result<(), String> {
        match self.apply(vec![Step::together(actions)]).pop() {
            None => Ok(()),
            Some(refusal) => Err(refusal),
        }
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// If the tables refuse it.
    pub fn update(&mut self, object: impl Into<Object>) -> Result<(), String> {
        self.act(vec![Action::Update(object.into())])
    }

    /// Reports a task as failed.
    ///
    /// # Errors
    /// If the tables refuse it.
    pub fn fail(&mut self, task: TaskId) -> Result<(), String> {
        let task = self.state.tasks().get(task).ok_or("no such task")?.clone();
        let step = report(
            &task,
            TaskState::Failed,
            "task: killed by the script",
            self.now,
        );
        self.act(step.actions)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// If the cluster does not come to rest at a moment.
    pub fn run(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now.plus(time);
        loop {
            self.settle()?;
            if self.now >= end {
                return Ok(());
            }
            let soon = self
                .wake_at
                .into_iter()
                .chain(self.agents.next_due(self.now));
            let next = soon.filter(|at| *at > self.now).min();
            self.now = next.map_or(end, |at| at.min(end));
        }
    }

    /// Lets every stage and agent work until nothing is left to do at this moment.
    ///
    /// # Errors
    /// If that does not end.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let before = self.state.version();
            self.wake_at = None;
            for at in 0..STAGES {
                let view = self.state.clone();
                let plan = self.stages.plan(at, &view, self.now, &mut self.entropy);
                let wake = plan.wake_at.into_iter().chain(self.wake_at);
                self.wake_at = wake.min();
                self.apply(plan.steps);
            }
            let reports = self.agents.reports(&self.state, self.now);
            self.apply(reports);
            let due = self.wake_at.is_some_and(|at| at <= self.now);
            if self.state.version() == before && !due {
                return Ok(());
            }
        }
        Err("the cluster does not come to rest".to_owned())
    }

    /// Whether a new leader would change anything at this moment.
    pub fn proposes_something(&self) -> bool {
        let mut stages = Stages::new(&self.state, self.now);
        let mut entropy = SeededEntropy::new(2);
        (0..STAGES).any(|at| {
            let plan = stages.plan(at, &self.state, self.now, &mut entropy);
            !plan.steps.is_empty()
        })
    }

    /// Fewest running tasks of a service since this was asked last.
    pub fn lowest(&mut self, service: ServiceId) -> u64 {
        let now = self.running(service);
        self.lowest.insert(service, now).unwrap_or(now)
    }

    /// Running tasks of a service.
    pub fn running(&self, service: ServiceId) -> u64 {
        let runs = |t: &&Arc<Task>| t.status.state == TaskState::Running;
        self.state.tasks().of_service(service).filter(runs).count() as u64
    }

    /// Applies the steps that fit; what was wrong with the others.
    fn apply(&mut self, steps: Vec<Step>) -> Vec<String> {
        let mut draft = Draft::new(&self.state, self.now);
        let refused = steps.into_iter().filter_map(|s| draft.add(s).err());
        let refused: Vec<String> = refused.map(|e| e.to_string()).collect();
        if draft.is_empty() {
            return refused;
        }
        let (_, commit, state) = draft.finish();
        self.state = state;
        self.now = Timestamp(self.now.0 + 1);
        commit.changes.iter().for_each(|c| self.stages.observe(c));
        let known: Vec<ServiceId> = self.lowest.keys().copied().collect();
        for service in known {
            let running = self.running(service);
            let least = self.lowest.entry(service).or_insert(running);
            *least = running.min(*least);
        }
        refused
    }
}

fn empty_cluster(id: ClusterId) -> Cluster {
    Cluster {
        subnet_size: 24,
        ..Cluster::new(
            id,
            types::ClusterSpec {
                annotations: types::Annotations::named(types::cluster::CLUSTER_NAME),
                task_history_retention_limit: types::defaults::TASK_HISTORY_RETENTION_LIMIT,
                ..types::ClusterSpec::default()
            },
        )
    }
}
