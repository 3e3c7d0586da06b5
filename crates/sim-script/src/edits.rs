//! What operators ask for, drafted by the functions of the control API.

use std::collections::BTreeSet;
use std::time::Duration;

use control::service::{self, Update};
use control::{ControlError, cluster as settings, objects};
use store::{Draft, State};
use types::cluster::{CLUSTER_NAME, CaConfig};
use types::container::{ConfigReference, ConfigTarget, FileTarget, SecretReference};
use types::options::Rebalance;
use types::secret::{SecretBytes, SecretSpec};
use types::service::{
    EndpointSpec, FailureAction, PortConfig, PublishMode, UpdateConfig, UpdateOrder, UpdateState,
};
use types::task::{Placement, RestartCondition, RestartPolicy};
use types::{
    Annotations, Cluster, ClusterId, ClusterSpec, Config, ConfigId, ConfigSpec, Entropy, Resources,
    Secret, SecretId, Service, ServiceMode, ServiceSpec, TaskSpec, Timestamp, defaults,
};
use wire::api::KeyRotation;

use crate::params::Params;
use crate::rng::Rng;

/// Nothing, or why the control API refuses.
pub type Edited = Result<(), ControlError>;

/// What images do. Long-running ones end only while faults last.
pub const IMAGES: [&str; 10] = [
    "stable", "stable", "stable", "slow", "crash", "oneshot", "flaky", "missing", "stubborn",
    "sick",
];

/// Ports that services ask for on their nodes.
const HOST_PORTS: [u32; 3] = [8_080, 8_081, 8_082];

/// The cluster object of a new cluster.
pub fn cluster(rng: &mut Rng, id: ClusterId, params: &Params) -> Cluster {
    let mut cluster = Cluster {
        feature_level: 1,
        ..Cluster::new(
            id,
            ClusterSpec {
                annotations: Annotations::named(CLUSTER_NAME),
                task_history_retention_limit: i64::try_from(params.history).unwrap_or(5),
                raft: defaults::RAFT,
                heartbeat_period: Some(defaults::HEARTBEAT_PERIOD),
                ca: CaConfig {
                    node_cert_expiry: Some(Duration::from_micros(params.certificate_life)),
                    ..CaConfig::default()
                },
                ..ClusterSpec::default()
            },
        )
    };
    let tokens = &mut cluster.root_ca.join_tokens;
    tokens.worker = settings::fresh_token(&[], rng);
    tokens.manager = settings::fresh_token(&[], rng);
    cluster
}

// Services.

/// A new service.
pub fn create(
    draft: &mut Draft,
    rng: &mut Rng,
    (number, replicas_max): (u64, u64),
    now: Timestamp,
) -> Edited {
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
        task: task(rng, draft.state()),
        endpoint: endpoint(rng),
        ..ServiceSpec::default()
    };
    if !mode.is_job() && rng.chance(7_000) {
        spec.update = Some(update_config(rng));
        spec.rollback = rng.chance(5_000).then(|| update_config(rng));
    }
    if matches!(mode, ServiceMode::Replicated { .. }) && rng.chance(2_000) {
        spec.options.rebalance = Rebalance::Auto;
    }
    // Mesh ports are allocated and not served yet: the allocator is to be seen at work.
    service::make(draft, spec, now, rng).map(drop)
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
        let configs: Vec<_> = head.configs().iter().cloned().collect();
        let some = rng.pick(&configs).filter(|_| rng.chance(5_000));
        container.configs = some.iter().map(|c| config_reference(c)).collect();
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

/// Another spec.
pub fn change(draft: &mut Draft, old: &Service, spec: ServiceSpec, now: Timestamp) -> Edited {
    service::edit(draft, Update::to(old, spec), now).map(drop)
}

/// Something else to run.
pub fn update(draft: &mut Draft, rng: &mut Rng, old: &Service, now: Timestamp) -> Edited {
    let mut spec = ServiceSpec::clone(&old.spec);
    match rng.under(7) {
        6 => spec.endpoint = endpoint(rng),
        0 => spec.task.force_update += 1,
        1 => spec.task = task(rng, draft.state()),
        2 if !spec.mode.is_job() => spec.update = Some(update_config(rng)),
        3 => spec.task.placement = rng.chance(5_000).then(|| placement(rng)),
        _ => {
            let number = rng.next_u64();
            if let Some(container) = spec.task.container_mut() {
                container.env = vec![format!("N={number}")];
            }
        }
    }
    change(draft, old, spec, now)
}

/// The spec before.
pub fn roll_back(draft: &mut Draft, old: &Service, now: Timestamp) -> Edited {
    service::edit(draft, Update::back(old), now).map(drop)
}

// What else can be changed.

fn state(service: &Service) -> Option<UpdateState> {
    service.update_status.as_ref().map(|u| u.state)
}

/// Whether an update is under way.
pub fn is_updating(service: &Service) -> bool {
    state(service) == Some(UpdateState::Updating)
}

/// Whether a rollback is under way.
pub fn is_rolling_back(service: &Service) -> bool {
    state(service) == Some(UpdateState::RollbackStarted)
}

/// Replicas of a service that has a number of them.
pub fn replicas(service: &Service) -> Option<u64> {
    match service.spec.mode {
        ServiceMode::Replicated { replicas } => Some(replicas),
        _ => None,
    }
}

/// Another number of replicas.
pub fn scale_to(draft: &mut Draft, old: &Service, count: u64, now: Timestamp) -> Edited {
    let mut spec = ServiceSpec::clone(&old.spec);
    let ServiceMode::Replicated { replicas } = &mut spec.mode else {
        return Ok(());
    };
    *replicas = count;
    change(draft, old, spec, now)
}

/// Other join tokens and another heartbeat period.
pub fn rotate(draft: &mut Draft, rng: &mut Rng) -> Edited {
    let Some(cluster) = draft.state().cluster().cloned() else {
        return Ok(());
    };
    let mut spec = cluster.spec.clone();
    let period = rng.one_of(&[2, 5, 5]);
    spec.heartbeat_period = Some(Duration::from_secs(period));
    let rotation = KeyRotation {
        worker_join_token: true,
        manager_join_token: rng.chance(5_000),
        manager_unlock_key: false,
    };
    let (id, version) = (cluster.id.to_string(), cluster.meta.version);
    settings::update(draft, &id, version, Some(spec), rotation, rng).map(drop)
}

// Secrets and configs.

/// How a service names a secret.
pub fn reference(secret: &Secret) -> SecretReference {
    SecretReference {
        secret_id: secret.id,
        secret_name: secret.spec.annotations.name.clone(),
        file: Some(FileTarget::named(&secret.spec.annotations.name)),
    }
}

/// How a service names a config.
pub fn config_reference(config: &Config) -> ConfigReference {
    ConfigReference {
        config_id: config.id,
        config_name: config.spec.annotations.name.clone(),
        target: ConfigTarget::File(FileTarget::named(&config.spec.annotations.name)),
    }
}

fn new_secret(
    draft: &mut Draft,
    rng: &mut Rng,
    number: u64,
) -> Result<SecretReference, ControlError> {
    let spec = SecretSpec {
        annotations: Annotations::named(format!("secret{number}")),
        data: SecretBytes::new(format!("canary-{:x}", rng.next_u64()).into_bytes()),
        ..SecretSpec::default()
    };
    Ok(reference(&*objects::create_secret(draft, spec, rng)?))
}

fn new_config(
    draft: &mut Draft,
    rng: &mut Rng,
    number: u64,
) -> Result<ConfigReference, ControlError> {
    let spec = ConfigSpec {
        annotations: Annotations::named(format!("config{number}")),
        data: format!("setting-{:x}", rng.next_u64()).into_bytes().into(),
        ..ConfigSpec::default()
    };
    Ok(config_reference(&*objects::create_config(
        draft, spec, rng,
    )?))
}

/// A new secret and a new config; what no service can come back to is removed.
pub fn make_files(draft: &mut Draft, rng: &mut Rng, number: u64) -> Edited {
    let used = Used::of(draft.state());
    let secrets: Vec<_> = draft.state().secrets().iter().map(|s| s.id).collect();
    for id in secrets.iter().filter(|s| !used.secrets.contains(s)) {
        objects::remove_secret(draft, &id.to_string())?;
    }
    let configs: Vec<_> = draft.state().configs().iter().map(|c| c.id).collect();
    for id in configs.iter().filter(|c| !used.configs.contains(c)) {
        objects::remove_config(draft, &id.to_string())?;
    }
    new_secret(draft, rng, number)?;
    new_config(draft, rng, number).map(drop)
}

/// Secrets and configs that services use, could be taken back to, or that their tasks were given.
#[derive(Default)]
struct Used {
    secrets: BTreeSet<SecretId>,
    configs: BTreeSet<ConfigId>,
}

impl Used {
    fn of(head: &State) -> Self {
        let mut used = Self::default();
        let tasks = head.tasks().iter().filter(|t| t.is_runnable());
        tasks.for_each(|t| used.add(&t.service_spec));
        for service in head.services().iter() {
            used.add(&service.spec);
            service.previous_spec.iter().for_each(|p| used.add(p));
        }
        used
    }

    fn add(&mut self, spec: &ServiceSpec) {
        if let Some(container) = spec.task.container() {
            let secrets = container.secrets.iter().map(|r| r.secret_id);
            self.secrets.extend(secrets);
            let configs = container.configs.iter().map(|r| r.config_id);
            self.configs.extend(configs);
        }
    }
}

/// Services that use a secret take a new one.
pub fn rotate_secret(draft: &mut Draft, rng: &mut Rng, number: u64, now: Timestamp) -> Edited {
    let secrets: Vec<_> = draft.state().secrets().iter().cloned().collect();
    let Some(old) = rng.pick(&secrets) else {
        return make_files(draft, rng, number);
    };
    let to = new_secret(draft, rng, number)?;
    let users: Vec<_> = draft
        .state()
        .services_using_secret(old.id)
        .cloned()
        .collect();
    for service in users {
        let mut spec = ServiceSpec::clone(&service.spec);
        if let Some(container) = spec.task.container_mut() {
            let mut used = container.secrets.iter_mut();
            if let Some(used) = used.find(|r| r.secret_id == old.id) {
                *used = to.clone();
            }
        }
        change(draft, &service, spec, now)?;
    }
    Ok(())
}

/// Services that use a config take a new one.
pub fn rotate_config(draft: &mut Draft, rng: &mut Rng, number: u64, now: Timestamp) -> Edited {
    let configs: Vec<_> = draft.state().configs().iter().cloned().collect();
    let Some(old) = rng.pick(&configs) else {
        return make_files(draft, rng, number);
    };
    let to = new_config(draft, rng, number)?;
    let users: Vec<_> = draft
        .state()
        .services_using_config(old.id)
        .cloned()
        .collect();
    for service in users {
        let mut spec = ServiceSpec::clone(&service.spec);
        if let Some(container) = spec.task.container_mut() {
            let mut used = container.configs.iter_mut();
            if let Some(used) = used.find(|r| r.config_id == old.id) {
                *used = to.clone();
            }
        }
        change(draft, &service, spec, now)?;
    }
    Ok(())
}
