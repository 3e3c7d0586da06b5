//! The cluster object: settings and join tokens.

use std::sync::Arc;

use pki::JoinToken;
use store::{Draft, State};
use types::{Cluster, ClusterSpec, Entropy};
use wire::api;

use crate::crud;
use crate::error::ControlError;
use crate::filter::Common;
use crate::objects::list as filtered;

type Result<T> = std::result::Result<T, ControlError>;

/// The cluster object, by its id or its name.
pub fn find<'a>(state: &'a State, id: &str) -> Result<&'a Arc<Cluster>> {
    let named = state.clusters().by_name(id).next();
    named.map_or_else(|| crud::find(state.clusters(), id), Ok)
}

/// Cluster objects that pass the filters; there is one at most.
pub fn list(state: &State, filters: &api::list_clusters_request::Filters) -> Vec<api::Cluster> {
    let common = Common {
        names: &filters.names,
        name_prefixes: &filters.name_prefixes,
        id_prefixes: &filters.id_prefixes,
        labels: Some(&filters.labels),
    };
    filtered(state.clusters().iter(), &common)
        .into_iter()
        .map(|c| shown(c))
        .collect()
}

/// The cluster as API clients see it: join tokens are shown, keys are not.
pub fn shown(cluster: &Cluster) -> api::Cluster {
    wire::convert::cluster_without_secrets(cluster)
}

/// Changes settings and rotates join tokens.
pub fn update(
    draft: &mut Draft,
    id: &str,
    version: u64,
    spec: Option<ClusterSpec>,
    rotation: api::KeyRotation,
    entropy: &mut dyn Entropy,
) -> Result<Arc<Cluster>> {
    let mut cluster = Cluster::clone(find(draft.state(), id)?);
    cluster.meta.version = version;
    if let Some(mut spec) = spec {
        validate::cluster(&spec)?;
        keep_ticks(&cluster.spec, &mut spec)?;
        check_supported(&cluster.spec, &spec)?;
        cluster.spec = spec;
    }
    if rotation.manager_unlock_key {
        return Err(unsupported(
            "rotation.manager_unlock_key",
            "locking managers",
        ));
    }
    let root = cluster.root_ca.ca_cert.clone();
    let tokens = &mut cluster.root_ca.join_tokens;
    if rotation.worker_join_token {
        tokens.worker = fresh_token(&root, entropy);
    }
    if rotation.manager_join_token {
        tokens.manager = fresh_token(&root, entropy);
    }
    crud::update(draft, cluster, State::clusters)
}

/// A join token for a root with a new secret.
pub fn fresh_token(root_pem: &[u8], entropy: &mut dyn Entropy) -> String {
    let mut secret = [0; 16];
    for half in secret.chunks_exact_mut(8) {
        half.copy_from_slice(&entropy.next_u64().to_be_bytes());
    }
    JoinToken::new(root_pem, secret).to_string()
}

/// The ticks of the log are what the program was built and tested with; they are shown, and a
/// client that leaves them out leaves them as they are.
fn keep_ticks(old: &ClusterSpec, new: &mut ClusterSpec) -> Result<()> {
    let ticks = [
        (
            "heartbeat_tick",
            old.raft.heartbeat_tick,
            &mut new.raft.heartbeat_tick,
        ),
        (
            "election_tick",
            old.raft.election_tick,
            &mut new.raft.election_tick,
        ),
    ];
    for (name, old, new) in ticks {
        if *new == 0 {
            *new = old;
        } else if *new != old {
            let field = format!("spec.raft.{name}");
            return Err(unsupported(&field, "another timing of the replicated log"));
        }
    }
    Ok(())
}

fn check_supported(old: &ClusterSpec, new: &ClusterSpec) -> Result<()> {
    if old.annotations.name != new.annotations.name {
        let text = "spec.annotations.name: modification of cluster name is not allowed";
        return Err(ControlError::Argument(text.into()));
    }
    if new.auto_lock_managers {
        return Err(unsupported(
            "spec.encryption_config.auto_lock_managers",
            "locking managers",
        ));
    }
    if !new.ca.external_cas.is_empty() {
        return Err(unsupported(
            "spec.ca_config.external_cas",
            "external authorities",
        ));
    }
    let rotates = new.ca.force_rotate != old.ca.force_rotate
        || new.ca.signing_ca_cert != old.ca.signing_ca_cert;
    if rotates {
        return Err(unsupported(
            "spec.ca_config",
            "rotation of the root certificate",
        ));
    }
    Ok(())
}

fn unsupported(field: &str, what: &str) -> ControlError {
    ControlError::Unsupported(format!("{field}: {what} is not offered by this version"))
}
