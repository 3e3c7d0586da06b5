//! Finds the nodes among which a group of equal tasks is spread.
//!
//! Two ways to the same answer: a few tasks look at the least loaded nodes first and stop as soon
//! as there are enough; many tasks look at every node that passes the rules about itself, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::State;
use types::entropy::SeededEntropy;
use types::options::Strategy;
use types::{Entropy, GenericResource, NodeId, TaskId};

use crate::classes::Class;
use crate::failures::penalty;
use crate::filter;
use crate::index::{NodeIndex, Place};
use crate::queue::GroupKey;
use crate::requirements::Load;
use crate::spread::{Candidate, Leaf, Rank, Tree, order, path};

/// Looking at a node in load order costs about four times as much as in place order.
const ORDERED_LOOK_COST: usize = 4;

/// Nodes with the image that are looked at on their own, besides one for each task. Where more
/// hold it, some of them are soon found among the least loaded.
const HOLDERS_FEW: usize = 64;

/// Draws for each task until enough nodes with room are found; beyond it every node is looked at.
const DRAWS_PER_TASK_MAX: usize = 8;

/// A group of equal tasks and what is known for it.
#[derive(Clone)]
pub(crate) struct Search<'a> {
    /// The state the plan is made on.
    pub(crate) view: &'a State,
    /// The group.
    pub(crate) key: GroupKey,
    /// What its tasks ask.
    pub(crate) class: &'a Class,
    /// Recent failures of its spec, by node.
    pub(crate) failed: Option<&'a BTreeMap<NodeId, u32>>,
    /// How nodes are ranked.
    pub(crate) strategy: Strategy,
    /// What draws follow from.
    pub(crate) seed: u64,
    /// Nodes that hold the image, if any says so.
    pub(crate) holders: Option<Arc<BTreeSet<Place>>>,
}

impl Search<'_> {
    /// Nodes for `tasks` tasks, by preference and rank.
    pub(crate) fn tree(&self, index: &mut NodeIndex, tasks: usize) -> Tree {
        if !self.class.asked.spread.is_empty() {
            return self.by_preference(index);
        }
        let here = index.service(self.key.service).map_or(0, BTreeMap::len);
        let fitting = self.class.fitting().len();
        let few = (tasks + here).saturating_mul(ORDERED_LOOK_COST) < fitting;
        let found = match self.strategy {
            _ if !few || self.class.has_wishes() => None,
            Strategy::Spread => {
                index.sort_by_load();
                Some(self.least_loaded(index, tasks))
            }
            Strategy::Random => self.drawn(index, tasks),
            Strategy::Binpack => None,
        };
        Tree::flat(found.unwrap_or_else(|| best(self.all(index), tasks)))
    }

    /// Puts one task on a node that ranked so: its new rank and what the task takes, if there is
    /// room.
    pub(crate) fn place(
        &self,
        index: &mut NodeIndex,
        (before, place): Candidate,
    ) -> Option<(Rank, Load)> {
        let (asked, service) = (&self.class.asked, self.key.service);
        if !self.has_room(index, place) || !self.is_below_most(index, place) {
            return None;
        }
        let load = Load {
            nano_cpus: asked.nano_cpus,
            memory_bytes: asked.memory_bytes,
            ports: asked.ports.clone(),
            generic: self.claim(index, place),
            active: true,
            promised: false,
            displaceable: service.map(|_| self.key.urgency.0),
        };
        let service_tasks = index.charge(place, service, &load);
        Some((self.rank(index, place, service_tasks, before.order.0), load))
    }

    /// The node at a place with its rank, if there is room.
    fn candidate(&self, index: &NodeIndex, place: Place) -> Option<Candidate> {
        let service_tasks = index.service_tasks(self.key.service, place);
        self.counted(index, place, service_tasks)
    }

    /// The same where the service's active tasks there are known.
    fn counted(&self, index: &NodeIndex, place: Place, service_tasks: u32) -> Option<Candidate> {
        let most = self.class.asked.max_replicas;
        let below = most == 0 || u64::from(service_tasks) < most;
        let room = below && self.has_room(index, place);
        room.then(|| (self.rank(index, place, service_tasks, 0), place))
    }

    /// Every node that has room, in the order of places. The service's counts are in that order
    /// too and are read along with it.
    fn all(&self, index: &NodeIndex) -> Vec<Candidate> {
        let counts = index.service(self.key.service);
        let mut counts = counts.into_iter().flatten().peekable();
        let mut found = Vec::with_capacity(self.class.fitting().len());
        for place in self.class.fitting() {
            while counts.next_if(|(at, _)| *at < place).is_some() {}
            let here = counts.next_if(|(at, _)| *at == place);
            let service_tasks = here.map_or(0, |(_, count)| *count);
            found.extend(self.counted(index, *place, service_tasks));
        }
        found
    }

    fn has_room(&self, index: &NodeIndex, place: Place) -> bool {
        let entry = index.entry(place);
        let room = |node| filter::check_room(&self.class.asked, node, &entry.account).is_none();
        entry.node.as_deref().is_some_and(room) && self.class.bonds.hold(index, self.view, place)
    }

    fn is_below_most(&self, index: &NodeIndex, place: Place) -> bool {
        let most = self.class.asked.max_replicas;
        most == 0 || u64::from(index.service_tasks(self.key.service, place)) < most
    }

    fn rank(&self, index: &NodeIndex, place: Place, service_tasks: u32, rang: u32) -> Rank {
        let entry = index.entry(place);
        let weight = || {
            let node = entry.node.as_ref();
            node.map_or(0, |n| entry.account.weight(&self.class.asked, n))
        };
        let tasks = entry.account.active;
        Rank {
            failures: penalty(self.failed, entry.id),
            misses: self.class.misses(place, index, self.view),
            order: order(self.strategy, (service_tasks, tasks), weight, || {
                draw(self.seed, entry.id, rang)
            }),
            pulls: self.pulls(place),
        }
    }

    fn pulls(&self, place: Place) -> bool {
        let holders = self.holders.as_ref();
        holders.is_some_and(|places| !places.contains(&place))
    }

    /// A node at random, again and again, until there are as many with room as tasks; `None` if
    /// that takes too long.
    fn drawn(&self, index: &NodeIndex, tasks: usize) -> Option<Vec<Candidate>> {
        let fitting = self.class.fitting();
        let mut entropy = SeededEntropy::new(self.seed);
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        let mut good = 0;
        for _ in 0..tasks.saturating_mul(DRAWS_PER_TASK_MAX) {
            let at = usize::try_from(entropy.below(fitting.len() as u64)).ok()?;
            let place = fitting[at];
            if !seen.insert(place) {
                continue;
            }
            if let Some(candidate) = self.candidate(index, place) {
                good += usize::from(candidate.0.failures == 0);
                found.push(candidate);
            }
            if good == tasks {
                return Some(found);
            }
        }
        None
    }

    fn claim(&self, index: &NodeIndex, place: Place) -> Vec<GenericResource> {
        let entry = index.entry(place);
        let node = entry.node.as_ref();
        node.map_or_else(Vec::new, |n| entry.account.claim(&self.class.asked, n))
    }

    /// The nodes that have tasks of the service, and as many of the least loaded others as there
    /// are tasks: no task can rank any further node first. Nodes that are ranked last because
    /// tasks failed there come on top.
    fn least_loaded(&self, index: &NodeIndex, tasks: usize) -> Vec<Candidate> {
        let here = index.service(self.key.service);
        let few = self
            .holders
            .as_ref()
            .filter(|h| h.len() <= tasks + HOLDERS_FEW);
        let apart = |place: &Place| {
            here.is_some_and(|h| h.contains_key(place)) || few.is_some_and(|h| h.contains(place))
        };
        let known = here.into_iter().flat_map(BTreeMap::keys);
        let known: BTreeSet<Place> = known
            .chain(few.iter().flat_map(|h| h.iter()))
            .copied()
            .collect();
        let mut found: Vec<Candidate> = known
            .into_iter()
            .filter(|place| self.class.fits(*place))
            .filter_map(|place| self.candidate(index, place))
            .collect();
        let mut enough = Enough::new(tasks, few.is_none() && self.holders.is_some());
        for (load, place) in index.by_load() {
            if enough.is_reached(load) {
                break;
            }
            if !self.class.fits(place) || apart(&place) {
                continue;
            }
            if let Some(candidate) = self.candidate(index, place) {
                enough.count(load, candidate.0);
                found.push(candidate);
            }
        }
        found
    }

    /// Tasks of the service count for their branch also where the node takes no more.
    fn by_preference(&self, index: &NodeIndex) -> Tree {
        let keys = &self.class.asked.spread;
        let mut leaves: BTreeMap<Vec<String>, Leaf> = BTreeMap::new();
        for place in self.class.fitting() {
            let Some(node) = &index.entry(*place).node else {
                continue;
            };
            let leaf = leaves.entry(path(keys, node)).or_default();
            leaf.candidates.extend(self.candidate(index, *place));
        }
        for (place, tasks) in index.service(self.key.service).into_iter().flatten() {
            if let Some(node) = &index.entry(*place).node {
                let leaf = leaves.entry(path(keys, node)).or_default();
                leaf.tasks += u64::from(*tasks);
            }
        }
        Tree::new(leaves, keys.len())
    }
}

/// When enough nodes have been looked at in the order of their load.
struct Enough {
    tasks: usize,
    /// Of equally loaded nodes those with the image come first, so that all of a load are looked
    /// at until enough of them have it.
    by_image: bool,
    good: usize,
    /// The load at which there were as many nodes as tasks.
    boundary: Option<u32>,
    /// Good nodes below the boundary, and those on it that hold the image.
    sure: usize,
    /// The load of the node counted last.
    last: u32,
}

impl Enough {
    fn new(tasks: usize, by_image: bool) -> Self {
        Self {
            tasks,
            by_image,
            good: 0,
            boundary: None,
            sure: 0,
            last: 0,
        }
    }

    /// Whether no node of this load or a higher one can be among the best.
    fn is_reached(&self, load: u32) -> bool {
        let full = self.good >= self.tasks;
        full && (!self.by_image || self.sure >= self.tasks || self.boundary != Some(load))
    }

    fn count(&mut self, load: u32, rank: Rank) {
        if rank.failures > 0 {
            return;
        }
        if load != self.last {
            self.last = load;
            self.sure = self.good;
        }
        self.good += 1;
        self.sure += usize::from(!rank.pulls);
        if self.good >= self.tasks && self.boundary.is_none() {
            self.boundary = Some(load);
        }
    }
}

/// When a node's clock rings next, after it rang at `before`; 0 is the start. The node whose clock
/// rings first gets the task.
///
/// The times between two rings are distributed exponentially (piecewise linear between powers of
/// two), so whichever clocks rang before, each is as likely as any other to be the next.
pub(crate) fn draw(seed: u64, node: NodeId, before: u32) -> u32 {
    let bytes = node.to_bytes();
    let (high, low) = bytes.split_at(8);
    let word = |half: &[u8]| {
        half.iter()
            .fold(0u64, |word, b| (word << 8) | u64::from(*b))
    };
    let mixed = seed ^ word(high).rotate_left(17) ^ word(low) ^ (u64::from(before) << 32);
    let drawn = SeededEntropy::new(mixed).next_u64() | 1;
    let zeros = drawn.leading_zeros();
    let rest = (drawn << zeros << 1) >> 48;
    let pause = (zeros << 16) + (0xffff - u32::try_from(rest).unwrap_or(0));
    before.saturating_add(pause)
}

/// What the draws for a group follow from: its first task.
pub(crate) fn seed_of(first: Option<&TaskId>) -> u64 {
    let id = first.map_or(0, |id| id.get());
    u64::try_from((id >> 64) ^ (id & u128::from(u64::MAX))).unwrap_or(0)
}

/// The best candidates, as many as there are tasks. Each has room for a task, so that no task can
/// go to a worse one.
fn best(mut candidates: Vec<Candidate>, tasks: usize) -> Vec<Candidate> {
    if (1..candidates.len()).contains(&tasks) {
        candidates.select_nth_unstable(tasks);
        candidates.truncate(tasks);
    }
    candidates
}
