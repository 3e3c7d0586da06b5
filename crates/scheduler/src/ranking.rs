//! Nodes with room for a class of tasks, in the order in which a strategy takes them.
//!
//! Built once, then kept: the index writes down which places changed, and before the order is used
//! those are filed anew. So a task costs what happened since the last one, not a look at each node.
//! Nothing here depends on a service; what does (its own tasks, affinities, failures) is looked at
//! where it is.

use std::collections::{BTreeMap, BTreeSet};

use types::options::Strategy;

use crate::index::{NodeIndex, Place};
use crate::spread::Order;

/// Names a branch of the placement preferences within a class.
pub(crate) type LeafId = u32;

/// Where a node is filed; the least is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Filed {
    /// Its branch.
    pub(crate) leaf: LeafId,
    /// Soft expressions about the node itself that do not hold.
    pub(crate) misses: u8,
    /// What the strategy ranks by, for a service without tasks there. Where it draws: how many are
    /// before it in its list.
    pub(crate) order: Order,
    /// The node.
    pub(crate) place: Place,
}

/// Nodes with room for a class.
#[derive(Debug)]
pub(crate) struct Ranking {
    strategy: Strategy,
    filed: Vec<Option<Filed>>,
    sorted: BTreeSet<Filed>,
    /// For draws: nodes of each branch by soft expressions that do not hold, in no order.
    lists: BTreeMap<(LeafId, u8), Vec<Place>>,
    /// How far it has read what changed.
    read: u64,
}

/// What a ranking holds, whatever happened before.
#[cfg(test)]
pub(crate) type Content = (Vec<Filed>, BTreeMap<(LeafId, u8), BTreeSet<Place>>);

impl Ranking {
    /// Brings the order of a strategy up to date, or makes it. `file` says where the node at a
    /// place belongs, if it has room.
    pub(crate) fn follow(
        ranking: &mut Option<Self>,
        strategy: Strategy,
        index: &mut NodeIndex,
        file: impl Fn(Place, &NodeIndex) -> Option<Filed>,
    ) {
        let known = ranking.as_mut().filter(|r| r.strategy == strategy);
        let changed = known.and_then(|r| Some((index.changed_since(r.read)?, r)));
        match changed {
            Some((changed, ranking)) => {
                for place in changed {
                    ranking.put(place, file(place, index));
                }
                ranking.read = index.read_changes();
            }
            None => {
                let found = (0..)
                    .zip(index.entries())
                    .map(|(place, _)| file(place, index))
                    .collect();
                *ranking = Some(Self::new(strategy, found, index.read_changes()));
            }
        }
    }

    fn new(strategy: Strategy, filed: Vec<Option<Filed>>, read: u64) -> Self {
        let mut ranking = Self {
            strategy,
            filed: Vec::new(),
            sorted: BTreeSet::new(),
            lists: BTreeMap::new(),
            read,
        };
        if ranking.draws() {
            for (place, filed) in (0..).zip(filed) {
                ranking.put(place, filed);
            }
        } else {
            ranking.sorted = filed.iter().flatten().copied().collect();
            ranking.filed = filed;
        }
        ranking
    }

    /// Nodes of a branch in order.
    pub(crate) fn sorted(&self, leaf: LeafId) -> impl Iterator<Item = &Filed> {
        let first = Filed {
            leaf,
            misses: 0,
            order: (0, 0),
            place: 0,
        };
        self.sorted
            .range(first..)
            .take_while(move |filed| filed.leaf == leaf)
    }

    /// Nodes of a branch to draw from, those for which fewest soft expressions fail first.
    pub(crate) fn lists(&self, leaf: LeafId) -> impl Iterator<Item = &[Place]> {
        let lists = self.lists.range((leaf, 0)..=(leaf, u8::MAX));
        lists.map(|(_, places)| places.as_slice())
    }

    fn draws(&self) -> bool {
        self.strategy == Strategy::Random
    }

    fn put(&mut self, place: Place, filed: Option<Filed>) {
        let at = place as usize;
        if self.filed.len() <= at {
            self.filed.resize(at + 1, None);
        }
        if self.draws() {
            return self.put_in_list(place, filed);
        }
        if self.filed[at] == filed {
            return;
        }
        if let Some(old) = std::mem::replace(&mut self.filed[at], filed) {
            self.sorted.remove(&old);
        }
        self.sorted.extend(filed);
    }

    fn put_in_list(&mut self, place: Place, filed: Option<Filed>) {
        let list_of = |filed: Filed| (filed.leaf, filed.misses);
        let old = self.filed[place as usize];
        if old.map(list_of) == filed.map(list_of) {
            return;
        }
        if let Some(list) = old.map(list_of)
            && let Some(places) = self.lists.get_mut(&list)
        {
            let at = old.map_or(0, |o| o.order.0);
            places.swap_remove(at as usize);
            match places.get(at as usize) {
                // The last one took its seat.
                Some(moved) => {
                    if let Some(moved) = &mut self.filed[*moved as usize] {
                        moved.order.0 = at;
                    }
                }
                None if places.is_empty() => _ = self.lists.remove(&list),
                None => {}
            }
        }
        self.filed[place as usize] = filed.map(|mut filed| {
            let places = self.lists.entry(list_of(filed)).or_default();
            filed.order.0 = u32::try_from(places.len()).expect("places are 32 bits wide");
            places.push(place);
            filed
        });
    }

    /// The order, and the lists with each in the order of places.
    #[cfg(test)]
    pub(crate) fn content(&self) -> Content {
        let lists = self.lists.iter();
        let lists = lists.map(|(list, places)| (*list, places.iter().copied().collect()));
        (self.sorted.iter().copied().collect(), lists.collect())
    }

    /// The strategy whose order it is.
    #[cfg(test)]
    pub(crate) fn strategy(&self) -> Strategy {
        self.strategy
    }
}
