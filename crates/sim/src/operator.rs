//! What operators do: the writes of the control API, made on the leader's speculative head as the
//! shell makes them.

use store::{Action, Draft, Key, Object, State, Step as StoreStep};
use types::node::Membership;
use types::{
    Availability, Cluster, Node, NodeId, NodeRole, NodeSpec, TaskState, TaskStatus, Timestamp,
};

use crate::bugs::Bug;
use crate::edits::{self, Edit};
use crate::host::Waiter;
use crate::params::MS;
use crate::rng::Rng;
use crate::schedule::{Act, Step};
use crate::spec_text;
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
        let (history, managers) = (self.params.history, self.hosts.iter().map(|h| h.node));
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
            &mut rng, history,
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
        let mut rng = Rng::new(step.how);
        match step.act {
            Act::ScaleToZero | Act::DrainAll => self.there_and_back(at, step),
            Act::UpdateTwice | Act::RollBackTwice => {
                for _ in 0..2 {
                    self.edit_service(at, step, &mut rng);
                }
            }
            act if act >= Act::RemoveNode && act <= Act::Leave => self.churn(at, step, &mut rng),
            _ => self.edit_service(at, step, &mut rng),
        }
    }

    /// The committed-or-not newest tables of a leader.
    fn head(&mut self, at: usize) -> State {
        let head = self.leading(at).map(|l| l.view.head().clone());
        head.unwrap_or_default()
    }

    fn edit_service(&mut self, at: usize, step: &Step, rng: &mut Rng) {
        let (clock, head) = (self.clock(at), self.head(at));
        let (number, params) = (self.operator.names, self.params.clone());
        let services: Vec<_> = head.services().iter().cloned().collect();
        let some = rng.pick(&services);
        let room = (services.len() as u64) < params.services_max;
        let replicas_max = params.replicas_max;
        let edit = match (step.act, some) {
            (Act::Create, None) => edits::create(rng, &head, (number, replicas_max), clock),
            (Act::Create, _) if room => edits::create(rng, &head, (number, replicas_max), clock),
            (Act::Scale, Some(s)) => edits::scale(rng, &s, replicas_max, clock),
            (Act::Update | Act::UpdateTwice, Some(s)) => {
                self.mark_if(edits::is_updating(&s), "update during an update");
                self.mark_if(edits::is_rolling_back(&s), "update during a rollback");
                edits::update(rng, &head, &s, clock)
            }
            (Act::RollBack | Act::RollBackTwice, Some(s)) => {
                self.mark_if(edits::is_rolling_back(&s), "rollback during a rollback");
                self.mark_if(edits::is_updating(&s), "rollback during an update");
                edits::roll_back(&s, clock)
            }
            (Act::RemoveService, Some(s)) => {
                self.mark_if(edits::is_updating(&s), "service removed during its update");
                vec![Action::Remove(Key::Service(s.id))]
            }
            (Act::SetAvailability, _) => available(rng, &head),
            (Act::Relabel, _) => relabel(rng, &head),
            (Act::Rotate, _) => edits::rotate(rng, &head),
            (Act::MakeSecret, _) => edits::make_secret(rng, &head, number),
            (Act::RotateSecret, _) => edits::rotate_secret(rng, &head, number, clock),
            (Act::Service, _) => match spec_text::edit(&step.text, &head, clock, rng) {
                Ok(edit) => edit,
                Err(why) => panic!("{why}"),
            },
            _ => Edit::new(),
        };
        self.operator.names += 1;
        if edits::is_valid(&edit) {
            self.commit_edit(at, edit, clock);
        }
    }

    /// Everything is scaled to zero, or drained, and back after a while.
    fn there_and_back(&mut self, at: usize, step: &Step) {
        let (clock, head) = (self.clock(at), self.head(at));
        let back = step.ms == 0;
        let edit = match step.act {
            Act::DrainAll => {
                let to = if back {
                    Availability::Active
                } else {
                    Availability::Drain
                };
                let all = head.nodes().iter().map(|n| with_availability(n, to));
                all.collect()
            }
            _ if back => {
                let before = std::mem::take(&mut self.operator.before);
                let all = before
                    .into_iter()
                    .filter_map(|(id, n)| Some((head.services().get(id)?.clone(), n)));
                all.flat_map(|(s, n)| edits::scale_to(&s, n, clock))
                    .collect()
            }
            _ => {
                let services = head.services().iter();
                let counts = services.filter_map(|s| Some((s.id, edits::replicas(s)?)));
                self.operator.before = counts.collect();
                let services = head.services().iter();
                services
                    .flat_map(|s| edits::scale_to(s, 0, clock))
                    .collect()
            }
        };
        self.mark_if(
            !back,
            if step.act == Act::DrainAll {
                "every node drained"
            } else {
                "every service scaled to zero"
            },
        );
        if !back {
            self.act_later(step.ms.max(1) * MS, step.act, 0);
        }
        self.commit_edit(at, edit, clock);
    }

    pub(crate) fn commit_edit(&mut self, at: usize, edit: Edit, clock: Timestamp) {
        let Some(leading) = self.leading(at).filter(|_| !edit.is_empty()) else {
            return;
        };
        let mut draft = Draft::new(leading.view.head(), clock);
        let step = StoreStep {
            guards: Vec::new(),
            actions: edit,
        };
        if draft.add(step).is_err() {
            return self.mark("operator refused");
        }
        self.mark("operator");
        self.write(at, draft);
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
        let id = NodeId::random(rng);
        let clock = self.clock(at);
        self.commit_edit(
            at,
            vec![Action::Create(Object::from(node(id, role, rng)))],
            clock,
        );
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

    fn promote(&mut self, at: usize, rng: &mut Rng) {
        let (clock, head) = (self.clock(at), self.head(at));
        let ready = |n: &&std::sync::Arc<Node>| {
            n.spec.desired_role == NodeRole::Worker && n.description.is_some()
        };
        let workers: Vec<_> = head.nodes().iter().filter(ready).cloned().collect();
        let Some(worker) = rng.pick(&workers).filter(|_| self.room_for_managers() > 0) else {
            return;
        };
        let mut node = Node::clone(&worker);
        node.spec.desired_role = NodeRole::Manager;
        self.commit_edit(at, vec![Action::Update(Object::from(node))], clock);
        self.mark("a worker is to be a manager");
    }

    /// The demotion of the control API, with its checks.
    fn demote(&mut self, at: usize, rng: &mut Rng) -> Option<usize> {
        let (clock, head) = (self.clock(at), self.head(at));
        let manages = |n: &&std::sync::Arc<Node>| n.spec.desired_role == NodeRole::Manager;
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
        let mut node = Node::clone(&chosen);
        node.spec.desired_role = NodeRole::Worker;
        self.commit_edit(at, vec![Action::Update(Object::from(node))], clock);
        self.mark("a manager is to be a worker");
        self.mark_if(host == at, "the leader is to be a worker");
        self.mark_if(managers.len() == 2, "one of two managers is to be a worker");
        Some(host)
    }

    fn remove_node(&mut self, at: usize, rng: &mut Rng) {
        let (clock, head) = (self.clock(at), self.head(at));
        let worker = |n: &&std::sync::Arc<Node>| {
            n.role == NodeRole::Worker && n.spec.desired_role == NodeRole::Worker
        };
        let workers: Vec<_> = head.nodes().iter().filter(worker).cloned().collect();
        let known = |id: NodeId| self.agents.iter().position(|a| a.node == id);
        let Some(node) = rng.pick(&workers).filter(|_| workers.len() > 1) else {
            return;
        };
        let manages = known(node.id).and_then(|a| self.host_on(a)).is_some();
        if !manages {
            let edit = orphan_and_remove(&head, &node, clock);
            self.commit_edit(at, edit, clock);
        }
    }

    /// The machine of a removed node leaves with it, in one go for simplicity: it is not asked
    /// about any more.
    pub(crate) fn machine_leaves(&mut self, node: NodeId) {
        if let Some(at) = self.agents.iter().position(|a| a.node == node) {
            self.agents[at].removed = true;
            self.kill_agent(at);
            self.agents[at].things.clear();
            self.mark("node removed");
        }
    }

    /// A write that must succeed in a healthy cluster: touches the cluster's labels.
    pub(crate) fn fresh_write(&mut self) -> Option<()> {
        let at = self.leader()?;
        let clock = self.clock(at);
        let serial = self.operator.serial;
        let head = self.leading(at)?.view.head().clone();
        let mut cluster = Cluster::clone(head.cluster()?);
        let labels = &mut cluster.spec.annotations.labels;
        labels.insert("fresh".into(), serial.to_string());
        self.commit_edit(at, vec![Action::Update(Object::from(cluster))], clock);
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
        role,
        ..Node::new(id, spec)
    }
}

fn some_node(rng: &mut Rng, head: &State) -> Option<Node> {
    let nodes: Vec<_> = head.nodes().iter().cloned().collect();
    rng.pick(&nodes).map(|n| Node::clone(&n))
}

fn with_availability(node: &Node, availability: Availability) -> Action {
    let mut node = node.clone();
    node.spec.availability = availability;
    Action::Update(Object::from(node))
}

fn available(rng: &mut Rng, head: &State) -> Edit {
    let Some(node) = some_node(rng, head) else {
        return Edit::new();
    };
    let to = rng.one_of(&[
        Availability::Active,
        Availability::Active,
        Availability::Drain,
        Availability::Pause,
    ]);
    vec![with_availability(&node, to)]
}

fn relabel(rng: &mut Rng, head: &State) -> Edit {
    let Some(mut node) = some_node(rng, head) else {
        return Edit::new();
    };
    let zone = rng.one_of(&["one", "two"]);
    let labels = &mut node.spec.annotations.labels;
    labels.insert("zone".into(), zone.into());
    vec![Action::Update(Object::from(node))]
}

/// The forced removal of the control API.
fn orphan_and_remove(head: &State, node: &Node, now: Timestamp) -> Edit {
    let live = head.tasks().on_node(node.id);
    let live = live.filter(|t| t.status.state < TaskState::Complete);
    let mut edit: Edit = live
        .map(|t| Action::Report {
            task: t.id,
            status: Box::new(TaskStatus {
                timestamp: now,
                state: TaskState::Orphaned,
                message: types::task::message("task orphaned because its node was removed"),
                ..t.status.clone()
            }),
        })
        .collect();
    edit.push(Action::Remove(Key::Node(node.id)));
    edit
}
