//! Affinities of a class of tasks to what runs on a node, with the services they name.
//!
//! Services are looked up by expression once and then followed, so that asking about a node costs
//! a look at the counts of those services there. Images are no bonds: they depend on the node
//! alone.

use std::collections::BTreeSet;

use store::State;
use types::{Service, ServiceId, Task};

use crate::affinity::Affinity;
use crate::index::{NodeIndex, Place};

/// Affinities to what runs on a node.
#[derive(Debug, Default)]
pub(crate) struct Bonds {
    all: Vec<Bond>,
}

#[derive(Debug)]
struct Bond {
    affinity: Affinity,
    /// Services that it names.
    services: BTreeSet<ServiceId>,
}

impl Bonds {
    /// Takes the affinities to what runs on a node.
    pub(crate) fn of(affinities: Option<&Vec<Affinity>>) -> Self {
        let dynamic = affinities.into_iter().flatten().filter(|a| !a.is_static());
        let bond = |affinity: &Affinity| Bond {
            affinity: affinity.clone(),
            services: BTreeSet::new(),
        };
        Self {
            all: dynamic.map(bond).collect(),
        }
    }

    /// Looks up the services that they name.
    pub(crate) fn learn(&mut self, view: &State) {
        for bond in &mut self.all {
            bond.services = bond.affinity.services(view);
        }
    }

    /// A service changed, appeared or went. Returns whether other services are named now.
    pub(crate) fn follow(&mut self, id: ServiceId, new: Option<&Service>) -> bool {
        let mut moved = false;
        for bond in &mut self.all {
            moved |= match new.filter(|s| bond.affinity.names_service(s)) {
                Some(_) => bond.services.insert(id),
                None => bond.services.remove(&id),
            };
        }
        moved
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Services that they name; where none has tasks, all nodes are alike to them. `None` if single
    /// tasks matter.
    pub(crate) fn services(&self) -> Option<impl Iterator<Item = ServiceId>> {
        let single = self.all.iter().any(|b| b.affinity.asks_for_tasks());
        let services = self.all.iter().flat_map(|b| b.services.iter().copied());
        (!single).then_some(services)
    }

    /// Whether only nodes that have what they name are not out.
    pub(crate) fn bind(&self) -> bool {
        let mut hard = self.all.iter().filter(|b| !b.affinity.is_soft());
        hard.any(|b| b.affinity.wants())
    }

    /// Whether single tasks decide which nodes are out. What one plan places is not seen then.
    pub(crate) fn is_careful(&self) -> bool {
        let mut hard = self.all.iter().filter(|b| !b.affinity.is_soft());
        hard.any(|b| b.affinity.asks_for_tasks())
    }

    /// Whether a task is among what they ask to be there.
    pub(crate) fn need(&self, task: &Task) -> bool {
        let service = |bond: &Bond| task.service_id.is_some_and(|s| bond.services.contains(&s));
        let mut wanted = self.all.iter().filter(|b| b.affinity.wants());
        wanted.any(|b| service(b) || (b.affinity.asks_for_tasks() && b.affinity.names_task(task)))
    }

    /// Whether all hard ones hold at a place.
    pub(crate) fn hold(&self, index: &NodeIndex, view: &State, place: Place) -> bool {
        let mut hard = self.all.iter().filter(|b| !b.affinity.is_soft());
        hard.all(|b| b.holds(index, view, place))
    }

    /// How many soft ones do not hold at a place.
    pub(crate) fn misses(&self, index: &NodeIndex, view: &State, place: Place) -> u32 {
        let soft = self.all.iter().filter(|b| b.affinity.is_soft());
        let missed = soft.filter(|b| !b.holds(index, view, place));
        u32::try_from(missed.count()).unwrap_or(u32::MAX)
    }
}

impl Bond {
    fn holds(&self, index: &NodeIndex, view: &State, place: Place) -> bool {
        let found = if self.affinity.asks_for_tasks() {
            self.affinity.finds_task(view, index.entry(place).id, None)
        } else {
            let mut services = self.services.iter();
            services.any(|id| index.service_tasks(Some(*id), place) > 0)
        };
        self.affinity.holds(found)
    }
}
