//! Ranking: which of the nodes that can take a task gets it.
//!
//! Knows nodes by place and rank only. Whether a node still has room is asked of the caller each
//! time one is chosen.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use types::Node;
use types::options::Strategy;
use types::task::PlacementPreference;

use crate::constraint::Key;
use crate::expression::label_key;
use crate::index::Place;

/// How good a node is for a task; the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Recent failures, if they are enough to count (SwarmKit's rule).
    pub(crate) failures: u32,
    /// Soft expressions that do not hold.
    pub(crate) misses: u32,
    /// What the strategy ranks by.
    pub(crate) order: Order,
    /// The node does not hold the image.
    pub(crate) pulls: bool,
}

/// What a strategy ranks by, the most important first; the least is the best.
pub(crate) type Order = (u32, u32);

/// The order of a node that has so many active tasks of the service and in all, is so full with
/// the task (by `Account::weight`), and drew so. Spread is SwarmKit's, binpack classic Swarm's.
pub(crate) fn order(
    strategy: Strategy,
    (service_tasks, tasks): (u32, u32),
    weight: impl FnOnce() -> u32,
    draw: impl FnOnce() -> u32,
) -> Order {
    match strategy {
        Strategy::Spread => (service_tasks, tasks),
        Strategy::Binpack => (u32::MAX - weight(), u32::MAX - tasks),
        Strategy::Random => (draw(), 0),
    }
}

/// A candidate in one word that compares as it does: what is compared a dozen times for each task
/// costs one comparison. Failures and misses beyond what fits count as the most that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Packed(u128);

impl Packed {
    /// Bits of failures and of misses.
    const FAILURES_MAX: u32 = (1 << 15) - 1;
    const MISSES_MAX: u32 = (1 << 16) - 1;

    fn of((rank, place): Candidate) -> Self {
        let high =
            (rank.failures.min(Self::FAILURES_MAX) << 16) | rank.misses.min(Self::MISSES_MAX);
        let (first, second) = rank.order;
        let word = (u128::from(high) << 32) | u128::from(first);
        let word = (((word << 32) | u128::from(second)) << 1) | u128::from(rank.pulls);
        Self((word << 32) | u128::from(place))
    }

    fn candidate(self) -> Candidate {
        let part = |shift: u32, bits: u32| -> u32 {
            let mask = (1u128 << bits) - 1;
            u32::try_from((self.0 >> shift) & mask).unwrap_or(u32::MAX)
        };
        let rank = Rank {
            failures: part(113, 15),
            misses: part(97, 16),
            order: (part(65, 32), part(33, 32)),
            pulls: part(32, 1) == 1,
        };
        (rank, part(0, 32))
    }
}

/// A node that can take a task. Equal ranks are decided by place: every run of the same inputs
/// gives the same plan.
pub(crate) type Candidate = (Rank, Place);

/// The label keys that a placement spreads over. As in SwarmKit, anything but a label of the node
/// or of its engine is ignored.
pub(crate) fn spread_keys(preferences: &[PlacementPreference]) -> Vec<Key> {
    preferences
        .iter()
        .filter_map(|PlacementPreference::Spread { descriptor }| label_key(descriptor))
        .collect()
}

/// The branch a node belongs to: its value of each key, empty where it has none.
pub(crate) fn path(keys: &[Key], node: &Node) -> Vec<String> {
    keys.iter().map(|key| key.read(node).into_owned()).collect()
}

/// A branch of the preferences: its nodes, and the service's active tasks on all its nodes.
#[derive(Debug, Default)]
pub(crate) struct Leaf {
    pub(crate) tasks: u64,
    pub(crate) candidates: Vec<Candidate>,
}

/// Candidates by preference: one level per key, the best node first in each leaf.
#[derive(Debug)]
pub(crate) struct Tree {
    branches: Vec<Branch>,
    root: usize,
}

/// A branch with the tasks in it.
type Child = (u64, usize);

#[derive(Debug)]
enum Branch {
    /// Children, fewest tasks first; those without room are gone.
    Fork(BTreeSet<Child>),
    /// Nodes, best first; those without room are gone.
    Leaf(BinaryHeap<Reverse<Packed>>),
}

impl Tree {
    /// One leaf: no preferences.
    pub(crate) fn flat(candidates: Vec<Candidate>) -> Self {
        Self {
            branches: vec![leaf(candidates)],
            root: 0,
        }
    }

    /// A tree of leaves, all of whose paths have `depth` values.
    pub(crate) fn new(leaves: BTreeMap<Vec<String>, Leaf>, depth: usize) -> Self {
        let mut branches = Vec::new();
        let mut level: BTreeMap<Vec<String>, Child> = BTreeMap::new();
        for (path, found) in leaves {
            level.insert(path, (found.tasks, branches.len()));
            branches.push(leaf(found.candidates));
        }
        for depth in (0..depth).rev() {
            let mut above: BTreeMap<Vec<String>, BTreeSet<Child>> = BTreeMap::new();
            for (path, (tasks, branch)) in level {
                let parent = above.entry(path[..depth].to_vec()).or_default();
                parent.insert((tasks, branch));
            }
            level = BTreeMap::new();
            for (path, children) in above {
                let tasks = children.iter().map(|(tasks, _)| tasks).sum();
                level.insert(path, (tasks, branches.len()));
                branches.push(Branch::Fork(children));
            }
        }
        match level.first_key_value() {
            Some((_, (_, root))) => Self {
                root: *root,
                branches,
            },
            None => Self::flat(Vec::new()),
        }
    }

    /// Gives the next task to the best node that still has room.
    ///
    /// `place` is asked to put it on a node that ranks so and answers with the node's new rank, or
    /// `None` if there is no room. Returns the place, or `None` if no node has room.
    pub(crate) fn next(
        &mut self,
        place: &mut impl FnMut(Candidate) -> Option<Rank>,
    ) -> Option<Place> {
        self.descend(self.root, place)
    }

    fn descend(
        &mut self,
        at: usize,
        place: &mut impl FnMut(Candidate) -> Option<Rank>,
    ) -> Option<Place> {
        loop {
            let (tasks, child) = match &mut self.branches[at] {
                Branch::Leaf(heap) => return best(heap, place),
                Branch::Fork(children) => children.pop_first()?,
            };
            if let Some(found) = self.descend(child, place) {
                if let Branch::Fork(children) = &mut self.branches[at] {
                    children.insert((tasks + 1, child));
                }
                return Some(found);
            }
        }
    }
}

fn leaf(candidates: Vec<Candidate>) -> Branch {
    Branch::Leaf(
        candidates
            .into_iter()
            .map(|candidate| Reverse(Packed::of(candidate)))
            .collect::<Vec<_>>()
            .into(),
    )
}

fn best(
    heap: &mut BinaryHeap<Reverse<Packed>>,
    place: &mut impl FnMut(Candidate) -> Option<Rank>,
) -> Option<Place> {
    loop {
        // Changed in place: the heap is put in order once, not twice.
        let mut top = heap.peek_mut()?;
        let candidate = top.0.candidate();
        match place(candidate) {
            Some(rank) => {
                *top = Reverse(Packed::of((rank, candidate.1)));
                return Some(candidate.1);
            }
            None => _ = PeekMut::pop(top),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy as _, any, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    fn candidate() -> impl proptest::strategy::Strategy<Value = Candidate> {
        let edge = || prop_oneof![Just(0u32), 1u32..4, Just(u32::MAX - 1), Just(u32::MAX)];
        let small = (0u32..6, 0u32..6);
        (small, edge(), edge(), any::<bool>(), edge()).prop_map(
            |((failures, misses), first, second, pulls, place)| {
                let order = (first, second);
                let rank = Rank {
                    failures,
                    misses,
                    order,
                    pulls,
                };
                (rank, place)
            },
        )
    }

    proptest! {
        #[test]
        fn a_packed_candidate_compares_as_it_does_and_is_itself_again(
            a in candidate(),
            b in candidate(),
        ) {
            prop_assert_eq!(Packed::of(a).cmp(&Packed::of(b)), a.cmp(&b));
            prop_assert_eq!(Packed::of(a).candidate(), a);
        }
    }

    #[test]
    fn more_failures_than_fit_still_rank_last() {
        let with = |failures| {
            let rank = Rank {
                failures,
                misses: 0,
                order: (0, 0),
                pulls: false,
            };
            Packed::of((rank, 0))
        };
        assert!(with(100_000) > with(6) && with(100_000) >= with(40_000));
    }
}
