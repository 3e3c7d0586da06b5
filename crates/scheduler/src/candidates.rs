//! Finds the nodes among which a group of equal tasks is spread.
//!
//! Two ways to the same answer: a few tasks look at nodes in the order that is kept for their
//! class and stop as soon as there are enough; many tasks look at every node that passes the rules
//! about itself, once. Nodes that the group sees differently than its class (those with tasks of
//! the service, or of services that affinities name) are looked at apart; where they are many, a
//! group that comes back has an order of its own.

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
use crate::ranking::{Filed, LeafId, Ranking};
use crate::regulars::Regulars;
use crate::requirements::Load;
use crate::spread::{Candidate, Leaf, Order, Rank, Tree, order};

/// Looking at a node in the order kept costs about four times as much as in place order.
const ORDERED_LOOK_COST: usize = 4;

/// Nodes with the image that are looked at on their own, besides one for each task. Where more
/// hold it, some of them are soon found among the least loaded.
const HOLDERS_FEW: usize = 64;

/// Draws for each task until enough nodes are found; beyond it every node is looked at.
const DRAWS_PER_TASK_MAX: usize = 8;

/// A group of equal tasks and what is known for it.
pub(crate) struct Search<'a> {
    /// The state the plan is made on.
    pub(crate) view: &'a State,
    /// The group.
    pub(crate) key: GroupKey,
    /// What its tasks ask.
    pub(crate) class: &'a mut Class,
    /// Orders of nodes of groups that come back.
    pub(crate) regulars: &'a mut Regulars,
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
    pub(crate) fn tree(&mut self, index: &mut NodeIndex, tasks: usize) -> Tree {
        let found = self.first_ranked(index, tasks);
        if !self.class.asked.spread.is_empty() {
            let found = found.unwrap_or_else(|| self.all(index));
            return self.by_preference(index, found);
        }
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

    fn claim(&self, index: &NodeIndex, place: Place) -> Vec<GenericResource> {
        let entry = index.entry(place);
        let node = entry.node.as_ref();
        node.map_or_else(Vec::new, |n| entry.account.claim(&self.class.asked, n))
    }

    /// Of each branch as many of the best nodes as there are tasks, besides those that are looked
    /// at anyway: no task can rank any further node first. Nodes that are ranked last because
    /// tasks failed there come on top. `None` if every node had better be looked at.
    fn first_ranked(&mut self, index: &mut NodeIndex, tasks: usize) -> Option<Vec<Candidate>> {
        let looks = tasks.saturating_mul(self.class.leaf_count() as usize);
        let left = (self.class.fitting().len() / ORDERED_LOOK_COST).checked_sub(looks + 1)?;
        match self.apart(index, tasks, left) {
            Some(apart) if self.class.bonds.bind() => Some(self.looked_at(index, &apart)),
            Some(apart) => {
                self.class.rank(self.strategy, index);
                self.by_ranking(index, self.class.ranking()?, tasks, &apart)
            }
            None => {
                let mut ranking = self.regulars.take(self.key, index, left)?;
                Ranking::follow(&mut ranking, self.strategy, index, |place, index| {
                    self.file(index, place)
                });
                let ranking = ranking?;
                let apart = self.few_holders(tasks).cloned().unwrap_or_default();
                let found = self.by_ranking(index, &ranking, tasks, &apart);
                self.regulars.put(self.key, ranking, index);
                found
            }
        }
    }

    /// Nodes whose rank for the group is another than for its class; `None` if they are more than
    /// `most`, or not known.
    fn apart(&self, index: &NodeIndex, tasks: usize, most: usize) -> Option<BTreeSet<Place>> {
        let own = self.strategy == Strategy::Spread || self.class.asked.max_replicas > 0;
        let own = own.then_some(self.key.service);
        let named = self.class.bonds.services()?.map(Some);
        let mut left = most;
        let mut apart = BTreeSet::new();
        for service in own.into_iter().chain(named) {
            let places = index.service(service);
            left = left.checked_sub(places.map_or(0, BTreeMap::len))?;
            apart.extend(places.into_iter().flat_map(BTreeMap::keys));
        }
        if let Some(holders) = self.few_holders(tasks) {
            apart.extend(holders.iter());
        }
        Some(apart)
    }

    /// Where the group files the node at a place, if it takes a task.
    fn file(&self, index: &NodeIndex, place: Place) -> Option<Filed> {
        if !self.class.fits(place) {
            return None;
        }
        let (rank, _) = self.candidate(index, place)?;
        let order = match self.strategy {
            Strategy::Random => (0, 0),
            Strategy::Spread | Strategy::Binpack => rank.order,
        };
        Some(Filed {
            leaf: self.class.leaf(place)?,
            misses: u8::try_from(rank.misses).unwrap_or(u8::MAX),
            order,
            place,
        })
    }

    /// Nodes that can take a task, of those that are looked at whatever their rank.
    fn looked_at(&self, index: &NodeIndex, apart: &BTreeSet<Place>) -> Vec<Candidate> {
        let fitting = apart.iter().filter(|place| self.class.fits(**place));
        fitting
            .filter_map(|place| self.candidate(index, *place))
            .collect()
    }

    /// The nodes apart, and the best of the others in each branch; `None` if draws find too few.
    fn by_ranking(
        &self,
        index: &NodeIndex,
        ranking: &Ranking,
        tasks: usize,
        apart: &BTreeSet<Place>,
    ) -> Option<Vec<Candidate>> {
        let mut found = self.looked_at(index, apart);
        let by_image = self.holders.is_some() && self.few_holders(tasks).is_none();
        let mut entropy = SeededEntropy::new(self.seed);
        for leaf in 0..self.class.leaf_count() {
            let more = match self.strategy {
                Strategy::Random => {
                    self.drawn(index, ranking.lists(leaf), tasks, apart, &mut entropy)?
                }
                Strategy::Spread | Strategy::Binpack => {
                    let enough = Enough::new(tasks, by_image);
                    self.sorted(index, ranking.sorted(leaf), enough, apart)
                }
            };
            found.extend(more);
        }
        Some(found)
    }

    /// Nodes that hold the image, if they are few.
    fn few_holders(&self, tasks: usize) -> Option<&BTreeSet<Place>> {
        let holders = self.holders.as_deref();
        holders.filter(|h| h.len() <= tasks + HOLDERS_FEW)
    }

    /// The best nodes in order until there are enough.
    fn sorted<'f>(
        &self,
        index: &NodeIndex,
        ranking: impl Iterator<Item = &'f Filed>,
        mut enough: Enough,
        apart: &BTreeSet<Place>,
    ) -> Vec<Candidate> {
        let mut found = Vec::new();
        for filed in ranking {
            let level = (filed.misses, filed.order);
            if enough.is_reached(level) {
                break;
            }
            if apart.contains(&filed.place) {
                continue;
            }
            if let Some(candidate) = self.candidate(index, filed.place) {
                enough.count(level, candidate.0);
                found.push(candidate);
            }
        }
        found
    }

    /// A node at random, again and again, until there are as many as tasks; `None` if that takes
    /// too long. Nodes for which more soft expressions fail are not drawn before the others are
    /// used up.
    fn drawn<'f>(
        &self,
        index: &NodeIndex,
        lists: impl Iterator<Item = &'f [Place]>,
        tasks: usize,
        apart: &BTreeSet<Place>,
        entropy: &mut SeededEntropy,
    ) -> Option<Vec<Candidate>> {
        let mut found = Vec::new();
        let mut good = 0;
        let mut look = |place: Place, found: &mut Vec<Candidate>| {
            let open = !apart.contains(&place);
            if let Some(candidate) = open.then(|| self.candidate(index, place)).flatten() {
                good += usize::from(candidate.0.failures == 0);
                found.push(candidate);
            }
            good >= tasks
        };
        for places in lists {
            if places.len() <= tasks.saturating_mul(DRAWS_PER_TASK_MAX) {
                if places
                    .iter()
                    .fold(false, |_, place| look(*place, &mut found))
                {
                    break;
                }
                continue;
            }
            let mut seen = BTreeSet::new();
            let mut draws = tasks * DRAWS_PER_TASK_MAX;
            loop {
                let at = usize::try_from(entropy.below(places.len() as u64)).ok()?;
                if seen.insert(at) && look(places[at], &mut found) {
                    return Some(found);
                }
                draws = draws.checked_sub(1)?;
            }
        }
        Some(found)
    }

    /// Candidates by branch. Tasks of the service count for their branch also where the node takes
    /// no more.
    fn by_preference(&self, index: &NodeIndex, candidates: Vec<Candidate>) -> Tree {
        let mut leaves: BTreeMap<LeafId, Leaf> = BTreeMap::new();
        for candidate in candidates {
            if let Some(leaf) = self.class.leaf(candidate.1) {
                leaves.entry(leaf).or_default().candidates.push(candidate);
            }
        }
        for (place, tasks) in index.service(self.key.service).into_iter().flatten() {
            if let Some(leaf) = self.class.leaf(*place) {
                leaves.entry(leaf).or_default().tasks += u64::from(*tasks);
            }
        }
        let paths = self.class.paths().iter();
        let leaves = paths.filter_map(|(path, id)| Some((path.clone(), leaves.remove(id)?)));
        Tree::new(leaves.collect(), self.class.asked.spread.len())
    }
}

/// What nodes are sorted by that a group sees as its class does.
type Level = (u8, Order);

/// When enough nodes have been looked at in order.
struct Enough {
    tasks: usize,
    /// Of equally good nodes those with the image come first, so that all of a level are looked
    /// at until enough of them have it.
    by_image: bool,
    good: usize,
    /// The level at which there were as many nodes as tasks.
    boundary: Option<Level>,
    /// Good nodes before the boundary, and those on it that hold the image.
    sure: usize,
    /// The level of the node counted last.
    last: Option<Level>,
}

impl Enough {
    fn new(tasks: usize, by_image: bool) -> Self {
        Self {
            tasks,
            by_image,
            good: 0,
            boundary: None,
            sure: 0,
            last: None,
        }
    }

    /// Whether no node of this level or a later one can be among the best.
    fn is_reached(&self, level: Level) -> bool {
        let full = self.good >= self.tasks;
        full && (!self.by_image || self.sure >= self.tasks || self.boundary != Some(level))
    }

    fn count(&mut self, level: Level, rank: Rank) {
        if rank.failures > 0 {
            return;
        }
        if self.last != Some(level) {
            self.last = Some(level);
            self.sure = self.good;
        }
        self.good += 1;
        self.sure += usize::from(!rank.pulls);
        if self.good >= self.tasks && self.boundary.is_none() {
            self.boundary = Some(level);
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
