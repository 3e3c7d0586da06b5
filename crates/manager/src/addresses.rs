//! Addresses of managers follow what each of them says of its own.
//!
//! A manager that came back at another address tells it with every call to the others, under its
//! own certificate. They answer it there at once; the leader records it in the log, from which
//! agents and operators have it.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::{Member, RaftId};
use replica::Handle;
use replica::net::Addresses;
use tokio::sync::watch;

use crate::membership::is_reachable;

/// How often an address that could not be recorded is tried again: another change of the members
/// may be in flight.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// Members whose record differs from what they say, this one among them.
fn outdated(
    members: &BTreeMap<RaftId, Member>,
    (own_id, own): (RaftId, &str),
    moved: &Addresses,
) -> Vec<Member> {
    let says = |id: &RaftId| match *id == own_id {
        true => Some(own),
        false => moved.get(id).map(String::as_str),
    };
    let members = members.iter();
    let differs = |(id, member): (&RaftId, &Member)| {
        let addr = says(id).filter(|addr| *addr != member.addr && is_reachable(addr))?;
        Some(Member {
            addr: addr.to_owned(),
            ..member.clone()
        })
    };
    members.filter_map(differs).collect()
}

/// Records addresses as long as this manager leads; runs until it is dropped.
pub async fn run(handle: Handle, own: String, mut moved: watch::Receiver<Addresses>) {
    loop {
        let said = moved.borrow_and_update().clone();
        let status = handle.status_now();
        for member in outdated(&status.membership.members, (status.id, &own), &said) {
            let (node, addr) = (member.node_id.clone(), member.addr.clone());
            match handle.update_addr(member).await {
                Ok(_) => tracing::info!(node, addr, "a manager has another address"),
                Err(error) => tracing::debug!(node, addr, %error, "an address is not recorded yet"),
            }
        }
        tokio::select! {
            Ok(()) = moved.changed() => {}
            () = tokio::time::sleep(RETRY_PERIOD) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> RaftId {
        RaftId::new(n).unwrap()
    }

    fn member(n: u64, addr: &str) -> (RaftId, Member) {
        let member = Member {
            raft_id: id(n),
            node_id: format!("n{n}"),
            addr: addr.to_owned(),
        };
        (id(n), member)
    }

    fn recorded(own: &str, moved: &[(u64, &str)]) -> Vec<(u64, String)> {
        let members = [member(1, "a:1"), member(2, "b:1"), member(3, "c:1")].into();
        let moved = moved.iter().map(|(n, a)| (id(*n), (*a).to_owned()));
        let outdated = outdated(&members, (id(1), own), &moved.collect());
        let shown = outdated.into_iter().map(|m| (m.raft_id.get(), m.addr));
        shown.collect()
    }

    #[test]
    fn what_a_member_says_of_itself_is_recorded_and_the_leaders_own_too() {
        assert!(recorded("a:1", &[]).is_empty());
        assert!(recorded("a:1", &[(2, "b:1")]).is_empty(), "as it was");
        assert_eq!(recorded("a:1", &[(2, "x:1")]), [(2, "x:1".to_owned())]);
        assert_eq!(recorded("y:1", &[(9, "x:1")]), [(1, "y:1".to_owned())]);
    }

    #[test]
    fn an_address_that_nobody_can_dial_is_not_recorded() {
        for bad in ["", "b", "b:0", "0.0.0.0:1", ":1"] {
            assert!(recorded("a:1", &[(2, bad)]).is_empty(), "{bad:?}");
        }
    }
}
