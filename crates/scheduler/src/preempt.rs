//! Room for urgent tasks: which tasks of lower priority must go so that one that fits nowhere fits.
//!
//! Decides for one task and one node at a time, by the same rules as placing. A task that makes
//! room goes on taking what it takes until it has ended, so the urgent one waits for that; what it
//! will take is promised to it meanwhile, so that nobody smaller slips in. Promises follow from
//! the tables: tasks that are told to stop already count as room that is coming, so a new leader
//! that looks again finds the same room and displaces nobody else.
//!
//! Never displaced are tasks of the same or a higher priority, tasks of services with a task per
//! node, tasks without a service, and tasks that the urgent one has an affinity to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::{Action, Guard, State, Step};
use types::task::DISPLACED;
use types::{Node, NodeId, Task, TaskId, TaskState, TaskStatus, Timestamp};

use crate::account::Account;
use crate::classes::Class;
use crate::failures::penalty;
use crate::filter;
use crate::index::{NodeIndex, Place, occupied};
use crate::queue::GroupKey;
use crate::requirements::{Load, Requirements, displaceable};

/// Nodes on which room could be made that are compared; beyond it more of them are not looked for.
const CHOICES_MAX: usize = 64;

/// Tasks that room is made for in one plan.
pub(crate) const ROOMS_PER_PLAN_MAX: usize = 64;

/// What a task waits for whose room is on its way, as its status says it.
pub(crate) const WAITS: &str = "waiting for tasks of lower priority to end and make room";

/// Room that is on its way for a task.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    /// The task's group.
    pub(crate) group: GroupKey,
    /// Where.
    pub(crate) place: Place,
    /// The node there.
    pub(crate) node: NodeId,
    /// What the task will take.
    pub(crate) load: Load,
    /// Tasks that are displaced for it.
    pub(crate) victims: Vec<TaskId>,
    /// Tasks whose room it counts on too and that the same plan displaces for others.
    relied_on: Vec<TaskId>,
}

/// A task that looks for room.
pub(crate) struct Quest<'a> {
    pub(crate) view: &'a State,
    pub(crate) index: &'a NodeIndex,
    pub(crate) class: &'a Class,
    pub(crate) group: GroupKey,
    /// Recent failures of its spec, by node.
    pub(crate) failed: Option<&'a BTreeMap<NodeId, u32>>,
    /// Tasks that are displaced already, for others.
    pub(crate) leaving: &'a BTreeSet<TaskId>,
}

/// How much a choice costs; the least is the best: number of victims, their highest priority, the
/// sum of priorities, and how long the oldest has lived.
type Cost = (usize, u8, u32, Reverse<Timestamp>);

impl Quest<'_> {
    /// The cheapest room that can be made.
    pub(crate) fn room(&self) -> Option<Promise> {
        let mut best: Option<(Cost, Promise)> = None;
        let mut choices = 0;
        for place in self.class.fitting() {
            let Some((cost, promise)) = self.room_at(*place) else {
                continue;
            };
            choices += 1;
            let done = cost.0 == 0 || choices == CHOICES_MAX;
            if best.as_ref().is_none_or(|(b, _)| cost < *b) {
                best = Some((cost, promise));
            }
            if done {
                break;
            }
        }
        best.map(|(_, promise)| promise)
    }

    fn room_at(&self, place: Place) -> Option<(Cost, Promise)> {
        let entry = self.index.entry(place);
        let node = entry.node.as_ref()?;
        if !self.may_help(node, &entry.account) || !self.is_open(place, entry.id) {
            return None;
        }
        let mut account = entry.account.clone();
        let mut lower: Vec<&Arc<Task>> = Vec::new();
        let mut relied_on = Vec::new();
        for task in self.view.tasks().on_node(entry.id) {
            if occupied(task).is_none() {
                continue;
            }
            if task.desired_state > TaskState::Complete {
                account.remove(&Load::of(task));
            } else if self.leaving.contains(&task.id) {
                account.remove(&Load::of(task));
                relied_on.push(task.id);
            } else if self.may_displace(task) {
                lower.push(task);
            }
        }
        lower.sort_by_key(|t| (displaceable(t), Reverse(t.meta.created_at), Reverse(t.id)));
        let victims = self.victims(node, &mut account, &lower)?;
        let promise = Promise {
            group: self.group,
            place,
            node: entry.id,
            load: promised_load(&self.class.asked, &account, node),
            victims: victims.iter().map(|t| t.id).collect(),
            relied_on,
        };
        Some((cost(&victims), promise))
    }

    /// Whether there would be enough CPU and memory if everybody went who may have to.
    fn may_help(&self, node: &Node, account: &Account) -> bool {
        let below = account.below(self.group.urgency.0);
        let asked = &self.class.asked;
        let Some(described) = &node.description else {
            return below.tasks > 0;
        };
        let has = &described.resources;
        let suffices =
            |asked: i64, has: i64, used: i64, freed: i64| asked <= 0 || asked <= has - used + freed;
        below.tasks > 0
            && suffices(
                asked.nano_cpus,
                has.nano_cpus,
                account.nano_cpus,
                below.nano_cpus,
            )
            && suffices(
                asked.memory_bytes,
                has.memory_bytes,
                account.memory_bytes,
                below.memory_bytes,
            )
    }

    /// Whether nothing speaks against the node that room could not change.
    fn is_open(&self, place: Place, node: NodeId) -> bool {
        let most = self.class.asked.max_replicas;
        let here = u64::from(self.index.service_tasks(self.group.service, place));
        (most == 0 || here < most)
            && penalty(self.failed, node) == 0
            && self.class.bonds.hold(self.index, self.view, place)
    }

    fn may_displace(&self, task: &Task) -> bool {
        displaceable(task).is_some_and(|priority| priority < self.group.urgency.0)
            && !self.class.bonds.need(task)
    }

    /// The fewest of these tasks whose end makes room; `None` if even the end of all does not.
    /// Afterwards the account is without them.
    fn victims<'t>(
        &self,
        node: &Node,
        account: &mut Account,
        lower: &[&'t Arc<Task>],
    ) -> Option<Vec<&'t Arc<Task>>> {
        let fits =
            |account: &Account| filter::check_room(&self.class.asked, node, account).is_none();
        if fits(account) {
            return Some(Vec::new());
        }
        for task in lower {
            let load = Load::of(task);
            account.remove(&load);
            if fits(account) {
                return Some(vec![task]);
            }
            account.add(&load);
        }
        let mut taken = Vec::new();
        for task in lower {
            account.remove(&Load::of(task));
            taken.push(*task);
            if fits(account) {
                break;
            }
        }
        if !fits(account) {
            return None;
        }
        // Some may have been taken in vain; the most urgent are spared first.
        for at in (0..taken.len()).rev() {
            let load = Load::of(taken[at]);
            account.add(&load);
            if fits(account) {
                taken.remove(at);
            } else {
                account.remove(&load);
            }
        }
        Some(taken)
    }
}

fn cost(victims: &[&Arc<Task>]) -> Cost {
    let priorities = || victims.iter().filter_map(|t| displaceable(t));
    let oldest = victims.iter().map(|t| t.meta.created_at).min();
    (
        victims.len(),
        priorities().max().unwrap_or(0),
        priorities().map(u32::from).sum(),
        Reverse(oldest.unwrap_or_default()),
    )
}

impl Promise {
    /// Whether a task that was to make room is still meant to run: the step that was to tell it
    /// so was dropped.
    pub(crate) fn is_broken(&self, view: &State) -> bool {
        let wanted = |t: &Arc<Task>| t.is_runnable() && t.node_id == Some(self.node);
        let mut ending = self.victims.iter().chain(&self.relied_on);
        ending.any(|id| view.tasks().get(*id).is_some_and(wanted))
    }

    /// Has the victims stop, all together or none, if there are any.
    pub(crate) fn step(&self, view: &State, urgent: &Task, now: Timestamp) -> Option<Step> {
        let victims = self.victims.iter().filter_map(|id| view.tasks().get(*id));
        let mut step = Step::default();
        step.guards.push(Guard::task(urgent));
        let node = view.nodes().get(self.node).map(|n| Guard::node(n));
        // Should the node take no more tasks by then, they would go in vain.
        step.guards.extend(node);
        for victim in victims {
            step.guards.push(Guard::task(victim));
            let status = TaskStatus {
                timestamp: now,
                err: reason(victim, urgent).into(),
                ..victim.status.clone()
            };
            step.actions.push(Action::Report {
                task: victim.id,
                status: Box::new(status),
            });
            step.actions.push(Action::Desire {
                task: victim.id,
                state: TaskState::Shutdown,
            });
        }
        (!step.actions.is_empty()).then_some(step)
    }
}

/// The task that another was displaced for and that still waits for its room.
pub(crate) fn makes_room_for<'s>(view: &'s State, victim: &Task) -> Option<&'s Arc<Task>> {
    let text = victim.status.err.strip_prefix(DISPLACED)?;
    let (urgent, _) = text.strip_prefix("task ")?.split_once(' ')?;
    let urgent = view.tasks().get(urgent.parse().ok()?)?;
    let waits = urgent.status.state == TaskState::Pending && urgent.node_id.is_none();
    let ends = occupied(victim).is_some() && victim.desired_state > TaskState::Complete;
    (waits && ends).then_some(urgent)
}

/// What a task will take on a node that room is made for it on.
pub(crate) fn promised_load(asked: &Requirements, account: &Account, node: &Node) -> Load {
    Load {
        nano_cpus: asked.nano_cpus,
        memory_bytes: asked.memory_bytes,
        generic: account.claim(asked, node),
        ports: asked.ports.clone(),
        active: false,
        promised: true,
        displaceable: None,
    }
}

/// Why a task is displaced, as its status says it.
fn reason(victim: &Task, urgent: &Task) -> String {
    let (high, low) = (&urgent.service_spec, &victim.service_spec);
    format!(
        "{DISPLACED}task {} of service {} (priority {} over {})",
        urgent.id, high.annotations.name, high.options.priority, low.options.priority
    )
}
