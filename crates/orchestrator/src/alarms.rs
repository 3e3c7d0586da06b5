//! When to look again at what waits for a moment and not for a change: one alarm for each slot and
//! one for each service as a whole. Knows nothing of why they wait.

use std::collections::{BTreeMap, BTreeSet};

use types::{ServiceId, SlotKey, Timestamp};

/// A slot, of jobs in one of the runs, or a service as a whole.
pub(crate) type Place = (ServiceId, Option<(Option<u64>, SlotKey)>);

/// The alarms that are set.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    by_place: BTreeMap<Place, Timestamp>,
    /// The same, in the order in which they ring.
    by_time: BTreeSet<(Timestamp, Place)>,
}

impl Alarms {
    /// What was decided last counts: an earlier alarm of the place would ring for nothing.
    pub(crate) fn set(&mut self, place: Place, at: Option<Timestamp>) {
        if let Some(earlier) = self.by_place.remove(&place) {
            self.by_time.remove(&(earlier, place));
        }
        if let Some(at) = at {
            self.by_place.insert(place, at);
            self.by_time.insert((at, place));
        }
    }

    /// All of the service is looked at anew, or the service is gone.
    pub(crate) fn forget(&mut self, service: ServiceId) {
        let from = self.by_place.range((service, None)..);
        let places = from.map(|(place, _)| *place);
        let own: Vec<Place> = places.take_while(|(id, _)| *id == service).collect();
        own.into_iter().for_each(|place| self.set(place, None));
    }

    /// When the first of them rings.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(crate) fn ring(&mut self, now: Timestamp) -> Option<Place> {
        let (at, place) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(place, None);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(service: u128, slot: Option<u64>) -> Place {
        let id = ServiceId::from_u128(service).unwrap();
        (id, slot.map(|n| (None, SlotKey::Number(n))))
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_later_decision_replaces_an_earlier_one() {
        let (mut alarms, slot) = (Alarms::default(), place(1, Some(1)));
        alarms.set(slot, Some(at(5)));
        alarms.set(slot, Some(at(9)));
        assert_eq!(alarms.ring(at(8)), None);
        assert_eq!(alarms.ring(at(9)), Some(slot));
        alarms.set(slot, Some(at(12)));
        alarms.set(slot, None);
        assert_eq!(alarms.first(), None);
    }

    #[test]
    fn forgetting_a_service_leaves_the_alarms_of_others() {
        let mut alarms = Alarms::default();
        let others = [place(1, Some(7)), place(3, None)];
        for place in [place(2, None), place(2, Some(1)), others[0], others[1]] {
            alarms.set(place, Some(at(5)));
        }
        alarms.forget(ServiceId::from_u128(2).unwrap());
        let rung: Vec<Place> = std::iter::from_fn(|| alarms.ring(at(5))).collect();
        assert_eq!(rung, others);
    }
}
