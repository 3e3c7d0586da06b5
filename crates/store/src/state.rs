//! All tables at one version.

use std::sync::Arc;

use imbl::OrdMap;
use types::{
    Cluster, Config, ConfigId, Extension, Network, NetworkId, Node, Resource, Secret, SecretId,
    Service, ServiceId, ServiceSpec, Timestamp, Volume,
};

use crate::digest::Digest;
use crate::table::Table;
use crate::tasks::TaskTable;

/// A spec version of a service that something still uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// The spec.
    pub spec: Arc<ServiceSpec>,
    /// Tasks made from it.
    pub tasks: usize,
}

/// All tables at one version. Cloning is O(1); a clone never changes. Equal states have equal
/// indexes too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub(crate) version: u64,
    pub(crate) time: Timestamp,
    pub(crate) digest: Digest,
    pub(crate) clusters: Table<Cluster>,
    pub(crate) nodes: Table<Node>,
    pub(crate) services: Table<Service>,
    pub(crate) tasks: TaskTable,
    pub(crate) networks: Table<Network>,
    pub(crate) secrets: Table<Secret>,
    pub(crate) configs: Table<Config>,
    pub(crate) volumes: Table<Volume>,
    pub(crate) extensions: Table<Extension>,
    pub(crate) resources: Table<Resource>,
    pub(crate) revisions: OrdMap<(ServiceId, u64), Revision>,
}

impl State {
    /// Number of the transaction that made this state; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the tables come to, for comparison with those of another manager.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// When the newest transaction was made. No later one is stamped earlier, whatever the clocks
    /// of the managers that made them say, so that times of creation follow the order of creation.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The moment to stamp the next transaction with, by a clock that says `now`.
    pub(crate) fn next_moment(&self, now: Timestamp) -> Timestamp {
        now.max(Timestamp(self.time.0.saturating_add(1)))
    }

    /// The cluster object, once the first leader has made it.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.clusters.iter().next()
    }

    /// The cluster table.
    pub fn clusters(&self) -> &Table<Cluster> {
        &self.clusters
    }

    /// Nodes.
    pub fn nodes(&self) -> &Table<Node> {
        &self.nodes
    }

    /// Services.
    pub fn services(&self) -> &Table<Service> {
        &self.services
    }

    /// Tasks.
    pub fn tasks(&self) -> &TaskTable {
        &self.tasks
    }

    /// Networks.
    pub fn networks(&self) -> &Table<Network> {
        &self.networks
    }

    /// Secrets.
    pub fn secrets(&self) -> &Table<Secret> {
        &self.secrets
    }

    /// Configs.
    pub fn configs(&self) -> &Table<Config> {
        &self.configs
    }

    /// Cluster volumes.
    pub fn volumes(&self) -> &Table<Volume> {
        &self.volumes
    }

    /// Extensions.
    pub fn extensions(&self) -> &Table<Extension> {
        &self.extensions
    }

    /// Resources.
    pub fn resources(&self) -> &Table<Resource> {
        &self.resources
    }

    /// The spec of a service at a spec version, as long as a task or a rollback may need it.
    pub fn revision(&self, service: ServiceId, version: u64) -> Option<&Revision> {
        self.revisions.get(&(service, version))
    }

    /// Services that use a secret.
    pub fn services_using_secret(&self, id: SecretId) -> impl Iterator<Item = &Arc<Service>> {
        self.services.iter().filter(move |s| {
            let container = s.spec.task.container();
            container.is_some_and(|c| c.secrets.iter().any(|r| r.secret_id == id))
        })
    }

    /// Services that use a config.
    pub fn services_using_config(&self, id: ConfigId) -> impl Iterator<Item = &Arc<Service>> {
        self.services.iter().filter(move |s| {
            let container = s.spec.task.container();
            container.is_some_and(|c| c.configs.iter().any(|r| r.config_id == id))
        })
    }

    /// Services that attach to a network, named by id or by name.
    pub fn services_using_network(&self, id: NetworkId) -> impl Iterator<Item = &Arc<Service>> {
        let id_text = id.to_string();
        let name = self
            .networks
            .get(id)
            .map(|n| n.spec.annotations.name.clone());
        self.services.iter().filter(move |s| {
            let wanted = s.spec.task.networks.iter().chain(&s.spec.networks);
            wanted
                .into_iter()
                .any(|n| n.target == id_text || Some(&n.target) == name.as_ref())
        })
    }
}
