//! Orders of nodes for groups that are placed again and again and see most nodes differently than
//! their class: a service that runs everywhere, one of whose tasks ended.
//!
//! An order costs more to make than a look at every node, so it is made when a group comes back
//! before many nodes have changed, and given up when it does not come back.

use std::collections::BTreeMap;

use crate::classes::ClassId;
use crate::index::NodeIndex;
use crate::queue::GroupKey;
use crate::ranking::Ranking;

/// Nodes in all orders together; each takes some 60 bytes.
const NODES_MAX: usize = 500_000;

/// Groups that are remembered.
const GROUPS_MAX: usize = 1_000;

/// Groups that were placed lately.
#[derive(Debug, Default)]
pub(crate) struct Regulars {
    groups: BTreeMap<GroupKey, Regular>,
    /// The same by their last use.
    by_use: BTreeMap<u64, GroupKey>,
    /// How many of them have an order.
    ranked: usize,
    uses: u64,
}

#[derive(Debug)]
struct Regular {
    ranking: Option<Ranking>,
    /// How far the index had come when it was placed.
    read: u64,
    used: u64,
}

impl Regulars {
    /// The order of a group's nodes as it was left, to be brought up to date or made; `None` if a
    /// look at every node is cheaper, because more changed than so much since it was placed.
    pub(crate) fn take(
        &mut self,
        key: GroupKey,
        index: &mut NodeIndex,
        changes_max: usize,
    ) -> Option<Option<Ranking>> {
        let group = self.remove(key);
        let changes = group.as_ref().and_then(|g| index.changes_since(g.read));
        if changes.is_some_and(|changes| changes <= changes_max) {
            return group.map(|g| g.ranking);
        }
        self.add(key, None, index);
        None
    }

    /// Keeps the order that was taken.
    pub(crate) fn put(&mut self, key: GroupKey, ranking: Ranking, index: &mut NodeIndex) {
        self.add(key, Some(ranking), index);
    }

    /// What the groups of a class see of nodes has changed.
    pub(crate) fn forget(&mut self, class: ClassId) {
        let groups = self.groups.keys().filter(|key| key.class == class);
        let groups: Vec<GroupKey> = groups.copied().collect();
        groups.into_iter().for_each(|key| _ = self.remove(key));
    }

    fn add(&mut self, key: GroupKey, ranking: Option<Ranking>, index: &mut NodeIndex) {
        self.uses += 1;
        self.ranked += usize::from(ranking.is_some());
        self.by_use.insert(self.uses, key);
        let group = Regular {
            ranking,
            read: index.read_changes(),
            used: self.uses,
        };
        self.groups.insert(key, group);
        // Those placed longest ago make room.
        let nodes = index.entries().len();
        while self.groups.len() > GROUPS_MAX || self.ranked * nodes > NODES_MAX {
            let Some((_, oldest)) = self.by_use.first_key_value() else {
                return;
            };
            self.remove(*oldest);
        }
    }

    fn remove(&mut self, key: GroupKey) -> Option<Regular> {
        let group = self.groups.remove(&key)?;
        self.by_use.remove(&group.used);
        self.ranked -= usize::from(group.ranking.is_some());
        Some(group)
    }
}
