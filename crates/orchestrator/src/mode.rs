//! Modes as data: which slots a service wants, and how many of them at a time.

use std::collections::BTreeMap;

use types::{Availability, NodeState, ServiceMode, SlotKey, TaskState};

use crate::fit;
use crate::ground::Ground;
use crate::ledger::Ledger;
use crate::schedule;
use crate::slot::Slot;

/// What a service wants of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// What is in it is kept going.
    Keep,
    /// What is in it stops; the records stay.
    Stop,
    /// What is in it stops; the records go.
    Forget,
}

/// What the service wants of a slot.
pub(crate) fn want(ground: &Ground<'_>, key: SlotKey) -> Want {
    let spec = &ground.service.spec;
    match (ground.mode, key) {
        (ServiceMode::Replicated { .. }, SlotKey::Number(_)) => Want::Keep,
        (
            ServiceMode::ReplicatedJob {
                total_completions, ..
            },
            SlotKey::Number(number),
        ) if number < total_completions => Want::Keep,
        (ServiceMode::Global | ServiceMode::GlobalJob, SlotKey::Node(node)) => {
            match ground.view.nodes().get(node) {
                None => Want::Forget,
                Some(node) if fit::keeps_task(node, &spec.task) => Want::Keep,
                Some(_) => Want::Stop,
            }
        }
        _ => Want::Forget,
    }
}

/// Whether an empty slot that is kept gets a task as soon as it is seen. Numbered slots are
/// filled by number, see [`missing`].
pub(crate) fn fills_at_sight(ground: &Ground<'_>, key: SlotKey) -> bool {
    let SlotKey::Node(node) = key else {
        return false;
    };
    if !ground.is_present() || schedule::is_before_first_run(ground) {
        return false;
    }
    let is_job = ground.service.spec.mode.is_job();
    ground.view.nodes().get(node).is_some_and(|n| {
        n.spec.availability == Availability::Active
            && (!is_job || n.status.state == NodeState::Ready)
    })
}

/// Whether an update may touch the slot: a paused node keeps what it has.
pub(crate) fn takes_updates(ground: &Ground<'_>, key: SlotKey) -> bool {
    if ground.service.spec.mode.is_job() {
        return false;
    }
    match key {
        SlotKey::Number(_) => true,
        SlotKey::Node(_) => fills_at_sight(ground, key),
    }
}

/// How many numbered slots are to be filled now, and the numbers to choose from.
pub(crate) fn missing(ground: &Ground<'_>, ledger: &Ledger) -> Vec<SlotKey> {
    if schedule::is_before_first_run(ground) {
        return Vec::new();
    }
    let (first, end, count) = match ground.mode {
        ServiceMode::Replicated { replicas } => {
            (1, u64::MAX, replicas.saturating_sub(ledger.held()))
        }
        ServiceMode::ReplicatedJob {
            max_concurrent,
            total_completions,
        } => {
            let room = max_concurrent.saturating_sub(ledger.busy());
            let open = total_completions.saturating_sub(ledger.held());
            (0, total_completions, room.min(open))
        }
        ServiceMode::Global | ServiceMode::GlobalJob => return Vec::new(),
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let count = count.min(crate::budget::ACTIONS_PER_PLAN_MAX);
    ledger.free_numbers(first..end).take(count).collect()
}

/// The slots of a replicated service to give up, as whole slots.
///
/// SwarmKit's order: slots that run come before those that do not, then by number; each slot
/// with one placed task is then numbered among those of its node, and slots are kept in the order
/// of that number. So the most crowded nodes lose tasks first, and slots that are not placed, or
/// are in transition, go before all others.
pub(crate) fn surplus(ground: &Ground<'_>, ledger: &Ledger) -> Vec<SlotKey> {
    let ServiceMode::Replicated { replicas } = ground.service.spec.mode else {
        return Vec::new();
    };
    if ledger.held() <= replicas {
        return Vec::new();
    }
    let mut ranked: Vec<Ranked> = Slot::read_all(ground)
        .iter()
        .filter(|slot| ledger.holds(slot.key))
        .map(|slot| Ranked::of(ground, slot))
        .collect();
    ranked.sort_by_key(|r| (!r.runs, r.key));
    let mut copies = BTreeMap::new();
    for slot in &mut ranked {
        if let Some(node) = slot.node {
            let copy = copies.entry(node).or_insert(0u64);
            slot.copy = Some(*copy);
            *copy += 1;
        }
    }
    ranked.sort_by_key(|r| r.copy.unwrap_or(u64::MAX));
    let keep = usize::try_from(replicas).unwrap_or(usize::MAX);
    ranked.into_iter().skip(keep).map(|r| r.key).collect()
}

struct Ranked {
    key: SlotKey,
    runs: bool,
    node: Option<types::NodeId>,
    copy: Option<u64>,
}

impl Ranked {
    fn of(ground: &Ground<'_>, slot: &Slot<'_>) -> Self {
        let live: Vec<_> = slot.tasks().filter(|t| ground.is_wanted(t)).collect();
        let single = match live.as_slice() {
            [] => slot.newest(),
            [one] => Some(*one),
            _ => None,
        };
        Self {
            key: slot.key,
            runs: live.iter().any(|t| t.status.state == TaskState::Running),
            node: single.and_then(|t| t.node_id),
            copy: None,
        }
    }
}
