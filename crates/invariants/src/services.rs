//! What holds for every change of one service: where a rollback goes (O7), and its ports (W2, W4).

use std::sync::Arc;

use store::{Diff, State};
use types::Service;
use types::service::{PortConfig, PublishMode, UpdateState};

use crate::{Verdict, must};

/// Checks one change of a service; `after` are the tables after its transaction.
pub(crate) fn check(after: &State, diff: &Diff<Service>) -> Verdict {
    let Some(new) = &diff.new else {
        return Ok(());
    };
    ports_are_its_own(after, new)?;
    if let Some(old) = &diff.old {
        goes_back_exactly(old, new)?;
        keeps_its_ports(after, old, new)?;
    }
    Ok(())
}

fn rolls_back(service: &Service) -> bool {
    let state = service.update_status.as_ref().map(|u| u.state);
    state == Some(UpdateState::RollbackStarted)
}

/// O7: a rollback restores the previous spec, and nothing else.
fn goes_back_exactly(old: &Service, new: &Service) -> Verdict {
    let begins = rolls_back(new) && (!rolls_back(old) || old.spec_version != new.spec_version);
    if !begins {
        return Ok(());
    }
    must!(
        old.previous_spec.as_ref().is_some_and(|p| **p == *new.spec),
        "O7",
        "the rollback of service {} does not restore its previous spec",
        new.id
    );
    must!(
        old.previous_spec_version == Some(new.spec_version),
        "O7",
        "the rollback of service {} goes to spec {}, the previous one is {:?}",
        new.id,
        new.spec_version,
        old.previous_spec_version
    );
    Ok(())
}

fn mesh(service: &Service) -> impl Iterator<Item = &PortConfig> {
    let ports = service.endpoint.iter().flat_map(|e| &e.ports);
    ports.filter(|p| p.publish_mode == PublishMode::Ingress && p.published_port != 0)
}

/// W2: a port of the routing mesh belongs to one service.
fn ports_are_its_own(after: &State, service: &Arc<Service>) -> Verdict {
    for port in mesh(service) {
        let same =
            |p: &PortConfig| (p.protocol, p.published_port) == (port.protocol, port.published_port);
        let mut others = after.services().iter().filter(|s| s.id != service.id);
        let other = others.find(|s| mesh(s).any(same));
        must!(
            other.is_none(),
            "W2",
            "services {} and {} both have port {}",
            service.id,
            other.map(|s| s.id.to_string()).unwrap_or_default(),
            port.published_port
        );
    }
    Ok(())
}

/// W4: a port that the cluster chose stays, whoever leads and whatever else changes, unless
/// another service asked for that very number.
fn keeps_its_ports(after: &State, old: &Service, new: &Service) -> Verdict {
    let chosen = |s: &Service| -> Vec<PortConfig> {
        let declared = s
            .endpoint
            .iter()
            .flat_map(|e| e.spec.ports.iter().zip(&e.ports));
        let free = declared.filter(|(asked, _)| asked.published_port == 0);
        free.map(|(_, given)| given.clone()).collect()
    };
    let (had, has) = (chosen(old), chosen(new));
    for port in mesh_of(&had) {
        let like = |p: &&PortConfig| {
            (p.target_port, p.protocol, &p.name) == (port.target_port, port.protocol, &port.name)
        };
        let asked = |s: &Arc<Service>| {
            let mut ports = s.spec.endpoint.iter().flat_map(|e| &e.ports);
            s.id != new.id && ports.any(|p| p.published_port == port.published_port)
        };
        let moved = mesh_of(&has)
            .find(like)
            .filter(|p| p.published_port != port.published_port);
        must!(
            moved.is_none() || after.services().iter().any(asked),
            "W4",
            "service {} had port {} and has {} now",
            new.id,
            port.published_port,
            moved.map_or(0, |p| p.published_port)
        );
    }
    Ok(())
}

fn mesh_of(ports: &[PortConfig]) -> impl Iterator<Item = &PortConfig> {
    ports
        .iter()
        .filter(|p| p.publish_mode == PublishMode::Ingress)
}
