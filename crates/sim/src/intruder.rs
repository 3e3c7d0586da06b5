//! Somebody who shows managers what they should not take: certificates of nodes that were removed,
//! demoted or belong elsewhere, old join tokens, other nodes' identities and tasks.

use invariants::{Verdict, Violation};
use policy::{Call, Forwarded, Peer, Route, Subject};
use sim_script::schedule::INTRUSIONS;
use types::{ClusterId, Entropy, NodeRole, TaskState, TaskStatus};

use crate::agent::ToManager;
use crate::host::raft_id;
use crate::identity::{RENEW, SESSION};
use crate::world::World;

const CREATE_SERVICE: &str = "/docker.swarmkit.v1.Control/CreateService";

impl World {
    /// `how` says what somebody on the machine of an agent tries.
    pub(crate) fn intrude(&mut self, agent: usize, how: u64) {
        // Tokens change seldom: the old ones are always tried.
        self.show_old_token();
        match how % INTRUSIONS {
            0 => self.show_old_certificates(NodeRole::Worker),
            1 => self.show_old_certificates(NodeRole::Manager),
            2 => self.pretend(agent),
            3 => self.come_from_elsewhere(agent),
            _ => self.report_others(agent),
        }
    }

    fn running(&self) -> Vec<usize> {
        let runs = self.hosts.iter().filter(|h| h.process.is_some());
        runs.map(|h| h.at).collect()
    }

    /// Shows what a machine has to every manager that runs.
    fn try_everywhere(&mut self, peer: Peer, forwarded: Option<Forwarded>, method: &str) -> bool {
        let mut taken = false;
        for at in self.running() {
            let call = Call {
                method,
                peer,
                forwarded,
                hops: usize::from(forwarded.is_some()),
            };
            let decision = self.gate(at, &call);
            taken |= decision.is_ok_and(|d| d.route == Route::Here);
        }
        taken
    }

    /// Certificates that were renewed since, and of nodes that were removed.
    fn show_old_certificates(&mut self, role: NodeRole) {
        let old = self.identities.old.clone();
        let subjects = old.iter().map(|i| i.certificate.subject);
        for subject in subjects.filter(|s| s.role == role) {
            let node = subject.node_id;
            let now = self.oracle.state().nodes().get(node).map(|n| n.role);
            let method = match role {
                NodeRole::Worker => SESSION,
                NodeRole::Manager => CREATE_SERVICE,
            };
            let taken = self.try_everywhere(Peer::Node(subject), None, method);
            self.mark_if(!taken && now.is_none(), "a removed node refused");
            let demoted = role == NodeRole::Manager && now == Some(NodeRole::Worker);
            self.mark_if(demoted && !taken, "a demoted manager refused");
            let said = Some(Forwarded::Node(subject));
            self.try_everywhere(Peer::Node(subject), said, RENEW);
        }
    }

    /// X3: once everything is healed, every manager refuses nodes that were removed.
    pub(crate) fn nobody_else_is_let_in(&mut self) -> Verdict {
        let tables = self.oracle.state().clone();
        let old = self.identities.old.clone();
        let subjects = old.iter().map(|i| i.certificate.subject);
        for subject in subjects.filter(|s| !tables.nodes().contains(s.node_id)) {
            for at in self.running() {
                let call = Call {
                    method: SESSION,
                    peer: Peer::Node(subject),
                    forwarded: None,
                    hops: 0,
                };
                // Others know of no tables, or hear of nothing any more.
                let hears = self.voters.contains(&raft_id(at)) && !self.hosts[at].lost;
                if hears && self.gate(at, &call).is_ok() {
                    let text = format!("m{at} lets node {} in, which was removed", subject.node_id);
                    return Err(Violation::new("X3", text));
                }
            }
        }
        Ok(())
    }

    /// A node says that it calls for a manager.
    fn pretend(&mut self, agent: usize) {
        let own = self.identities.of(self.agents[agent].node);
        let manager = self.hosts.iter().find_map(|h| self.identities.of(h.node));
        let (Some(own), Some(manager)) = (own, manager) else {
            return;
        };
        let (own, manager) = (own.certificate.subject, manager.certificate.subject);
        let forwarded = Some(Forwarded::Node(manager));
        let taken = self.try_everywhere(Peer::Node(own), forwarded, CREATE_SERVICE);
        let worker = own.role == NodeRole::Worker;
        self.mark_if(worker && !taken, "a worker that passes a call on refused");
        self.try_everywhere(Peer::Anonymous, forwarded, CREATE_SERVICE);
    }

    /// A machine with a token that was rotated away.
    fn show_old_token(&mut self) {
        let tokens = self.identities.old_tokens.clone();
        if let (Some(at), Some(token)) = (self.leader(), self.rng.pick(&tokens)) {
            self.first_certificate(at, &token);
        }
    }

    /// A node of another cluster under the same root.
    fn come_from_elsewhere(&mut self, agent: usize) {
        let cluster_id = ClusterId::random(&mut self.rng);
        let stranger = Subject {
            node_id: self.agents[agent].node,
            role: NodeRole::Manager,
            cluster_id,
        };
        let taken = self.try_everywhere(Peer::Node(stranger), None, SESSION);
        self.mark_if(!taken, "a node of another cluster refused");
    }

    /// A node reports that a task of another node has failed.
    fn report_others(&mut self, agent: usize) {
        let node = self.agents[agent].node;
        let tasks = self.oracle.state().tasks();
        let others = tasks.iter().filter(|t| {
            t.status.state == TaskState::Running && t.node_id.is_some_and(|n| n != node)
        });
        let others: Vec<_> = others.map(|t| (t.id, t.status.clone())).collect();
        let (Some((id, status)), Some(session)) =
            (self.rng.pick(&others), self.session_name(agent))
        else {
            return;
        };
        let number = self.rng.next_u64() >> 40;
        let status = TaskStatus {
            state: TaskState::Failed,
            message: types::task::message(format!("said by a{agent}, {number}")),
            ..status
        };
        let report = u64::MAX - self.number();
        self.mark("a node reports of another node's task");
        self.call(
            agent,
            None,
            ToManager::Report(session, report, vec![(id, status)]),
        );
    }
}
