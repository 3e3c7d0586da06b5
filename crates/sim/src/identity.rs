//! Certificates of machines: how they get them, and what they show with every call.
//!
//! Nothing is signed: a certificate is what it says, and its serial number stands for the
//! signature. Who gets which and what it is let do are decided by the functions of the real
//! authority and the real gate. Validity goes by true time, as it does where clocks are right:
//! machines whose clocks are wrong are told so before they join.

use std::collections::BTreeMap;
use std::time::Duration;

use control::certificate;
use invariants::{Certificate, Certificates, Ground, Hearsay, admitted};
use policy::{Call, ClusterFacts, Decision, Forwarded, Peer, Standing, Subject};
use sim_script::params::SEC;
use store::{Draft, State};
use types::node::IssuanceState;
use types::{ClusterId, Entropy, Node, NodeId, NodeRole, Timestamp, defaults};

use crate::agent::{ToAgent, ToManager};
use crate::bugs::Bug;
use crate::host::{Outcome, Waiter};
use crate::world::{AgentEvent, World};

/// Pause before a certificate that was asked for is asked for again.
const ASKS_AGAIN: u64 = 10 * SEC;

/// Certificates out of use that somebody may still show.
const OLD_MAX: usize = 64;

/// A certificate begins this long before it is handed out (the authority's number).
const BACKDATED: Duration = Duration::from_secs(3_600);

/// What agents call, by its row in the table.
pub(crate) const SESSION: &str = "/docker.swarmkit.v1.Dispatcher/Session";
pub(crate) const ASSIGNMENTS: &str = "/docker.swarmkit.v1.Dispatcher/Assignments";
pub(crate) const HEARTBEAT: &str = "/docker.swarmkit.v1.Dispatcher/Heartbeat";
pub(crate) const REPORT: &str = "/docker.swarmkit.v1.Dispatcher/UpdateTaskStatus";
pub(crate) const RENEW: &str = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate";

/// A certificate with the beginning of its validity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) certificate: Certificate,
    pub(crate) not_before: Timestamp,
}

/// Every certificate and who holds it.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) cluster: ClusterId,
    held: BTreeMap<NodeId, Identity>,
    /// Out of use: renewed since, or of nodes that were removed.
    pub(crate) old: Vec<Identity>,
    pub(crate) issued: Certificates,
    /// Join tokens that were rotated away.
    pub(crate) old_tokens: Vec<String>,
    pub(crate) hearsay: Hearsay,
    serial: u64,
}

impl Identities {
    pub(crate) fn new(cluster: ClusterId) -> Self {
        Self {
            cluster,
            held: BTreeMap::new(),
            old: Vec::new(),
            issued: Certificates::default(),
            old_tokens: Vec::new(),
            hearsay: Hearsay::default(),
            serial: 0,
        }
    }

    /// What a machine holds.
    pub(crate) fn of(&self, node: NodeId) -> Option<Identity> {
        self.held.get(&node).copied()
    }

    /// The role in the certificate of a machine.
    pub(crate) fn role(&self, node: NodeId) -> Option<NodeRole> {
        Some(self.held.get(&node)?.certificate.subject.role)
    }

    fn sign(
        &mut self,
        (node_id, role): (NodeId, NodeRole),
        life: Duration,
        now: Timestamp,
    ) -> Identity {
        self.serial += 1;
        let subject = Subject {
            node_id,
            role,
            cluster_id: self.cluster,
        };
        Identity {
            certificate: Certificate {
                serial: self.serial,
                subject,
                not_after: now.plus(life),
            },
            not_before: now.minus(BACKDATED),
        }
    }

    /// A machine has another certificate from now on, or none.
    pub(crate) fn hold(&mut self, node: NodeId, new: Option<Identity>) {
        let old = match new {
            Some(new) => self.held.insert(node, new),
            None => self.held.remove(&node),
        };
        self.old.extend(old);
        let surplus = self.old.len().saturating_sub(OLD_MAX);
        self.old.drain(..surplus);
    }
}

/// How long certificates live.
fn life(tables: &State) -> Duration {
    let life = tables.cluster().and_then(|c| c.spec.ca.node_cert_expiry);
    life.unwrap_or(defaults::NODE_CERT_EXPIRY)
}

/// What a manager knows of its cluster.
struct Facts<'a> {
    tables: &'a State,
    cluster: ClusterId,
    leads: bool,
    bug: Option<Bug>,
}

impl ClusterFacts for Facts<'_> {
    fn cluster_id(&self) -> ClusterId {
        self.cluster
    }

    fn standing(&self, node_id: NodeId) -> Standing {
        match control::node::standing(self.tables, node_id) {
            Standing::Removed if self.bug == Some(Bug::ForgetRemoved) => {
                Standing::Known(NodeRole::Worker)
            }
            standing => standing,
        }
    }

    fn is_leader(&self) -> bool {
        self.leads
    }
}

impl World {
    /// A machine that belongs to the cluster from its beginning.
    pub(crate) fn found_identity(&mut self, node: NodeId, role: NodeRole, life: Duration) {
        let now = self.time();
        let new = self.identities.sign((node, role), life, now);
        self.identities.issued.founded(new.certificate);
        self.identities.hold(node, Some(new));
    }

    /// A machine shows a join token to the leader. Its node id and role, if it is taken.
    pub(crate) fn first_certificate(&mut self, at: usize, token: &str) -> Option<Identity> {
        let node = NodeId::random(&mut self.rng);
        let tables = self.hosts[at].process.as_ref()?.state.clone();
        let cluster = tables.cluster()?;
        let known = certificate::first_role(cluster, token).ok();
        let believed = (self.bug == Some(Bug::AnyToken)).then_some(NodeRole::Worker);
        let Some(role) = known.or(believed) else {
            self.mark("a join token refused");
            return None;
        };
        let now = self.time();
        let new = self.identities.sign((node, role), life(&tables), now);
        let given = (new.certificate, Ground::Token(token));
        let verdict = self.identities.issued.issued(&tables, given, now);
        self.judge(verdict);
        self.mark("certificate for a token");
        self.identities.hold(node, Some(new));
        Some(new)
    }

    /// The call of a machine as the manager that answers it sees it, passed on by another one or
    /// not.
    pub(crate) fn call_of<'a>(
        &self,
        node: NodeId,
        (via, at): (usize, usize),
        method: &'a str,
    ) -> Result<Call<'a>, String> {
        let now = self.time();
        let shown = |node: NodeId| match self.identities.of(node) {
            None => Ok(None),
            Some(Identity {
                certificate,
                not_before,
            }) => match pki::validity_problem(not_before, certificate.not_after, now) {
                // A cluster that is to be at rest does not renew, either.
                Some(problem) if !self.calm => Err(problem.to_string()),
                _ => Ok(Some(certificate.subject)),
            },
        };
        let peer_of = |s: Option<Subject>| s.map_or(Peer::Anonymous, Peer::Node);
        let own = shown(node)?;
        if via == at {
            return Ok(Call {
                method,
                peer: peer_of(own),
                forwarded: None,
                hops: 0,
            });
        }
        Ok(Call {
            method,
            peer: peer_of(shown(self.hosts[via].node)?),
            forwarded: Some(own.map_or(Forwarded::Anonymous, Forwarded::Node)),
            hops: 1,
        })
    }

    /// Whether a manager takes a call, by the rules of the gate on its own tables.
    pub(crate) fn gate(&mut self, at: usize, call: &Call<'_>) -> Result<Decision, String> {
        let Some(process) = self.hosts[at].process.as_ref() else {
            return Err("this manager does not run".into());
        };
        let facts = Facts {
            tables: &process.state,
            cluster: self.identities.cluster,
            leads: process.reign.is_some(),
            bug: self.bug,
        };
        let decision = match (call.peer, self.bug) {
            (Peer::Node(peer), Some(Bug::BelieveAnybody)) => {
                let role = NodeRole::Manager;
                let peer = Peer::Node(Subject { role, ..peer });
                policy::decide(&Call { peer, ..*call }, &facts)
            }
            _ => policy::decide(call, &facts),
        };
        let decision = decision.map_err(|e| e.to_string())?;
        let verdict = admitted(&process.state, call, &decision);
        self.judge(verdict);
        Ok(decision)
    }

    /// The gates in the way of an agent's call to the leader.
    pub(crate) fn let_in(&mut self, agent: usize, at: usize, method: &str) -> Result<(), String> {
        let link = self.agents[agent].link.as_ref();
        let via = link.filter(|l| l.manager == at).map_or(at, |l| l.via);
        let node = self.agents[agent].node;
        if via != at && self.hosts[via].process.is_some() {
            let direct = self.call_of(node, (via, via), method)?;
            self.gate(via, &direct)?;
            self.mark("a call passed on to the leader");
        }
        let call = self.call_of(node, (via, at), method)?;
        self.gate(at, &call).map(drop)
    }

    // Renewals.

    /// The leader hands out the next certificate of a node, once it is stored.
    pub(crate) fn renew(&mut self, at: usize, link: u64, node: NodeId) {
        let (clock, now) = (self.clock(at), self.time());
        let Some(process) = self.process(at) else {
            return;
        };
        let tables = process.state.clone();
        let Ok(role) = certificate::next_role(&tables, node) else {
            return self.mark("renewal of a certificate refused");
        };
        let Some(old) = self.identities.of(node) else {
            return;
        };
        let role = match self.bug {
            Some(Bug::OldRole) => old.certificate.subject.role,
            _ => role,
        };
        let new = self.identities.sign((node, role), life(&tables), now);
        let ground = Ground::Certificate(old.certificate.serial);
        let given = (new.certificate, ground);
        let verdict = self.identities.issued.issued(&tables, given, now);
        self.judge(verdict);
        let Some(leading) = self.leading(at) else {
            return;
        };
        let mut draft = Draft::new(leading.view.head(), clock);
        let chain = new.certificate.serial.to_string().into_bytes();
        let kept = certificate::issued(node, role, Vec::new(), chain);
        if certificate::store(&mut draft, node, kept).is_ok() {
            self.accept(at, draft, Waiter::Certificate(link, new));
            self.wake_pipeline(at, 0);
        }
    }

    /// A certificate is stored, or not.
    pub(crate) fn renewed(&mut self, at: usize, link: u64, new: Identity, outcome: Outcome) {
        if outcome == Outcome::Committed {
            self.deliver_to_agent(at, link, ToAgent::Certificate(new));
        }
    }

    /// When the certificate of a machine is due to be renewed.
    pub(crate) fn renewal_moment(&mut self, node: NodeId) -> u64 {
        let Some(Identity {
            certificate,
            not_before,
        }) = self.identities.of(node)
        else {
            return u64::MAX;
        };
        let random = self.rng.next_u64();
        let due = pki::renew_at(not_before, certificate.not_after, random);
        self.now + self.until(due)
    }

    /// An agent is told what the cluster has of its node.
    pub(crate) fn hear_of_itself(&mut self, at: usize, record: &Node) {
        let role = self.identities.role(self.agents[at].node);
        let asked = record.certificate.state == IssuanceState::Rotate;
        let differs = asked || role != Some(record.role);
        self.mark_if(asked, "a node is asked for another certificate");
        let agent = &mut self.agents[at];
        let news = differs && !agent.certificate_differs;
        agent.certificate_differs = differs;
        if news {
            self.look_at_certificate(at);
        }
    }

    /// An agent looks whether it needs another certificate, and asks for it until it has it.
    pub(crate) fn look_at_certificate(&mut self, at: usize) {
        let (now, agent) = (self.now, &self.agents[at]);
        // A cluster that is to be at rest is not disturbed by what time alone brings.
        let aged = !self.calm && agent.renew_at <= now;
        if !agent.certificate_differs && !aged {
            return;
        }
        self.ask_for_certificate(at);
        self.agent_later(at, ASKS_AGAIN, AgentEvent::Certificate);
    }

    fn ask_for_certificate(&mut self, at: usize) {
        let link = self.agents[at].link.as_ref();
        if link.is_some_and(|l| l.session.is_some()) {
            self.call(at, None, ToManager::Renew);
        }
    }

    /// An agent has a new certificate: it connects again with it.
    pub(crate) fn new_certificate(&mut self, at: usize, new: Identity) {
        let node = self.agents[at].node;
        let serial = |i: Identity| i.certificate.serial;
        if self.identities.of(node).map(serial) >= Some(serial(new)) {
            return;
        }
        let role = new.certificate.subject.role;
        self.mark_if(
            self.identities.role(node) != Some(role),
            "certificate with another role",
        );
        self.identities.hold(node, Some(new));
        let due = self.renewal_moment(node);
        let agent = &mut self.agents[at];
        (agent.renew_at, agent.certificate_differs) = (due, false);
        self.agent_later(at, due - self.now, AgentEvent::Certificate);
        self.mark("certificate renewed");
        self.note(("a", at), 17, || {
            format!("has a certificate as a {}", role.name())
        });
        self.drop_link(at, true);
    }
}
