//! Changes of services, secrets and cluster settings, as the control API makes them.

use std::sync::Arc;
use std::time::Duration;

use store::{Action, Key, Object, State};
use types::cluster::CLUSTER_NAME;
use types::container::{FileTarget, SecretReference};
use types::secret::{SecretBytes, SecretSpec};
use types::service::{
    EndpointSpec, FailureAction, JobStatus, PortConfig, PublishMode, UpdateConfig, UpdateOrder,
    UpdateState, UpdateStatus,
};
use types::task::{Placement, RestartCondition, RestartPolicy};
use types::{
    Annotations, Cluster, ClusterId, ClusterSpec, Entropy, Meta, Resources, Secret, SecretId,
    Service, ServiceId, ServiceMode, ServiceSpec, TaskSpec, Timestamp, defaults,
};

use crate::node::IMAGES;
use crate::rng::Rng;

/// Actions of one write.
pub(crate) type Edit = Vec<Action>;

/// Ports that services ask for on their nodes.
const HOST_PORTS: [u32; 3] = [8_080, 8_081, 8_082];

/// The cluster object of a new cluster.
pub(crate) fn cluster(rng: &mut Rng, history: u64) -> Cluster {
    Cluster {
        feature_level: 1,
        ..Cluster::new(
            ClusterId::random(rng),
            ClusterSpec {
                annotations: Annotations::named(CLUSTER_NAME),
                task_history_retention_limit: i64::try_from(history).unwrap_or(5),
                raft: defaults::RAFT,
                heartbeat_period: Some(defaults::HEARTBEAT_PERIOD),
                ..ClusterSpec::default()
            },
        )
    }
}

// Services.

/// A new service.
pub(crate) fn create(
    rng: &mut Rng,
    head: &State,
    (number, replicas_max): (u64, u64),
    now: Timestamp,
) -> Edit {
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
        task: task(rng, head),
        endpoint: endpoint(rng),
        ..ServiceSpec::default()
    };
    if !mode.is_job() && rng.chance(7_000) {
        spec.update = Some(update_config(rng));
        spec.rollback = rng.chance(5_000).then(|| update_config(rng));
    }
    vec![Action::Create(Object::from(new_service(rng, spec, now)))]
}

/// A service that nobody has seen yet.
pub(crate) fn new_service(rng: &mut Rng, spec: ServiceSpec, now: Timestamp) -> Service {
    let mode = spec.mode;
    let job = JobStatus {
        iteration: 0,
        last_execution: now,
    };
    Service {
        job_status: mode.is_job().then_some(job),
        ..Service::new(ServiceId::random(rng), spec)
    }
}

/// Ports of the routing mesh, chosen or asked for, or on the nodes.
fn endpoint(rng: &mut Rng) -> Option<EndpointSpec> {
    let port = |publish_mode, published_port| PortConfig {
        target_port: 80,
        published_port,
        publish_mode,
        ..PortConfig::default()
    };
    let ports = match rng.under(20) {
        0..2 => vec![port(PublishMode::Ingress, 0)],
        2 => vec![port(PublishMode::Ingress, rng.one_of(&[30_000, 30_001]))],
        3..5 => vec![port(PublishMode::Host, rng.one_of(&HOST_PORTS))],
        5 => vec![port(PublishMode::Host, 0)],
        _ => return None,
    };
    let mode = Default::default();
    Some(EndpointSpec { mode, ports })
}

fn task(rng: &mut Rng, head: &State) -> TaskSpec {
    let mut task = TaskSpec::default();
    if let Some(container) = task.container_mut() {
        container.image = rng.one_of(&IMAGES).into();
        let grace = rng.one_of(&[None, None, Some(0), Some(3), Some(70)]);
        container.stop_grace_period = grace.map(Duration::from_secs);
        let secrets: Vec<_> = head.secrets().iter().cloned().collect();
        let some = rng.pick(&secrets).filter(|_| rng.chance(5_000));
        container.secrets = some.iter().map(|s| reference(s)).collect();
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
pub(crate) fn updated(old: &Service, spec: ServiceSpec, now: Timestamp) -> Edit {
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

/// Other replicas.
pub(crate) fn scale(rng: &mut Rng, service: &Service, replicas_max: u64, now: Timestamp) -> Edit {
    let mut spec = ServiceSpec::clone(&service.spec);
    let ServiceMode::Replicated { replicas } = &mut spec.mode else {
        return Edit::new();
    };
    *replicas = rng.between(0, replicas_max);
    updated(service, spec, now)
}

/// Something else to run.
pub(crate) fn update(rng: &mut Rng, head: &State, service: &Service, now: Timestamp) -> Edit {
    let mut spec = ServiceSpec::clone(&service.spec);
    match rng.under(7) {
        6 => spec.endpoint = endpoint(rng),
        0 => spec.task.force_update += 1,
        1 => spec.task = task(rng, head),
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
pub(crate) fn roll_back(old: &Service, now: Timestamp) -> Edit {
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

// What else can be changed.

fn state(service: &Service) -> Option<UpdateState> {
    service.update_status.as_ref().map(|u| u.state)
}

pub(crate) fn is_updating(service: &Service) -> bool {
    state(service) == Some(UpdateState::Updating)
}

pub(crate) fn is_rolling_back(service: &Service) -> bool {
    state(service) == Some(UpdateState::RollbackStarted)
}

/// Replicas of a service that has a number of them.
pub(crate) fn replicas(service: &Service) -> Option<u64> {
    match service.spec.mode {
        ServiceMode::Replicated { replicas } => Some(replicas),
        _ => None,
    }
}

pub(crate) fn scale_to(service: &Service, count: u64, now: Timestamp) -> Edit {
    let mut spec = ServiceSpec::clone(&service.spec);
    let ServiceMode::Replicated { replicas } = &mut spec.mode else {
        return Edit::new();
    };
    *replicas = count;
    updated(service, spec, now)
}

/// Other join tokens and another heartbeat period.
pub(crate) fn rotate(rng: &mut Rng, head: &State) -> Edit {
    let Some(cluster) = head.cluster() else {
        return Edit::new();
    };
    let mut cluster = Cluster::clone(cluster);
    cluster.root_ca.join_tokens.worker = format!("SWMTKN-1-{:x}", rng.next_u64());
    let period = rng.one_of(&[2, 5, 5]);
    cluster.spec.heartbeat_period = Some(Duration::from_secs(period));
    vec![Action::Update(Object::from(cluster))]
}

fn secret(rng: &mut Rng, number: u64) -> Secret {
    let spec = SecretSpec {
        annotations: Annotations::named(format!("secret{number}")),
        data: SecretBytes::new(format!("canary-{:x}", rng.next_u64()).into_bytes()),
        ..SecretSpec::default()
    };
    let (id, meta) = (SecretId::random(rng), Meta::default());
    Secret {
        id,
        meta,
        spec,
        internal: false,
    }
}

pub(crate) fn reference(secret: &Secret) -> SecretReference {
    SecretReference {
        secret_id: secret.id,
        secret_name: secret.spec.annotations.name.clone(),
        file: Some(FileTarget::named(&secret.spec.annotations.name)),
    }
}

/// A new secret; what no service can come back to is removed.
pub(crate) fn make_secret(rng: &mut Rng, head: &State, number: u64) -> Edit {
    let unused = head.secrets().iter().filter(|s| !is_used(head, s.id));
    let mut edit: Edit = unused.map(|s| Action::Remove(Key::Secret(s.id))).collect();
    edit.push(Action::Create(Object::from(secret(rng, number))));
    edit
}

fn is_used(head: &State, id: SecretId) -> bool {
    let refers = |spec: &ServiceSpec| {
        let container = spec.task.container();
        container.is_some_and(|c| c.secrets.iter().any(|r| r.secret_id == id))
    };
    let by_task = head
        .tasks()
        .iter()
        .any(|t| t.is_runnable() && refers(&t.service_spec));
    let mut services = head.services().iter();
    by_task
        || services.any(|s| refers(&s.spec) || s.previous_spec.as_ref().is_some_and(|p| refers(p)))
}

/// Services that use a secret take a new one.
pub(crate) fn rotate_secret(rng: &mut Rng, head: &State, number: u64, now: Timestamp) -> Edit {
    let secrets: Vec<_> = head.secrets().iter().cloned().collect();
    let Some(old) = rng.pick(&secrets) else {
        return make_secret(rng, head, number);
    };
    let new = secret(rng, number);
    let to = reference(&new);
    let mut edit = vec![Action::Create(Object::from(new))];
    for service in head.services_using_secret(old.id) {
        let mut spec = ServiceSpec::clone(&service.spec);
        if let Some(container) = spec.task.container_mut() {
            let mut used = container.secrets.iter_mut();
            if let Some(used) = used.find(|r| r.secret_id == old.id) {
                *used = to.clone();
            }
        }
        edit.extend(updated(service, spec, now));
    }
    edit
}

/// Whether the control API would take these services.
pub(crate) fn is_valid(edit: &Edit) -> bool {
    edit.iter().all(|action| match action {
        Action::Create(Object::Service(s)) | Action::Update(Object::Service(s)) => {
            validate::service(&s.spec).is_ok()
        }
        _ => true,
    })
}
