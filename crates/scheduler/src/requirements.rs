//! What a task asks of a node, as one comparable value: tasks that ask the same share all work.
//!
//! Reads a task only; knows nothing of nodes.

use types::container::MountKind;
use types::options::Strategy;
use types::resources::count_by_kind;
use types::service::{Protocol, PublishMode};
use types::{GenericResource, Task, TaskState};

use crate::constraint::Key;
use crate::spread::spread_keys;

/// A port of a node.
pub(crate) type HostPort = (u32, Protocol);

/// What a task asks of a node, and how its equals are spread. Equal requirements fit on the same
/// nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Requirements {
    /// CPU to set aside, in billionths of a core.
    pub(crate) nano_cpus: i64,
    /// Memory to set aside, in bytes.
    pub(crate) memory_bytes: i64,
    /// Units of generic resources by kind.
    pub(crate) generic: Vec<(String, i64)>,
    /// Plugins of the engine.
    pub(crate) plugins: Vec<Plugin>,
    /// Constraint expressions as written.
    pub(crate) constraints: Vec<String>,
    /// Affinity expressions as written.
    pub(crate) affinities: Vec<String>,
    /// How nodes are ranked; `None` takes the cluster's default.
    pub(crate) strategy: Option<Strategy>,
    /// Platforms of which one must match, as (os, architecture); empty is any.
    pub(crate) platforms: Vec<(String, String)>,
    /// Ports of the node.
    pub(crate) ports: Vec<HostPort>,
    /// Most active tasks of the service on one node; 0 is unlimited.
    pub(crate) max_replicas: u64,
    /// Labels to spread over, most important first.
    pub(crate) spread: Vec<Key>,
    /// Mounts a volume of the cluster.
    pub(crate) cluster_volumes: bool,
}

/// A plugin that an engine must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Plugin {
    /// Kind as engines report it: `Volume`, `Network` or `Log`.
    pub(crate) kind: &'static str,
    /// Name.
    pub(crate) name: String,
}

impl Requirements {
    /// What a task asks.
    pub(crate) fn of(task: &Task) -> Self {
        let options = &task.service_spec.options;
        let mut all = Self {
            affinities: options.affinities.clone(),
            strategy: options.strategy,
            plugins: plugins(task),
            ports: host_ports(task),
            cluster_volumes: mounts_cluster_volume(task),
            ..Self::default()
        };
        if let Some(reserved) = task.spec().reservations() {
            all.nano_cpus = reserved.nano_cpus;
            all.memory_bytes = reserved.memory_bytes;
            let counts = count_by_kind(&reserved.generic);
            all.generic = counts
                .into_iter()
                .filter(|(_, units)| *units > 0)
                .map(|(kind, units)| (kind.to_owned(), units))
                .collect();
        }
        if let Some(placement) = &task.spec().placement {
            all.constraints.clone_from(&placement.constraints);
            all.max_replicas = placement.max_replicas;
            all.spread = spread_keys(&placement.preferences);
            all.platforms = placement
                .platforms
                .iter()
                .map(|p| (p.os.to_lowercase(), normal_arch(&p.architecture)))
                .collect();
        }
        all
    }
}

/// What a task takes on its node while it has one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Load {
    /// CPU in billionths of a core.
    pub(crate) nano_cpus: i64,
    /// Memory in bytes.
    pub(crate) memory_bytes: i64,
    /// Generic resources it holds.
    pub(crate) generic: Vec<GenericResource>,
    /// Ports.
    pub(crate) ports: Vec<HostPort>,
    /// Whether it counts as active for ranking: it is not meant to stop.
    pub(crate) active: bool,
    /// Whether it is only promised: the task that will take it waits for others to end.
    pub(crate) promised: bool,
    /// The priority that another task must exceed to displace it; `None` if none may.
    pub(crate) displaceable: Option<u8>,
}

impl Load {
    /// What a placed task takes.
    pub(crate) fn of(task: &Task) -> Self {
        let reserved = task.spec().reservations();
        Self {
            nano_cpus: reserved.map_or(0, |r| r.nano_cpus),
            memory_bytes: reserved.map_or(0, |r| r.memory_bytes),
            generic: task.assigned_generic_resources.clone(),
            ports: host_ports(task),
            active: task.desired_state <= TaskState::Complete,
            promised: false,
            displaceable: displaceable(task),
        }
    }
}

/// The priority of a task that may be displaced. Those of services with a task per node may not,
/// nor those without a service: nobody would put them elsewhere.
pub(crate) fn displaceable(task: &Task) -> Option<u8> {
    let spec = &task.service_spec;
    let moves = task.service_id.is_some()
        && !spec.mode.is_global()
        && task.desired_state <= TaskState::Complete;
    moves.then_some(spec.options.priority)
}

/// Architecture names of the kernel as image platforms write them; others stay, in lower case.
pub(crate) fn normal_arch(arch: &str) -> String {
    match arch.to_lowercase().as_str() {
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    }
}

/// Ports the task publishes on its node under a fixed number.
pub(crate) fn host_ports(task: &Task) -> Vec<HostPort> {
    let allocated = task.endpoint.as_ref().map(|e| e.ports.as_slice());
    let declared = || task.service_spec.endpoint.as_ref().map(|e| &e.ports[..]);
    let mut ports: Vec<HostPort> = allocated
        .or_else(declared)
        .unwrap_or_default()
        .iter()
        .filter(|p| p.publish_mode == PublishMode::Host && p.published_port != 0)
        .map(|p| (p.published_port, p.protocol))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn plugins(task: &Task) -> Vec<Plugin> {
    let mounts = task.spec().container().map(|c| c.mounts.as_slice());
    let volumes = mounts.unwrap_or_default().iter().filter_map(|mount| {
        let driver = mount.volume.as_ref()?.driver.as_ref()?;
        let foreign = !driver.name.is_empty() && driver.name != "local";
        (mount.kind == MountKind::Volume && foreign).then(|| ("Volume", driver.name.clone()))
    });
    let networks = task.networks.iter().filter_map(|attachment| {
        let driver = attachment.network.driver_state.as_ref()?;
        (!driver.name.is_empty()).then(|| ("Network", driver.name.clone()))
    });
    let log = task
        .log_driver
        .as_deref()
        .or(task.spec().log_driver.as_ref());
    let log = log
        .filter(|driver| !driver.name.is_empty() && driver.name != "none")
        .map(|driver| ("Log", driver.name.clone()));
    let mut all: Vec<Plugin> = volumes
        .chain(networks)
        .chain(log)
        .map(|(kind, name)| Plugin { kind, name })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn mounts_cluster_volume(task: &Task) -> bool {
    let container = task.spec().container();
    container.is_some_and(|c| c.mounts.iter().any(|m| m.kind == MountKind::Cluster))
}
