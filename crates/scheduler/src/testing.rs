//! Objects for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{Action, Draft, NewTask, Object, Plan, State, Transaction};
use types::entropy::SeededEntropy;
use types::node::{NodeDescription, NodeStatus, Platform};
use types::service::{Endpoint, PortConfig, PublishMode};
use types::task::Placement;
use types::{
    Node, NodeId, NodeSpec, NodeState, Resources, Service, ServiceId, ServiceSpec, Task, TaskId,
    TaskState, TaskStatus, Timestamp,
};

use crate::Scheduler;
use crate::index::occupied;

pub(crate) const GIB: i64 = 1 << 30;
pub(crate) const CPU: i64 = 1_000_000_000;

pub(crate) fn node_id(n: u64) -> NodeId {
    NodeId::from_u128((1 << 127) + u128::from(n)).unwrap()
}

/// A ready node with 4 CPUs and 8 GiB.
pub(crate) fn node(n: u64) -> Node {
    Node {
        description: Some(Arc::new(NodeDescription {
            hostname: format!("host-{n}"),
            platform: Platform {
                architecture: "x86_64".into(),
                os: "linux".into(),
            },
            resources: Resources {
                nano_cpus: 4 * CPU,
                memory_bytes: 8 * GIB,
                generic: Vec::new(),
            },
            ..NodeDescription::default()
        })),
        status: NodeStatus {
            state: NodeState::Ready,
            ..NodeStatus::default()
        },
        ..Node::new(node_id(n), NodeSpec::default())
    }
}

pub(crate) fn labelled(n: u64, key: &str, value: &str) -> Node {
    let mut node = node(n);
    let labels = &mut node.spec.annotations.labels;
    labels.insert(key.into(), value.into());
    node
}

/// The cluster object.
pub(crate) fn cluster(spec: types::ClusterSpec) -> types::Cluster {
    types::Cluster::new(types::ClusterId::MIN, spec)
}

pub(crate) fn service_id(n: u64) -> ServiceId {
    ServiceId::from_u128((1 << 127) + u128::from(n)).unwrap()
}

pub(crate) fn task_id(n: u64) -> TaskId {
    TaskId::from_u128((1 << 127) + u128::from(n)).unwrap()
}

/// A service that reserves nothing.
pub(crate) fn service(n: u64, edit: impl FnOnce(&mut ServiceSpec)) -> Service {
    let mut spec = ServiceSpec {
        annotations: types::Annotations::named(format!("service-{n}")),
        ..ServiceSpec::default()
    };
    edit(&mut spec);
    let endpoint = spec.endpoint.clone().map(|declared| Endpoint {
        ports: declared.ports.clone(),
        spec: declared,
        virtual_ips: Vec::new(),
    });
    Service {
        endpoint: endpoint.map(Arc::new),
        ..Service::new(service_id(n), spec)
    }
}

/// Sets what a service's tasks reserve.
pub(crate) fn reserve(spec: &mut ServiceSpec, nano_cpus: i64, memory_bytes: i64) {
    spec.task.resources.reservations = Some(Resources {
        nano_cpus,
        memory_bytes,
        generic: Vec::new(),
    });
}

/// Changes the placement of a service's tasks.
pub(crate) fn place(spec: &mut ServiceSpec, edit: impl FnOnce(&mut Placement)) {
    edit(spec.task.placement.get_or_insert_default());
}

/// Has a service publish a fixed port on the node of each task.
pub(crate) fn publish(spec: &mut ServiceSpec, port: u32) {
    let endpoint = spec.endpoint.get_or_insert_default();
    endpoint.ports.push(PortConfig {
        target_port: port,
        published_port: port,
        publish_mode: PublishMode::Host,
        ..PortConfig::default()
    });
}

/// A state with a scheduler that follows it, as on a leader.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Timestamp,
    tasks: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let state = State::default();
        let now = Timestamp::from_secs(1_000_000);
        Self {
            scheduler: Scheduler::new(&state, now),
            state,
            now,
            tasks: 0,
        }
    }

    /// A world with these nodes.
    pub(crate) fn with(nodes: impl IntoIterator<Item = Node>) -> Self {
        let mut world = Self::new();
        for node in nodes {
            world.act([Action::Create(node.into())]);
        }
        world
    }

    /// Applies actions and shows the changes to the scheduler.
    pub(crate) fn act(&mut self, actions: impl IntoIterator<Item = Action>) {
        let tx = Transaction {
            digest: None,
            version: self.state.version() + 1,
            at: self.now,
            actions: actions.into_iter().collect(),
        };
        let commit = self.state.apply(&tx).unwrap();
        commit
            .changes
            .iter()
            .for_each(|c| self.scheduler.observe(c));
    }

    pub(crate) fn create(&mut self, object: impl Into<Object>) {
        self.act([Action::Create(object.into())]);
    }

    /// Adds PENDING tasks of a service and returns their ids.
    pub(crate) fn pending(&mut self, service: u64, count: u64) -> Vec<TaskId> {
        (0..count).map(|_| self.pending_on(service, None)).collect()
    }

    /// Adds a PENDING task, made for a node if one is given.
    pub(crate) fn pending_on(&mut self, service: u64, node: Option<NodeId>) -> TaskId {
        self.tasks += 1;
        let id = task_id(self.tasks);
        let service = self.state.services().get(service_id(service)).unwrap();
        let new = NewTask {
            id,
            service: service.id,
            spec_version: service.spec_version,
            slot: self.tasks,
            node,
            desired_state: TaskState::Running,
            job_iteration: None,
        };
        self.act([Action::NewTask(new), Action::Allocate { task: id }]);
        id
    }

    /// Changes a node.
    pub(crate) fn edit_node(&mut self, n: u64, edit: impl FnOnce(&mut Node)) {
        let mut node = Node::clone(self.state.nodes().get(node_id(n)).unwrap());
        edit(&mut node);
        self.act([Action::Update(node.into())]);
    }

    /// Reports a task's state as its agent would.
    pub(crate) fn report(&mut self, task: TaskId, state: TaskState) {
        let status = TaskStatus {
            timestamp: self.now,
            applied_at: self.now,
            state,
            ..TaskStatus::default()
        };
        self.act([Action::Report {
            task,
            status: Box::new(status),
        }]);
    }

    pub(crate) fn desire(&mut self, task: TaskId, state: TaskState) {
        self.act([Action::Desire { task, state }]);
    }

    /// Plans once without applying anything.
    pub(crate) fn plan(&mut self) -> Plan {
        let mut entropy = SeededEntropy::new(1);
        self.scheduler.plan(&self.state, self.now, &mut entropy)
    }

    /// Plans once, applies every step and shows the changes. Returns the plan.
    pub(crate) fn step(&mut self) -> Plan {
        let plan = self.plan();
        let mut draft = Draft::new(&self.state, self.now);
        for step in plan.steps.clone() {
            draft.add(step).unwrap();
        }
        let (_, commit, state) = draft.finish();
        self.state = state;
        commit
            .changes
            .iter()
            .for_each(|c| self.scheduler.observe(c));
        plan
    }

    /// Plans until there is nothing to do now.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            if self.step().steps.is_empty() {
                return;
            }
        }
        panic!("the scheduler does not come to rest");
    }

    pub(crate) fn task(&self, id: TaskId) -> &Task {
        self.state.tasks().get(id).unwrap()
    }

    /// The number of the node that a task occupies.
    pub(crate) fn node_of(&self, id: TaskId) -> Option<u64> {
        let node = occupied(self.task(id))?;
        Some(u64::try_from(node.get() - (1 << 127)).unwrap())
    }

    /// How many of these tasks each node has.
    pub(crate) fn spread(&self, tasks: &[TaskId]) -> BTreeMap<u64, usize> {
        let mut counts = BTreeMap::new();
        for node in tasks.iter().filter_map(|id| self.node_of(*id)) {
            *counts.entry(node).or_default() += 1;
        }
        counts
    }

    /// Why a task waits.
    pub(crate) fn err(&self, id: TaskId) -> &str {
        &self.task(id).status.err
    }
}
