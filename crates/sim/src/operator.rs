//! What operators do: the functions of the control API, called on the leader's speculative head as
//! the shell calls them.

use std::sync::Arc;

use control::crud;
use control::rebalance::Asked;
use sim_script::edits::{self, Edited};
use sim_script::params::MS;
use sim_script::rng::Rng;
use sim_script::schedule::{Act, Step};
use sim_script::spec_text;
use store::{Action, Draft, Object, State, Step as StoreStep};
use types::node::Membership;
use types::{Availability, Cluster, Node, NodeId, NodeRole, NodeSpec, Service};
use wire::swarm::v1::RebalanceRequest;

use crate::bugs::Bug;
use crate::host::Waiter;
use crate::world::World;

/// What operators remember.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    serial: u64,
    names: u64,
    /// Replicas of services before they were scaled to zero.
    before: Vec<(types::ServiceId, u64)>,
}

impl World {
    /// Creates what every cluster has, where it is missing.
    pub(crate) fn plant(&mut self, at: usize) {
        let (clock, mut rng) = (self.clock(at), self.rng.clone());
        let (params, cluster) = (self.params.clone(), self.identities.cluster);
        let managers = self.hosts.iter().map(|h| h.node);
        let mut nodes: Vec<_> = managers.map(|n| (n, NodeRole::Manager)).collect();
        let workers = self.agents.iter().map(|a| (a.node, NodeRole::Worker));
        nodes.extend(workers.filter(|(n, _)| !self.hosts.iter().any(|h| h.node == *n)));
        let Some(leading) = self.leading(at) else {
            return;
        };
        if leading.view.head().cluster().is_some() {
            return;
        }
        let mut draft = Draft::new(leading.view.head(), clock);
        let mut actions = vec![Action::Create(Object::from(edits::cluster(
            &mut rng, cluster, &params,
        )))];
        let create =
            |(id, role): (NodeId, NodeRole)| Action::Create(Object::from(node(id, role, &mut rng)));
        actions.extend(nodes.into_iter().map(create));
        self.rng = rng;
        for action in actions {
            let step = StoreStep::unguarded(action);
            draft.add(step).expect("the tables are empty");
        }
        self.write(at, draft);
    }

    fn write(&mut self, at: usize, draft: Draft) -> u64 {
        self.operator.serial += 1;
        let serial = self.operator.serial;
        let waiter = Waiter::Api { serial, hash: 0 };
        let proposal = self.accept(at, draft, waiter);
        if self.bug == Some(Bug::AckBeforeCommit) && proposal.is_some() {
            let process = self.process(at);
            let known = process.and_then(|p| p.waiters.values().next_back().copied());
            if let Some((_, Waiter::Api { serial, hash })) = known {
                let verdict = self.oracle.acknowledged(serial, hash);
                self.judge(verdict);
            }
        }
        self.wake_pipeline(at, 0);
        serial
    }

    /// An operator does something, if there is a leader to tell.
    pub(crate) fn operate(&mut self, step: &Step) {
        let wanted_still = matches!(step.act, Act::ScaleToZero | Act::DrainAll) && step.ms == 0;
        if self.calm && !wanted_still {
            return;
        }
        let Some(at) = self.leader() else {
            return self.mark("operator finds no leader");
        };
        // Services of a scenario are made at different moments, and their ids are drawn.
        let mut rng = match step.act {
            Act::Service => Rng::new(step.at),
            _ => Rng::new(step.how),
        };
        match step.act {
            Act::ScaleToZero => self.scale_there_and_back(at, step),
            Act::DrainAll => self.drain_there_and_back(at, step),
            Act::SetAvailability => self.set_availability(at, &mut rng),
            Act::Relabel => self.relabel(at, &mut rng),
            Act::Rebalance => self.rebalance(at),
            Act::Rotate => self.rotate_tokens(at, &mut rng),
            Act::RotateAll => self.rotate_everything(at, &mut rng),
            Act::UpdateTwice | Act::RollBackTwice => {
                for _ in 0..2 {
                    self.edit_service(at, step, &mut rng);
                }
            }
            act if act >= Act::RemoveNode && act <= Act::Leave => self.churn(at, step, &mut rng),
            _ => self.edit_service(at, step, &mut rng),
        }
    }

    /// The newest tables of a leader, committed or not.
    fn head(&mut self, at: usize) -> State {
        let head = self.leading(at).map(|l| l.view.head().clone());
        head.unwrap_or_default()
    }

    fn edit_service(&mut self, at: usize, step: &Step, rng: &mut Rng) {
        let (clock, head) = (self.clock(at), self.head(at));
        let number = self.operator.names;
        self.operator.names += 1;
        let services: Vec<_> = head.services().iter().cloned().collect();
        let some = rng.pick(&services);
        if let Some(service) = &some {
            self.mark_edit(step.act, service);
        }
        let room = (services.len() as u64) < self.params.services_max || services.is_empty();
        let replicas_max = self.params.replicas_max;
        self.edit(at, |draft| match (step.act, &some) {
            (Act::Create, _) if room => edits::create(draft, rng, (number, replicas_max), clock),
            (Act::Scale, Some(s)) => edits::scale_to(draft, s, rng.between(0, replicas_max), clock),
            (Act::Update | Act::UpdateTwice, Some(s)) => edits::update(draft, rng, s, clock),
            (Act::RollBack | Act::RollBackTwice, Some(s)) => edits::roll_back(draft, s, clock),
            (Act::RemoveService, Some(s)) => control::service::remove(draft, &s.id.to_string()),
            (Act::MakeFiles, _) => edits::make_files(draft, rng, number),
            (Act::RotateSecret, _) => edits::rotate_secret(draft, rng, number, clock),
            (Act::RotateConfig, _) => edits::rotate_config(draft, rng, number, clock),
            (Act::Service, _) => match spec_text::edit(draft, &step.text, clock, rng) {
                Ok(done) => done,
                Err(why) => panic!("{why}"),
            },
            _ => Ok(()),
        });
    }

    fn mark_edit(&mut self, act: Act, service: &Service) {
        let (updates, goes_back) = (edits::is_updating(service), edits::is_rolling_back(service));
        match act {
            Act::Update | Act::UpdateTwice => {
                self.mark_if(updates, "update during an update");
                self.mark_if(goes_back, "update during a rollback");
            }
            Act::RollBack | Act::RollBackTwice => {
                self.mark_if(goes_back, "rollback during a rollback");
                self.mark_if(updates, "rollback during an update");
            }
            Act::RemoveService => self.mark_if(updates, "service removed during its update"),
            _ => {}
        }
    }

    /// Everything is scaled to zero, and back after a while.
    fn scale_there_and_back(&mut self, at: usize, step: &Step) {
        let (clock, head) = (self.clock(at), self.head(at));
        let back = step.ms == 0;
        let counts: Vec<_> = if back {
            std::mem::take(&mut self.operator.before)
        } else {
            let services = head.services().iter();
            let counts = services.filter_map(|s| Some((s.id, edits::replicas(s)?)));
            self.operator.before = counts.collect();
            self.operator
                .before
                .iter()
                .map(|(id, _)| (*id, 0))
                .collect()
        };
        self.mark_if(!back, "every service scaled to zero");
        if !back {
            self.act_later(step.ms.max(1) * MS, step.act, 0);
        }
        for (id, count) in counts {
            if let Some(service) = head.services().get(id) {
                self.edit(at, |draft| edits::scale_to(draft, service, count, clock));
            }
        }
    }

    /// Every node is drained, and active again after a while.
    fn drain_there_and_back(&mut self, at: usize, step: &Step) {
        let back = step.ms == 0;
        self.mark_if(!back, "every node drained");
        if !back {
            self.act_later(step.ms.max(1) * MS, step.act, 0);
        }
        let to = match back {
            true => Availability::Active,
            false => Availability::Drain,
        };
        for node in self.head(at).nodes().iter() {
            self.edit_node(at, node, |spec| spec.availability = to);
        }
    }

    /// Drafts a change on the leader's speculative head, and proposes it unless it is refused.
    pub(crate) fn edit(&mut self, at: usize, edit: impl FnOnce(&mut Draft) -> Edited) {
        let clock = self.clock(at);
        let Some(leading) = self.leading(at) else {
            return;
        };
        let mut draft = Draft::new(leading.view.head(), clock);
        if let Err(why) = edit(&mut draft) {
            self.mark("operator refused");
            self.note(("m", at), 40, || format!("refuses an operator: {why}"));
        } else if !draft.is_empty() {
            self.mark("operator");
            self.write(at, draft);
        }
    }

    /// Changes what operators say of a node.
    fn edit_node(&mut self, at: usize, node: &Node, edit: impl FnOnce(&mut NodeSpec)) {
        let members = self.log_members(at);
        let (id, version, mut spec) = (node.id.to_string(), node.meta.version, node.spec.clone());
        edit(&mut spec);
        self.edit(at, |draft| {
            control::node::update(draft, &id, version, spec, &members).map(drop)
        });
    }

    // Machines that come and go.

    fn churn(&mut self, at: usize, step: &Step, rng: &mut Rng) {
        match step.act {
            Act::RemoveNode => self.remove_node(at, rng),
            Act::JoinWorker => self.join(at, NodeRole::Worker, rng),
            Act::JoinManager => self.join(at, NodeRole::Manager, rng),
            Act::JoinTwo => {
                self.join(at, NodeRole::Manager, rng);
                self.join(at, NodeRole::Manager, rng);
                self.mark("two managers join at once");
            }
            Act::Promote => self.promote(at, rng),
            Act::Leave | Act::Demote => drop(self.demote(at, rng)),
            Act::DemoteAndCrash => {
                if let Some(host) = self.demote(at, rng) {
                    self.crash_manager(host, step.ms * MS);
                    self.mark("a manager crashes while it is demoted");
                }
            }
            _ => {}
        }
    }

    fn join(&mut self, at: usize, role: NodeRole, rng: &mut Rng) {
        let machines = self.agents.iter().filter(|a| !a.removed).count();
        let full = role == NodeRole::Manager && self.room_for_managers() == 0;
        if machines > 24 || full {
            return;
        }
        let Some(token) = self.join_token(at, role) else {
            return;
        };
        let Some(given) = self.first_certificate(at, &token) else {
            return;
        };
        let (id, role) = (
            given.certificate.subject.node_id,
            given.certificate.subject.role,
        );
        let new = node(id, role, rng);
        self.edit(at, |draft| crud::create(draft, new, State::nodes).map(drop));
        self.new_agent(id);
        if role == NodeRole::Manager {
            self.new_host(id);
        }
        self.mark(if role == NodeRole::Manager {
            "a manager joins"
        } else {
            "a worker joins"
        });
    }

    fn join_token(&self, at: usize, role: NodeRole) -> Option<String> {
        let tables = &self.hosts[at].process.as_ref()?.state;
        let tokens = &tables.cluster()?.root_ca.join_tokens;
        Some(match role {
            NodeRole::Worker => tokens.worker.clone(),
            NodeRole::Manager => tokens.manager.clone(),
        })
    }

    /// Join tokens change; somebody remembers those before.
    fn rotate_tokens(&mut self, at: usize, rng: &mut Rng) {
        for role in [NodeRole::Worker, NodeRole::Manager] {
            let before = self.join_token(at, role);
            self.identities.old_tokens.extend(before);
        }
        self.edit(at, |draft| edits::rotate(draft, rng));
    }

    fn promote(&mut self, at: usize, rng: &mut Rng) {
        let head = self.head(at);
        let ready =
            |n: &&Arc<Node>| n.spec.desired_role == NodeRole::Worker && n.description.is_some();
        let workers: Vec<_> = head.nodes().iter().filter(ready).cloned().collect();
        if let Some(worker) = rng.pick(&workers).filter(|_| self.room_for_managers() > 0) {
            self.edit_node(at, &worker, |spec| spec.desired_role = NodeRole::Manager);
            self.mark("a worker is to be a manager");
        }
    }

    fn demote(&mut self, at: usize, rng: &mut Rng) -> Option<usize> {
        let head = self.head(at);
        let manages = |n: &&Arc<Node>| n.spec.desired_role == NodeRole::Manager;
        let managers: Vec<_> = head.nodes().iter().filter(manages).cloned().collect();
        let chosen = rng.pick(&managers).filter(|_| managers.len() > 1)?;
        let host = self
            .hosts
            .iter()
            .find(|h| h.node == chosen.id && !h.gone)?
            .at;
        if !self.may_lose(host) || self.agent_on(host).is_none() {
            return None;
        }
        self.edit_node(at, &chosen, |spec| spec.desired_role = NodeRole::Worker);
        self.mark("a manager is to be a worker");
        self.mark_if(host == at, "the leader is to be a worker");
        self.mark_if(managers.len() == 2, "one of two managers is to be a worker");
        Some(host)
    }

    fn remove_node(&mut self, at: usize, rng: &mut Rng) {
        let (clock, head) = (self.clock(at), self.head(at));
        let worker =
            |n: &&Arc<Node>| n.role == NodeRole::Worker && n.spec.desired_role == NodeRole::Worker;
        let workers: Vec<_> = head.nodes().iter().filter(worker).cloned().collect();
        let known = |id: NodeId| self.agents.iter().position(|a| a.node == id);
        let Some(node) = rng.pick(&workers).filter(|_| workers.len() > 1) else {
            return;
        };
        if known(node.id).and_then(|a| self.host_on(a)).is_some() {
            return;
        }
        let (id, members) = (node.id.to_string(), self.log_members(at));
        self.mark_if(
            head.services().iter().any(|s| edits::is_updating(s)),
            "node removed during an update",
        );
        self.edit(at, |draft| {
            control::node::remove(draft, &id, true, &members, clock).map(drop)
        });
    }

    fn set_availability(&mut self, at: usize, rng: &mut Rng) {
        let to = rng.one_of(&[
            Availability::Active,
            Availability::Active,
            Availability::Drain,
            Availability::Pause,
        ]);
        if let Some(node) = some_node(rng, &self.head(at)) {
            self.edit_node(at, &node, |spec| spec.availability = to);
        }
    }

    fn relabel(&mut self, at: usize, rng: &mut Rng) {
        let zone = rng.one_of(&["one", "two"]);
        if let Some(node) = some_node(rng, &self.head(at)) {
            self.edit_node(at, &node, |spec| {
                let labels = &mut spec.annotations.labels;
                labels.insert("zone".into(), zone.into());
            });
        }
    }

    /// Tasks are to be moved to where they are better placed.
    fn rebalance(&mut self, at: usize) {
        let (clock, head) = (self.clock(at), self.head(at));
        let Ok(asked) = Asked::read(&head, &RebalanceRequest::default()) else {
            return;
        };
        let moves = control::rebalance::plan(&head, asked, clock).moves.len();
        let moves = u32::try_from(moves).unwrap_or(u32::MAX);
        if moves > 0 {
            self.mark("an operator has tasks moved");
            self.edit(at, |draft| {
                control::rebalance::ask(draft, asked, moves, clock)
            });
        }
    }

    /// New join tokens, and every node is asked for a new certificate.
    fn rotate_everything(&mut self, at: usize, rng: &mut Rng) {
        self.rotate_tokens(at, rng);
        for node in self.head(at).nodes().iter() {
            let id = node.id.to_string();
            self.edit(at, |draft| control::node::rotate(draft, &id).map(drop));
        }
        self.mark("tokens and all certificates rotated");
    }

    /// The machine of a removed node leaves with it, in one go for simplicity: it is not asked
    /// about any more.
    pub(crate) fn machine_leaves(&mut self, node: NodeId) {
        if let Some(at) = self.agents.iter().position(|a| a.node == node) {
            self.agents[at].removed = true;
            self.kill_agent(at);
            self.agents[at].things.clear();
            self.identities.hold(node, None);
            self.mark("node removed");
        }
    }

    /// A write that must succeed in a healthy cluster: touches the cluster's labels.
    pub(crate) fn fresh_write(&mut self) -> Option<()> {
        let at = self.leader()?;
        let serial = self.operator.serial;
        let mut cluster = Cluster::clone(self.leading(at)?.view.head().cluster()?);
        let labels = &mut cluster.spec.annotations.labels;
        labels.insert("fresh".into(), serial.to_string());
        self.edit(at, |draft| {
            crud::update(draft, cluster, State::clusters).map(drop)
        });
        Some(())
    }
}

fn node(id: NodeId, role: NodeRole, rng: &mut Rng) -> Node {
    let mut spec = NodeSpec {
        membership: Membership::Accepted,
        desired_role: role,
        ..NodeSpec::default()
    };
    let zone = rng.one_of(&["one", "two"]);
    spec.annotations.labels.insert("zone".into(), zone.into());
    Node {
        certificate: control::certificate::issued(id, role, Vec::new(), Vec::new()),
        ..Node::new(id, spec)
    }
}

fn some_node(rng: &mut Rng, head: &State) -> Option<Arc<Node>> {
    let nodes: Vec<_> = head.nodes().iter().cloned().collect();
    rng.pick(&nodes)
}
