//! The role manager: makes the role a node has follow the role it should have.
//!
//! Promotion is a change of the node object; its certificate and its part in the log follow.
//! Demotion first takes the node out of the replicated log, which needs the others' agreement,
//! and only then changes the object, so that a demoted manager never leaves a vote behind.

use std::sync::Arc;
use std::time::Duration;

use store::{Draft, State};
use types::{Node, NodeId, NodeRole};

use crate::ledger::{Cursor, Ledger};
use crate::quorum::Quorum;
use control::{Member, member::member_of, member::survives_without};

/// How often roles are looked at although nothing changed: a refused step is tried again.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// What has to be done for a node.
#[derive(Debug, PartialEq, Eq)]
enum Duty {
    /// Let it have a manager certificate.
    Promote(NodeId),
    /// Give leadership away: it is this manager that has to go.
    StepDown,
    /// Take it out of the replicated log.
    Remove(NodeId, u64),
    /// It is out of the log: take its manager certificate away.
    Demote(NodeId),
}

/// What has to be done, given the nodes, the members of the log and who this manager is.
fn duties(state: &State, members: &[Member], own: NodeId) -> Vec<Duty> {
    let of_node = |node: &Arc<Node>| {
        let member = member_of(members, node.id);
        match (node.spec.desired_role, node.role, member) {
            (NodeRole::Manager, NodeRole::Worker, _) => Some(Duty::Promote(node.id)),
            (NodeRole::Worker, _, Some(_)) if node.id == own => Some(Duty::StepDown),
            (NodeRole::Worker, _, Some(m)) => Some(Duty::Remove(node.id, m.raft_id)),
            (NodeRole::Worker, NodeRole::Manager, None) => Some(Duty::Demote(node.id)),
            _ => None,
        }
    };
    let removed = |m: &&Member| state.nodes().get(m.node_id).is_none();
    let stray = members.iter().filter(removed).map(|m| match m.node_id {
        id if id == own => Duty::StepDown,
        id => Duty::Remove(id, m.raft_id),
    });
    state
        .nodes()
        .iter()
        .filter_map(of_node)
        .chain(stray)
        .collect()
}

/// Runs on the leader until it is dropped.
pub async fn run(ledger: Arc<Ledger>, quorum: Arc<dyn Quorum>, own: NodeId) {
    let (mut state, mut cursor) = ledger.subscribe();
    loop {
        let members = quorum.members();
        let mut moved = false;
        for duty in duties(&state, &members, own) {
            match fulfil(&ledger, &*quorum, &members, &duty).await {
                Ok(()) => moved = true,
                Err(why) => tracing::warn!(?duty, %why, "a role change has to wait"),
            }
        }
        if moved {
            // What was done may be the ground of the next step, and leaving the log is no change
            // of a node.
            state = ledger.state();
            continue;
        }
        let Some(newest) = next_of_interest(&mut cursor, &ledger).await else {
            return;
        };
        state = newest;
    }
}

/// The state after the next change of a node, or after the retry period.
async fn next_of_interest(cursor: &mut Cursor, ledger: &Ledger) -> Option<Arc<State>> {
    let wait = cursor.next_where(|c| c.kind() == store::Kind::Node);
    tokio::time::timeout(RETRY_PERIOD, wait)
        .await
        .unwrap_or_else(|_| Some(ledger.state()))
}

async fn fulfil(
    ledger: &Ledger,
    quorum: &dyn Quorum,
    members: &[Member],
    duty: &Duty,
) -> Result<(), String> {
    match *duty {
        Duty::Promote(id) => set_role(ledger, id, NodeRole::Manager).await,
        Duty::Demote(id) => set_role(ledger, id, NodeRole::Worker).await,
        Duty::StepDown => quorum.transfer(None).await,
        Duty::Remove(id, _) if !survives_without(members, id) => {
            Err("the remaining managers would have no quorum".into())
        }
        Duty::Remove(_, raft_id) => quorum.remove(raft_id).await,
    }
}

async fn set_role(ledger: &Ledger, id: NodeId, role: NodeRole) -> Result<(), String> {
    let edit = |draft: &mut Draft| control::node::follow_role(draft, id, role);
    ledger.write(edit).await.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, OnceLock, Weak};

    use super::*;
    use crate::ca::new_node;
    use crate::ledger::{Log, Proposal, Reign};
    use crate::quorum::{BoxFuture, Standing};
    use bytes::Bytes;
    use store::{Action, Transaction};
    use types::node::{Availability, Certificate, IssuanceState};

    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n).unwrap()
    }

    fn state(nodes: &[(u128, NodeRole, NodeRole)]) -> State {
        let create = |(n, role, desired): &(u128, NodeRole, NodeRole)| {
            let certificate = Certificate::default();
            let mut node = new_node(id(*n), *role, Availability::Active, certificate, 0);
            node.spec.desired_role = *desired;
            Action::Create(node.into())
        };
        let mut state = State::default();
        let actions = nodes.iter().map(create).collect();
        let at = types::Timestamp::ZERO;
        state
            .apply(&Transaction {
                digest: None,
                version: 1,
                at,
                actions,
            })
            .unwrap();
        state
    }

    fn member(n: u128) -> Member {
        Member {
            raft_id: n as u64,
            node_id: id(n),
            addr: String::new(),
            leader: n == 1,
            voter: true,
            reachable: true,
            match_index: 0,
        }
    }

    #[test]
    fn a_demoted_manager_leaves_the_log_before_it_loses_its_role() {
        use NodeRole::{Manager, Worker};
        let state = state(&[(1, Manager, Manager), (2, Manager, Worker)]);
        let both = [member(1), member(2)];
        assert_eq!(duties(&state, &both, id(1)), [Duty::Remove(id(2), 2)]);
        assert_eq!(duties(&state, &both[..1], id(1)), [Duty::Demote(id(2))]);
    }

    #[test]
    fn a_leader_that_has_to_go_gives_leadership_away_first() {
        use NodeRole::{Manager, Worker};
        let state = state(&[(1, Manager, Worker), (2, Manager, Manager)]);
        assert_eq!(
            duties(&state, &[member(1), member(2)], id(1)),
            [Duty::StepDown]
        );
    }

    /// A log that commits whatever is waited for.
    #[derive(Default)]
    struct Committing(OnceLock<Weak<Ledger>>);

    impl Log for Arc<Committing> {
        fn propose(&self, reign: Reign, _: Bytes) -> Proposal {
            let ledger = self.0.get().and_then(Weak::upgrade).expect("a ledger");
            Box::pin(async move {
                ledger.apply(reign.term, || panic!("the leader does not decode its own"));
                Ok(())
            })
        }
    }

    struct Members(Mutex<Vec<Member>>);

    impl Quorum for Members {
        fn members(&self) -> Vec<Member> {
            self.0.lock().unwrap().clone()
        }

        fn standing(&self) -> Standing {
            Standing::default()
        }

        fn join(&self, _: NodeId, _: String) -> BoxFuture<'_, Result<u64, String>> {
            Box::pin(async { Err("nobody joins".into()) })
        }

        fn read_barrier(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { Ok(()) })
        }

        fn remove(&self, raft_id: u64) -> BoxFuture<'_, Result<(), String>> {
            self.0.lock().unwrap().retain(|m| m.raft_id != raft_id);
            Box::pin(async { Ok(()) })
        }

        fn transfer(&self, _: Option<u64>) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { Err("nobody takes it".into()) })
        }
    }

    #[tokio::test]
    async fn a_manager_that_has_left_the_log_is_a_worker_at_once_and_is_asked_for_its_certificate()
    {
        use NodeRole::{Manager, Worker};
        let state = state(&[
            (1, Manager, Manager),
            (2, Manager, Worker),
            (3, Manager, Manager),
        ]);
        let log = Arc::new(Committing::default());
        let ledger = Ledger::new(state, Box::new(log.clone()), |_| Bytes::new());
        assert!(log.0.set(Arc::downgrade(&ledger)).is_ok());
        ledger.lead(Reign { term: 1, epoch: 1 });
        let members = Members(Mutex::new(vec![member(1), member(2), member(3)]));
        let (_, mut changes) = ledger.subscribe();
        let demoted = async {
            loop {
                changes.next().await.expect("the ledger lives");
                let node = ledger
                    .state()
                    .nodes()
                    .get(id(2))
                    .cloned()
                    .expect("the node");
                if node.role == Worker {
                    return node.certificate.state;
                }
            }
        };
        let running = run(ledger.clone(), Arc::new(members), id(1));
        let state = tokio::select! {
            () = running => panic!("it runs until it is dropped"),
            state = tokio::time::timeout(RETRY_PERIOD / 2, demoted) => state,
        };
        assert_eq!(
            state.expect("not with the next retry"),
            IssuanceState::Rotate
        );
    }

    #[test]
    fn promotion_is_immediate_and_strays_are_removed() {
        use NodeRole::{Manager, Worker};
        let state = state(&[(1, Manager, Manager), (2, Worker, Manager)]);
        assert_eq!(duties(&state, &[member(1)], id(1)), [Duty::Promote(id(2))]);
        let removed_leader = [member(9), member(1)];
        assert_eq!(
            duties(&state, &removed_leader, id(9)),
            [Duty::Promote(id(2)), Duty::StepDown]
        );
        let stray = [member(1), member(9)];
        assert_eq!(
            duties(&state, &stray, id(1)),
            [Duty::Promote(id(2)), Duty::Remove(id(9), 9)]
        );
    }
}
