//! Finds the nodes among which a group of equal tasks is spread.
//!
//! Two ways to the same answer: a few tasks look at the least loaded nodes first and stop as soon
//! as there are enough; many tasks look at every node that passes the rules about itself, once.

use std::collections::BTreeMap;

use types::{GenericResource, NodeId};

use crate::classes::Class;
use crate::failures::penalty;
use crate::filter;
use crate::index::{NodeIndex, Place};
use crate::queue::GroupKey;
use crate::requirements::Load;
use crate::spread::{Candidate, Leaf, Rank, Tree, path};

/// Looking at a node in load order costs about four times as much as in place order.
const ORDERED_LOOK_COST: usize = 4;

/// A group of equal tasks and what is known for it.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    /// The group.
    pub(crate) key: GroupKey,
    /// What its tasks ask.
    pub(crate) class: &'a Class,
    /// Recent failures of its spec, by node.
    pub(crate) failed: Option<&'a BTreeMap<NodeId, u32>>,
}

impl Search<'_> {
    /// Nodes for `tasks` tasks, by preference and rank.
    pub(crate) fn tree(&self, index: &mut NodeIndex, tasks: usize) -> Tree {
        if !self.class.asked.spread.is_empty() {
            return self.by_preference(index);
        }
        let here = index.service(self.key.service).map_or(0, BTreeMap::len);
        let fitting = self.class.fitting().len();
        if (tasks + here).saturating_mul(ORDERED_LOOK_COST) < fitting {
            index.sort_by_load();
            return Tree::flat(self.least_loaded(index, tasks));
        }
        Tree::flat(best(self.all(index), tasks))
    }

    /// Puts one task on a node: its new rank and what the task takes, if there is room.
    pub(crate) fn place(&self, index: &mut NodeIndex, place: Place) -> Option<(Rank, Load)> {
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
        };
        let service_tasks = index.charge(place, service, &load);
        Some((self.rank(index, place, service_tasks), load))
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
        room.then(|| (self.rank(index, place, service_tasks), place))
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
        entry.node.as_deref().is_some_and(room)
    }

    fn is_below_most(&self, index: &NodeIndex, place: Place) -> bool {
        let most = self.class.asked.max_replicas;
        most == 0 || u64::from(index.service_tasks(self.key.service, place)) < most
    }

    fn rank(&self, index: &NodeIndex, place: Place, service_tasks: u32) -> Rank {
        let entry = index.entry(place);
        Rank {
            failures: penalty(self.failed, entry.id),
            service_tasks,
            tasks: entry.account.active,
        }
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
        let mut found: Vec<Candidate> = here
            .into_iter()
            .flat_map(BTreeMap::keys)
            .filter(|place| self.class.fits(**place))
            .filter_map(|place| self.candidate(index, *place))
            .collect();
        let mut good = 0;
        for place in index.by_load() {
            if good == tasks {
                break;
            }
            if !self.class.fits(place) || here.is_some_and(|h| h.contains_key(&place)) {
                continue;
            }
            if let Some(candidate) = self.candidate(index, place) {
                good += usize::from(candidate.0.failures == 0);
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

/// The best candidates, as many as there are tasks. Each has room for a task, so that no task can
/// go to a worse one.
fn best(mut candidates: Vec<Candidate>, tasks: usize) -> Vec<Candidate> {
    if (1..candidates.len()).contains(&tasks) {
        candidates.select_nth_unstable(tasks);
        candidates.truncate(tasks);
    }
    candidates
}
