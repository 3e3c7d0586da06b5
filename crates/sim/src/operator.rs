//! What operators do: the writes of the control API, made on the leader's speculative head as the
//! shell makes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use store::{Action, Draft, Key, Object, Step};
use types::cluster::CLUSTER_NAME;
use types::node::{Membership, NodeStatus};
use types::service::{
    FailureAction, JobStatus, UpdateConfig, UpdateOrder, UpdateState, UpdateStatus,
};
use types::task::{Placement, RestartCondition, RestartPolicy, message};
use types::{
    Annotations, Availability, Cluster, ClusterId, ClusterSpec, Entropy, Meta, Node, NodeSpec,
    Resources, Service, ServiceId, ServiceMode, ServiceSpec, TaskSpec, TaskState, TaskStatus,
    Timestamp, defaults,
};

use crate::host::Waiter;
use crate::node::IMAGES;
use crate::rng::Rng;
use crate::world::{Event, World};

/// What operators remember.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    serial: u64,
    names: u64,
}

type Edit = Vec<Action>;

impl World {
    /// Creates what every cluster has, where it is missing.
    pub(crate) fn plant(&mut self, at: usize) {
        let (clock, mut rng) = (self.clock(at), self.rng.clone());
        let nodes: Vec<_> = self.agents.iter().map(|a| a.node).collect();
        let Some(leading) = self.leading(at) else {
            return;
        };
        if leading.view.head().cluster().is_some() {
            return;
        }
        let mut draft = Draft::new(leading.view.head(), clock);
        let mut actions = vec![Action::Create(Object::from(cluster(&mut rng)))];
        actions.extend(
            nodes
                .into_iter()
                .map(|n| Action::Create(Object::from(node(n, &mut rng)))),
        );
        self.rng = rng;
        for action in actions {
            draft
                .add(Step::unguarded(action))
                .expect("the tables are empty");
        }
        self.write(at, draft);
    }

    fn write(&mut self, at: usize, draft: Draft) -> u64 {
        self.operator.serial += 1;
        let serial = self.operator.serial;
        let waiter = Waiter::Api { serial, hash: 0 };
        let proposal = self.accept(at, draft, waiter);
        if self.bug == Some(crate::params::Bug::AckBeforeCommit) && proposal.is_some() {
            let process = self.process(at);
            let known = process.and_then(|p| p.waiters.values().next_back().copied());
            if let Some((_, Waiter::Api { serial, hash })) = known {
                let verdict = self.oracle.acknowledged(serial, hash);
                self.judge(verdict);
            }
        }
        self.wake_pipeline(at, 0);
        serial
    }

    /// An operator does something, if there is a leader to tell.
    pub(crate) fn operate(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.rng.between(0, self.params.operator_max);
        self.after(pause, Event::Operator);
        if let Some(at) = self.leader() {
            self.operate_on(at);
        }
    }

    fn operate_on(&mut self, at: usize) {
        let clock = self.clock(at);
        let mut rng = self.rng.clone();
        let number = self.operator.names;
        let params = self.params.clone();
        let Some(leading) = self.leading(at) else {
            return;
        };
        let head = leading.view.head().clone();
        let services: Vec<_> = head.services().iter().cloned().collect();
        let choice = rng.under(100);
        let some = rng.pick(&services);
        let edit = match (choice, some) {
            (0..25, _) | (25..80, None) if services.len() < params.services_max => {
                self.operator.names += 1;
                create(&mut rng, number, params.replicas_max, clock)
            }
            (0..40, Some(s)) => scale(&mut rng, &s, params.replicas_max, clock),
            (40..60, Some(s)) => update(&mut rng, &s, clock),
            (60..66, Some(s)) => roll_back(&s, clock),
            (66..72, Some(s)) => vec![Action::Remove(Key::Service(s.id))],
            (72..94, _) => available(&mut rng, &head),
            (94..96, _) => remove_node(&mut rng, &head, clock),
            _ => relabel(&mut rng, &head),
        };
        self.rng = rng;
        self.commit_edit(at, edit, clock);
    }

    fn commit_edit(&mut self, at: usize, edit: Edit, clock: Timestamp) {
        let Some(leading) = self.leading(at).filter(|_| !edit.is_empty()) else {
            return;
        };
        let mut draft = Draft::new(leading.view.head(), clock);
        let step = Step {
            guards: Vec::new(),
            actions: edit,
        };
        if draft.add(step).is_err() {
            return self.mark("operator refused");
        }
        self.mark("operator");
        self.write(at, draft);
    }

    /// The machine of a removed node leaves with it, in one go for simplicity: it is not asked
    /// about any more.
    pub(crate) fn machine_leaves(&mut self, node: types::NodeId) {
        if let Some(at) = self.agents.iter().position(|a| a.node == node) {
            self.agents[at].removed = true;
            self.kill_agent(at);
            self.agents[at].things.clear();
            self.mark("node removed");
        }
    }

    /// A write that must succeed in a healthy cluster: touches the cluster's labels.
    pub(crate) fn fresh_write(&mut self) -> Option<()> {
        let at = self.leader()?;
        let clock = self.clock(at);
        let serial = self.operator.serial;
        let head = self.leading(at)?.view.head().clone();
        let mut cluster = Cluster::clone(head.cluster()?);
        let labels = &mut cluster.spec.annotations.labels;
        labels.insert("fresh".into(), serial.to_string());
        self.commit_edit(at, vec![Action::Update(Object::from(cluster))], clock);
        Some(())
    }
}

fn cluster(rng: &mut Rng) -> Cluster {
    Cluster {
        id: ClusterId::random(rng),
        meta: Meta::default(),
        spec: ClusterSpec {
            annotations: Annotations::named(CLUSTER_NAME),
            task_history_retention_limit: rng.one_of(&[0, 1, 5, 5]),
            raft: defaults::RAFT,
            heartbeat_period: Some(defaults::HEARTBEAT_PERIOD),
            ..ClusterSpec::default()
        },
        root_ca: types::cluster::RootCa::default(),
        network_bootstrap_keys: Vec::new(),
        encryption_key_lamport_clock: 0,
        blacklisted_certificates: BTreeMap::new(),
        unlock_keys: Vec::new(),
        fips: false,
        default_address_pool: Vec::new(),
        subnet_size: 0,
        vxlan_udp_port: 0,
        feature_level: 1,
    }
}

fn node(id: types::NodeId, rng: &mut Rng) -> Node {
    let mut spec = NodeSpec {
        membership: Membership::Accepted,
        ..NodeSpec::default()
    };
    let zone = rng.one_of(&["one", "two"]);
    spec.annotations.labels.insert("zone".into(), zone.into());
    Node {
        id,
        meta: Meta::default(),
        spec,
        description: None,
        status: NodeStatus::default(),
        certificate: types::node::Certificate::default(),
        role: types::NodeRole::Worker,
        attachments: Vec::new(),
        vxlan_udp_port: 0,
    }
}

// Services.

fn create(rng: &mut Rng, number: u64, replicas_max: u64, now: Timestamp) -> Edit {
    let mode = match rng.under(10) {
        0..6 => ServiceMode::Replicated {
            replicas: rng.between(0, replicas_max),
        },
        6 | 7 => ServiceMode::Global,
        8 => ServiceMode::ReplicatedJob {
            max_concurrent: rng.between(1, 3),
            total_completions: rng.between(1, replicas_max.max(2)),
        },
        _ => ServiceMode::GlobalJob,
    };
    let mut spec = ServiceSpec {
        annotations: Annotations::named(format!("s{number}")),
        mode,
        task: task(rng),
        ..ServiceSpec::default()
    };
    if !mode.is_job() && rng.chance(7_000) {
        spec.update = Some(update_config(rng));
        spec.rollback = rng.chance(5_000).then(|| update_config(rng));
    }
    let job = JobStatus {
        iteration: 0,
        last_execution: now,
    };
    let service = Service {
        id: ServiceId::random(rng),
        meta: Meta::default(),
        spec: Arc::new(spec),
        spec_version: 0,
        previous_spec: None,
        previous_spec_version: None,
        endpoint: None,
        update_status: None,
        job_status: mode.is_job().then_some(job),
    };
    vec![Action::Create(Object::from(service))]
}

fn task(rng: &mut Rng) -> TaskSpec {
    let mut task = TaskSpec::default();
    if let Some(container) = task.container_mut() {
        container.image = rng.one_of(&IMAGES).into();
        let grace = rng.one_of(&[None, None, Some(0), Some(3), Some(70)]);
        container.stop_grace_period = grace.map(Duration::from_secs);
    }
    if rng.chance(6_000) {
        task.restart = Some(RestartPolicy {
            condition: rng.one_of(&[
                RestartCondition::Any,
                RestartCondition::Any,
                RestartCondition::OnFailure,
                RestartCondition::None,
            ]),
            delay: rng
                .one_of(&[None, Some(0), Some(1), Some(5)])
                .map(Duration::from_secs),
            max_attempts: rng.one_of(&[0, 0, 0, 1, 3]),
            window: rng.one_of(&[None, None, Some(10)]).map(Duration::from_secs),
        });
    }
    if rng.chance(2_000) {
        let reserve = Resources {
            nano_cpus: rng.one_of(&[100, 500, 1_000, 2_000]) * 1_000_000,
            memory_bytes: 1 << 30,
            generic: Vec::new(),
        }
        .into();
        task.resources.reservations = reserve;
    }
    if rng.chance(2_000) {
        task.placement = Some(placement(rng));
    }
    task
}

fn placement(rng: &mut Rng) -> Placement {
    let constraint = rng.one_of(&["node.labels.zone == one", "node.labels.zone != one"]);
    Placement {
        constraints: vec![constraint.into()],
        max_replicas: rng.one_of(&[0, 0, 1, 2]),
        ..Placement::default()
    }
}

fn update_config(rng: &mut Rng) -> UpdateConfig {
    UpdateConfig {
        parallelism: rng.one_of(&[0, 1, 1, 2, 3]),
        delay: Duration::from_secs(rng.one_of(&[0, 0, 1, 5])),
        failure_action: rng.one_of(&[
            FailureAction::Pause,
            FailureAction::Continue,
            FailureAction::Rollback,
        ]),
        monitor: rng
            .one_of(&[None, Some(0), Some(2)])
            .map(Duration::from_secs),
        max_failure_ratio: rng.one_of(&[0.0, 0.0, 0.3, 1.0]),
        order: rng.one_of(&[UpdateOrder::StopFirst, UpdateOrder::StartFirst]),
    }
}

/// The update of the control API.
fn updated(old: &Service, spec: ServiceSpec, now: Timestamp) -> Edit {
    let mut service = Service::clone(old);
    service.previous_spec = Some(old.spec.clone());
    service.previous_spec_version = Some(old.spec_version);
    service.spec = Arc::new(spec);
    service.spec_version = old.meta.version;
    service.update_status = None;
    next_run(&mut service, now);
    vec![Action::Update(Object::from(service))]
}

fn next_run(service: &mut Service, now: Timestamp) {
    if service.spec.mode.is_job() {
        let iteration = service.job_status.map_or(0, |j| j.iteration + 1);
        service.job_status = Some(JobStatus {
            iteration,
            last_execution: now,
        });
    }
}

fn scale(rng: &mut Rng, service: &Service, replicas_max: u64, now: Timestamp) -> Edit {
    let mut spec = ServiceSpec::clone(&service.spec);
    let ServiceMode::Replicated { replicas } = &mut spec.mode else {
        return Edit::new();
    };
    *replicas = rng.between(0, replicas_max);
    updated(service, spec, now)
}

fn update(rng: &mut Rng, service: &Service, now: Timestamp) -> Edit {
    let mut spec = ServiceSpec::clone(&service.spec);
    match rng.under(6) {
        0 => spec.task.force_update += 1,
        1 => spec.task = task(rng),
        2 if !spec.mode.is_job() => spec.update = Some(update_config(rng)),
        3 => spec.task.placement = rng.chance(5_000).then(|| placement(rng)),
        _ => {
            let number = rng.next_u64();
            if let Some(container) = spec.task.container_mut() {
                container.env = vec![format!("N={number}")];
            }
        }
    }
    updated(service, spec, now)
}

/// The rollback of the control API.
fn roll_back(old: &Service, now: Timestamp) -> Edit {
    let mut service = Service::clone(old);
    let (Some(previous), Some(version)) =
        (service.previous_spec.take(), service.previous_spec_version)
    else {
        return Edit::new();
    };
    service.previous_spec = Some(std::mem::replace(&mut service.spec, previous));
    service.previous_spec_version = Some(std::mem::replace(&mut service.spec_version, version));
    service.update_status = Some(UpdateStatus {
        state: UpdateState::RollbackStarted,
        started_at: now,
        completed_at: Timestamp::ZERO,
        message: "manually requested rollback".into(),
    });
    next_run(&mut service, now);
    vec![Action::Update(Object::from(service))]
}

// Nodes.

fn some_node(rng: &mut Rng, head: &store::State) -> Option<Node> {
    let nodes: Vec<_> = head.nodes().iter().cloned().collect();
    rng.pick(&nodes).map(|n| Node::clone(&n))
}

fn available(rng: &mut Rng, head: &store::State) -> Edit {
    let Some(mut node) = some_node(rng, head) else {
        return Edit::new();
    };
    node.spec.availability = rng.one_of(&[
        Availability::Active,
        Availability::Active,
        Availability::Drain,
        Availability::Pause,
    ]);
    vec![Action::Update(Object::from(node))]
}

fn relabel(rng: &mut Rng, head: &store::State) -> Edit {
    let Some(mut node) = some_node(rng, head) else {
        return Edit::new();
    };
    let zone = rng.one_of(&["one", "two"]);
    let labels = &mut node.spec.annotations.labels;
    labels.insert("zone".into(), zone.into());
    vec![Action::Update(Object::from(node))]
}

/// The forced removal of the control API.
fn remove_node(rng: &mut Rng, head: &store::State, now: Timestamp) -> Edit {
    if head.nodes().len() < 3 {
        return Edit::new();
    }
    let Some(node) = some_node(rng, head) else {
        return Edit::new();
    };
    let live = head.tasks().on_node(node.id);
    let live = live.filter(|t| t.status.state < TaskState::Complete);
    let mut edit: Edit = live
        .map(|t| Action::Report {
            task: t.id,
            status: Box::new(TaskStatus {
                timestamp: now,
                state: TaskState::Orphaned,
                message: message("task orphaned because its node was removed"),
                ..t.status.clone()
            }),
        })
        .collect();
    edit.push(Action::Remove(Key::Node(node.id)));
    edit
}
