//! Classes of tasks that ask the same of a node, each with the nodes that can take them.
//!
//! The verdict on every node is worked out once per class and then kept current as nodes change,
//! so that placing a task asks no rule about nodes that are out anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::State;
use types::options::Strategy;
use types::service::Endpoint;
use types::{Service, ServiceId, ServiceSpec, Task, Timestamp};

use crate::bonds::Bonds;
use crate::filter::{self, Constraints, Counts, Filter};
use crate::index::{Entry, NodeIndex, Place};
use crate::queue::GroupKey;
#[cfg(test)]
use crate::ranking::Content;
use crate::ranking::{Filed, LeafId, Ranking};
use crate::requirements::Requirements;
use crate::spread::{order, path};

/// Classes kept although no task waits in them, so that the next restart of a service finds its
/// class worked out. 64 verdict lists of 100,000 nodes are 32 MiB.
const IDLE_CLASSES_MAX: usize = 64;

/// Idle classes, the latest ones, whose order of nodes is kept too: 5 MiB each at 100,000 nodes.
const IDLE_RANKINGS_MAX: usize = 8;

/// The branch of a place without a node.
const NO_LEAF: LeafId = LeafId::MAX;

/// Names a class; never used again.
pub(crate) type ClassId = u32;

/// What the rules about a node say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is no node at this place.
    Absent,
    /// The node passes.
    Fits,
    /// The first rule that it fails.
    Fails(Filter),
}

/// Tasks that ask the same of a node.
#[derive(Debug)]
pub(crate) struct Class {
    /// What they ask.
    pub(crate) asked: Requirements,
    constraints: Constraints,
    /// Affinities to what runs on a node.
    pub(crate) bonds: Bonds,
    /// How many soft expressions about the node itself do not hold, by place, if there are any.
    misses: Vec<u8>,
    tasks: usize,
    verdicts: Vec<Verdict>,
    fitting: Vec<Place>,
    /// The branch of each node, if there are placement preferences.
    leaves: Vec<LeafId>,
    /// Branches that nodes are in or were in.
    paths: BTreeMap<Vec<String>, LeafId>,
    ranking: Option<Ranking>,
    known: bool,
    /// What its groups wait for, while some do.
    pub(crate) waiting: Option<Waiting>,
}

/// Groups of a class that found no room.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// The groups.
    pub(crate) groups: BTreeSet<GroupKey>,
    /// The whole verdict on every node, as far as it was looked at.
    pub(crate) verdicts: Vec<Verdict>,
    /// When the reason was last worked out.
    pub(crate) told_at: Timestamp,
    /// Whether the reason has changed since.
    pub(crate) stale: bool,
}

/// All classes that tasks wait in, and some that tasks waited in lately.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    ids: BTreeMap<Arc<Requirements>, ClassId>,
    classes: BTreeMap<ClassId, Class>,
    /// Idle classes, longest idle first.
    idle: Vec<ClassId>,
    /// Classes with affinities to what runs on nodes.
    bound: BTreeSet<ClassId>,
    next: ClassId,
    last: Option<Recent>,
}

/// The class of the task asked about last. Tasks come in runs of one spec, and what they share
/// tells that they ask the same without a look at it.
#[derive(Debug)]
struct Recent {
    spec: Arc<ServiceSpec>,
    endpoint: Option<Arc<Endpoint>>,
    id: ClassId,
}

impl Class {
    fn new(asked: Requirements) -> Self {
        let constraints = filter::read_constraints(&asked);
        Self {
            bonds: Bonds::of(constraints.affinities.as_ref()),
            constraints,
            misses: Vec::new(),
            asked,
            tasks: 0,
            verdicts: Vec::new(),
            fitting: Vec::new(),
            leaves: Vec::new(),
            paths: BTreeMap::new(),
            ranking: None,
            known: false,
            waiting: None,
        }
    }

    /// Places of nodes that pass all rules about the node itself, in order.
    pub(crate) fn fitting(&self) -> &[Place] {
        &self.fitting
    }

    /// Whether the node at a place passes all rules about the node itself.
    pub(crate) fn fits(&self, place: Place) -> bool {
        self.verdicts.get(place as usize) == Some(&Verdict::Fits)
    }

    /// The first rule that a node fails now, what runs there included.
    pub(crate) fn verdict(&self, place: Place, index: &NodeIndex, view: &State) -> Verdict {
        let entry = index.entry(place);
        match (self.verdicts.get(place as usize), &entry.node) {
            (Some(Verdict::Fits), Some(_)) if !self.bonds.hold(index, view, place) => {
                Verdict::Fails(Filter::Affinity)
            }
            (Some(Verdict::Fits), Some(node)) => {
                match filter::check_room(&self.asked, node, &entry.account) {
                    None => Verdict::Fits,
                    Some(failed) => Verdict::Fails(failed),
                }
            }
            (Some(verdict), Some(_)) => *verdict,
            _ => Verdict::Absent,
        }
    }

    /// The whole verdict on every node.
    pub(crate) fn verdicts(&self, index: &NodeIndex, view: &State) -> Vec<Verdict> {
        index
            .entries()
            .map(|(place, _)| self.verdict(place, index, view))
            .collect()
    }

    /// How many soft expressions do not hold at a place.
    pub(crate) fn misses(&self, place: Place, index: &NodeIndex, view: &State) -> u32 {
        let of_node = self
            .misses
            .get(place as usize)
            .copied()
            .map_or(0, u32::from);
        of_node + self.bonds.misses(index, view, place)
    }

    /// Branches of the placement preferences that nodes are in or were in.
    pub(crate) fn paths(&self) -> &BTreeMap<Vec<String>, LeafId> {
        &self.paths
    }

    /// How many branches there are.
    pub(crate) fn leaf_count(&self) -> LeafId {
        let paths = LeafId::try_from(self.paths.len()).unwrap_or(NO_LEAF);
        paths.max(1)
    }

    /// The branch of the node at a place, if there is one.
    pub(crate) fn leaf(&self, place: Place) -> Option<LeafId> {
        if self.asked.spread.is_empty() {
            return Some(0);
        }
        let leaf = self.leaves.get(place as usize).copied();
        leaf.filter(|leaf| *leaf != NO_LEAF)
    }

    /// Brings the order of nodes with room up to date.
    pub(crate) fn rank(&mut self, strategy: Strategy, index: &mut NodeIndex) {
        let mut ranking = self.ranking.take();
        Ranking::follow(&mut ranking, strategy, index, |place, index| {
            self.file(place, strategy, index)
        });
        self.ranking = ranking;
    }

    /// Nodes with room in order, as of the last [`Class::rank`].
    pub(crate) fn ranking(&self) -> Option<&Ranking> {
        self.ranking.as_ref()
    }

    #[cfg(test)]
    pub(crate) fn assert_ranking_is_right(&mut self, index: &mut NodeIndex) {
        let Some(strategy) = self.ranking.as_ref().map(Ranking::strategy) else {
            return;
        };
        let kept = self.ranked(strategy, index);
        self.ranking = None;
        assert_eq!(kept, self.ranked(strategy, index));
    }

    #[cfg(test)]
    fn ranked(&mut self, strategy: Strategy, index: &mut NodeIndex) -> Option<Content> {
        self.rank(strategy, index);
        self.ranking.as_ref().map(Ranking::content)
    }

    /// Where the node at a place is filed, if it has room.
    fn file(&self, place: Place, strategy: Strategy, index: &NodeIndex) -> Option<Filed> {
        if !self.fits(place) {
            return None;
        }
        let entry = index.entry(place);
        let node = entry.node.as_deref()?;
        if filter::check_room(&self.asked, node, &entry.account).is_some() {
            return None;
        }
        let weight = || entry.account.weight(&self.asked, node);
        Some(Filed {
            leaf: self.leaf(place)?,
            misses: self.misses.get(place as usize).copied().unwrap_or(0),
            order: order(strategy, (0, entry.account.active), weight, || 0),
            place,
        })
    }

    fn check(&self, entry: &Entry) -> Verdict {
        let Some(node) = &entry.node else {
            return Verdict::Absent;
        };
        match filter::check_node(&self.asked, &self.constraints, node) {
            None => Verdict::Fits,
            Some(failed) => Verdict::Fails(failed),
        }
    }

    fn learn_all(&mut self, index: &NodeIndex) {
        self.verdicts = index
            .entries()
            .map(|(_, entry)| self.check(entry))
            .collect();
        self.fitting = (0..)
            .zip(&self.verdicts)
            .filter(|(_, v)| **v == Verdict::Fits)
            .map(|(place, _)| place)
            .collect();
        if self.constraints.ranks() {
            let missed = |entry: &Entry| {
                let node = entry.node.as_ref();
                node.map_or(0, |n| self.constraints.misses(n))
            };
            self.misses = index.entries().map(|(_, entry)| missed(entry)).collect();
        }
        if !self.asked.spread.is_empty() {
            self.leaves = index
                .entries()
                .map(|(_, entry)| self.leaf_of(entry))
                .collect();
        }
        self.known = true;
    }

    /// The branch that a node belongs to.
    fn leaf_of(&mut self, entry: &Entry) -> LeafId {
        let Some(node) = &entry.node else {
            return NO_LEAF;
        };
        let next = LeafId::try_from(self.paths.len()).unwrap_or(NO_LEAF);
        let path = path(&self.asked.spread, node);
        *self.paths.entry(path).or_insert(next)
    }

    fn learn(&mut self, place: Place, entry: &Entry) {
        let verdict = self.check(entry);
        let at = place as usize;
        if self.verdicts.len() <= at {
            self.verdicts.resize(at + 1, Verdict::Absent);
        }
        self.verdicts[at] = verdict;
        if self.constraints.ranks() {
            self.misses
                .resize(self.verdicts.len().max(self.misses.len()), 0);
            let node = entry.node.as_ref();
            self.misses[at] = node.map_or(0, |n| self.constraints.misses(n));
        }
        if !self.asked.spread.is_empty() {
            let leaf = self.leaf_of(entry);
            self.leaves.resize(self.verdicts.len(), NO_LEAF);
            self.leaves[at] = leaf;
        }
        match (verdict == Verdict::Fits, self.fitting.binary_search(&place)) {
            (true, Err(before)) => self.fitting.insert(before, place),
            (false, Ok(here)) => {
                self.fitting.remove(here);
            }
            _ => {}
        }
    }
}

impl Waiting {
    /// Takes note of the verdict on a node. Returns whether it is another than before.
    pub(crate) fn note(&mut self, place: Place, verdict: Verdict) -> bool {
        let at = place as usize;
        if self.verdicts.len() <= at {
            self.verdicts.resize(at + 1, Verdict::Absent);
        }
        std::mem::replace(&mut self.verdicts[at], verdict) != verdict
    }

    /// How many nodes fail each rule; nodes that pass all others are at the service's maximum.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for verdict in &self.verdicts {
            match verdict {
                Verdict::Absent => {}
                Verdict::Fits => counts.add(Filter::MaxReplicas, 1),
                Verdict::Fails(filter) => counts.add(*filter, 1),
            }
        }
        counts
    }
}

impl Classes {
    /// The class of a task that waits, made if it is new.
    pub(crate) fn enter(&mut self, task: &Task) -> ClassId {
        let id = self.id_of(task);
        let class = self.classes.get_mut(&id).expect("a named class is kept");
        if class.tasks == 0 {
            self.idle.retain(|other| *other != id);
        }
        class.tasks += 1;
        id
    }

    /// A task of a class waits no more. The class is kept for a while.
    pub(crate) fn leave(&mut self, id: ClassId) {
        let Some(class) = self.classes.get_mut(&id) else {
            return;
        };
        class.tasks -= 1;
        if class.tasks > 0 {
            return;
        }
        class.waiting = None;
        self.idle.push(id);
        let ranked = self.idle.iter().rev().nth(IDLE_RANKINGS_MAX);
        if let Some(class) = ranked.and_then(|id| self.classes.get_mut(id)) {
            class.ranking = None;
        }
        if self.idle.len() > IDLE_CLASSES_MAX {
            let oldest = self.idle.remove(0);
            self.bound.remove(&oldest);
            if let Some(class) = self.classes.remove(&oldest) {
                self.ids.remove(&class.asked);
            }
            self.last = None;
        }
    }

    /// The class of a task, whether or not it waits.
    pub(crate) fn id_of(&mut self, task: &Task) -> ClassId {
        let shared = task.networks.is_empty() && task.log_driver.is_none();
        if let Some(recent) = self.last.as_ref().filter(|r| shared && r.is_like(task)) {
            return recent.id;
        }
        let asked = Requirements::of(task);
        let id = match self.ids.get(&asked) {
            Some(id) => *id,
            None => self.add(asked),
        };
        if shared {
            self.last = Some(Recent {
                spec: task.service_spec.clone(),
                endpoint: task.endpoint.clone(),
                id,
            });
        }
        id
    }

    /// A class with the verdict on every node.
    pub(crate) fn known(
        &mut self,
        id: ClassId,
        index: &NodeIndex,
        view: &State,
    ) -> Option<&mut Class> {
        let class = self.classes.get_mut(&id)?;
        if !class.known {
            class.learn_all(index);
            class.bonds.learn(view);
        }
        Some(class)
    }

    /// Every class that is kept.
    #[cfg(test)]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Class> {
        self.classes.values_mut()
    }

    /// A class that is kept.
    pub(crate) fn get_mut(&mut self, id: ClassId) -> Option<&mut Class> {
        self.classes.get_mut(&id)
    }

    /// The node at a place changed.
    pub(crate) fn node_changed(&mut self, place: Place, entry: &Entry) {
        for class in self.classes.values_mut().filter(|c| c.known) {
            class.learn(place, entry);
        }
    }

    /// A service changed, appeared or went. Returns the classes whose affinities name other
    /// services now.
    pub(crate) fn service_changed(&mut self, id: ServiceId, new: Option<&Service>) -> Vec<ClassId> {
        let mut moved = Vec::new();
        for class_id in &self.bound {
            let class = self.classes.get_mut(class_id).filter(|c| c.known);
            if class.is_some_and(|c| c.bonds.follow(id, new)) {
                moved.push(*class_id);
            }
        }
        moved
    }

    /// Classes with hard affinities to single tasks.
    pub(crate) fn careful(&self) -> BTreeSet<ClassId> {
        let bound = self.bound.iter().copied();
        bound
            .filter(|id| self.classes.get(id).is_some_and(|c| c.bonds.is_careful()))
            .collect()
    }

    fn add(&mut self, asked: Requirements) -> ClassId {
        let id = self.next;
        self.next += 1;
        self.ids.insert(Arc::new(asked.clone()), id);
        let class = Class::new(asked);
        if !class.bonds.is_empty() {
            self.bound.insert(id);
        }
        self.classes.insert(id, class);
        // Idle until a task enters; a class that none enters goes with the other idle ones.
        self.idle.push(id);
        id
    }
}

impl Recent {
    fn is_like(&self, task: &Task) -> bool {
        let endpoint = match (&self.endpoint, &task.endpoint) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        endpoint && Arc::ptr_eq(&self.spec, &task.service_spec)
    }
}
