//! What the first leader of a cluster creates, and what every leader makes sure of.

use std::sync::Arc;

use store::{Action, Draft, State};
use types::cluster::{CLUSTER_NAME, RootCa};
use types::node::{Availability, Certificate, IssuanceState};
use types::{
    Annotations, Cluster, ClusterId, ClusterOptions, ClusterSpec, NodeId, NodeRole, SecretBytes,
    defaults,
};

use crate::ca::new_node;
use crate::entropy::SystemEntropy;
use crate::ledger::Ledger;
use control::ControlError;
use control::cluster::fresh_token;
use control::crud;

/// Feature level of this program: raised when log entries or snapshots gain something that older
/// programs cannot read.
pub const FEATURE_LEVEL: u32 = 1;

/// What `init` made before there was a cluster.
#[derive(Clone)]
pub struct Seed {
    /// The new cluster.
    pub cluster_id: ClusterId,
    /// Its root certificate, PEM.
    pub root_cert: Vec<u8>,
    /// The root's key, PEM.
    pub root_key: SecretBytes,
    /// Certificate chain of this node, PEM.
    pub own_chain: Vec<u8>,
    /// Whether this node takes tasks.
    pub availability: Availability,
}

/// Creates the cluster object and this manager's node object where they are missing.
///
/// # Errors
/// In words, if the log does not take them.
pub async fn plant(ledger: &Arc<Ledger>, seed: Option<&Seed>, own: NodeId) -> Result<(), String> {
    let edit = |draft: &mut Draft| -> Result<(), ControlError> {
        let Some(seed) = seed else { return Ok(()) };
        if draft.state().cluster().is_none() {
            crud::create(draft, cluster(seed), State::clusters)?;
        }
        let of_seed = draft
            .state()
            .cluster()
            .is_some_and(|c| c.id == seed.cluster_id);
        if of_seed && draft.state().nodes().is_empty() {
            crud::run(draft, Action::Create(own_node(seed, own).into()))?;
        }
        Ok(())
    };
    ledger.write(edit).await.map_err(|e| e.to_string())
}

fn own_node(seed: &Seed, own: NodeId) -> types::Node {
    let certificate = Certificate {
        role: NodeRole::Manager,
        csr: Vec::new(),
        state: IssuanceState::Issued,
        err: String::new(),
        certificate: seed.own_chain.clone(),
        cn: own.to_string(),
    };
    new_node(own, NodeRole::Manager, seed.availability, certificate, 0)
}

fn cluster(seed: &Seed) -> Cluster {
    let spec = ClusterSpec {
        annotations: Annotations::named(CLUSTER_NAME),
        task_history_retention_limit: defaults::TASK_HISTORY_RETENTION_LIMIT,
        raft: defaults::RAFT,
        heartbeat_period: Some(defaults::HEARTBEAT_PERIOD),
        ca: types::cluster::CaConfig {
            node_cert_expiry: Some(defaults::NODE_CERT_EXPIRY),
            ..Default::default()
        },
        default_log_driver: None,
        auto_lock_managers: false,
        options: ClusterOptions::default(),
    };
    let join_tokens = types::cluster::JoinTokens {
        worker: fresh_token(&seed.root_cert, &mut SystemEntropy),
        manager: fresh_token(&seed.root_cert, &mut SystemEntropy),
    };
    Cluster {
        root_ca: RootCa {
            ca_key: seed.root_key.clone(),
            ca_cert: seed.root_cert.clone(),
            ca_cert_hash: pki::token::root_digest(&seed.root_cert),
            join_tokens,
            root_rotation: None,
            last_forced_rotation: 0,
        },
        feature_level: FEATURE_LEVEL,
        ..Cluster::new(seed.cluster_id, spec)
    }
}
