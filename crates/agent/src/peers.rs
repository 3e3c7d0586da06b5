//! The managers this node knows, weighted by how well sessions with them went.

use std::collections::BTreeMap;

use types::{Entropy, NodeId};

/// A manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its node; `None` while only an address is known, as when joining.
    pub node: Option<NodeId>,
    /// Its address, `HOST:PORT`.
    pub addr: String,
}

/// What a good session adds and a bad one takes away.
pub(crate) const OBSERVATION: f64 = 10.0;

/// Share of an observation in the new weight.
const SMOOTHING: f64 = 0.5;

/// Weights stay between this and its negative.
const WEIGHT_MAX: f64 = 256.0;

/// What every manager has on top of its weight, so that none is never tried again.
const BIAS: f64 = 0.001;

/// Managers by address.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: BTreeMap<String, (Option<NodeId>, f64)>,
    /// The one that was of no use the last time. It is not the next to be tried: when all are bad,
    /// chance alone would ask a dead one again and again while another one answers.
    failed: Option<String>,
}

impl Peers {
    pub(crate) fn new(peers: impl IntoIterator<Item = Peer>) -> Self {
        let known = peers.into_iter().map(|p| (p.addr, (p.node, OBSERVATION)));
        Self {
            known: known.collect(),
            failed: None,
        }
    }

    /// Takes the list a manager sent: new ones are added, those missing are forgotten.
    pub(crate) fn replace(&mut self, listed: &[(Peer, i64)]) {
        let mut known = BTreeMap::new();
        for (peer, weight) in listed {
            let old = self.known.get(&peer.addr).map(|(_, weight)| *weight);
            #[expect(clippy::cast_precision_loss, reason = "weights are small numbers")]
            let weight = old.unwrap_or(*weight as f64);
            known.insert(peer.addr.clone(), (peer.node, weight));
        }
        if !known.is_empty() {
            self.known = known;
        }
    }

    /// Notes how a session went.
    pub(crate) fn observe(&mut self, addr: &str, observation: f64) {
        self.failed = (observation < 0.0).then(|| addr.to_owned());
        if let Some((_, weight)) = self.known.get_mut(addr) {
            let smoothed = SMOOTHING * observation + (1.0 - SMOOTHING) * *weight;
            *weight = smoothed.clamp(-WEIGHT_MAX, WEIGHT_MAX);
        }
    }

    /// Chooses a manager at random by weight; bad ones are left to a last resort.
    pub(crate) fn choose(&self, entropy: &mut dyn Entropy) -> Option<Peer> {
        let share = |weight: f64| weight.max(0.0) + BIAS;
        let only = self.known.len() < 2;
        let candidates = || {
            let failed = self.failed.as_ref().filter(|_| !only);
            self.known
                .iter()
                .filter(move |(addr, _)| Some(*addr) != failed)
        };
        let total: f64 = candidates().map(|(_, (_, w))| share(*w)).sum();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a random fraction needs no more bits"
        )]
        let fraction = entropy.next_u64() as f64 / u64::MAX as f64;
        let mut point = fraction * total;
        let mut last = None;
        for (addr, (node, weight)) in candidates() {
            last = Some((addr, node));
            point -= share(*weight);
            if point <= 0.0 {
                break;
            }
        }
        last.map(|(addr, node)| Peer {
            node: *node,
            addr: addr.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::entropy::SeededEntropy;

    fn peer(addr: &str) -> Peer {
        Peer {
            node: None,
            addr: addr.into(),
        }
    }

    fn count(peers: &Peers, addr: &str) -> usize {
        let mut entropy = SeededEntropy::new(3);
        let chosen = (0..1000).filter_map(|_| peers.choose(&mut entropy));
        chosen.filter(|p| p.addr == addr).count()
    }

    #[test]
    fn managers_are_chosen_by_weight() {
        let mut peers = Peers::new([peer("a"), peer("b")]);
        assert!((400..600).contains(&count(&peers, "a")));
        peers.observe("b", -OBSERVATION);
        peers.observe("a", OBSERVATION);
        assert!(count(&peers, "b") < 5, "a failure halves 10 to 0");
        for _ in 0..10 {
            peers.observe("a", -OBSERVATION);
            peers.observe("b", -OBSERVATION);
        }
        assert_eq!(count(&peers, "a"), 1000, "b failed a moment ago");
        peers.observe("b", OBSERVATION);
        peers.observe("b", OBSERVATION);
        assert!(count(&peers, "b") > 990);
    }

    #[test]
    fn when_all_are_bad_they_take_turns_and_the_only_one_is_tried_again() {
        let mut peers = Peers::new([peer("a"), peer("b"), peer("c")]);
        for addr in ["a", "b", "c"] {
            for _ in 0..5 {
                peers.observe(addr, -OBSERVATION);
            }
        }
        assert_eq!(count(&peers, "c"), 0, "it failed a moment ago");
        assert!(
            (400..600).contains(&count(&peers, "a")),
            "any of the others"
        );
        let mut only = Peers::new([peer("a")]);
        only.observe("a", -OBSERVATION);
        assert_eq!(count(&only, "a"), 1000);
    }

    #[test]
    fn a_list_from_a_manager_is_exact_but_an_empty_one_is_not_believed() {
        let mut peers = Peers::new([peer("a"), peer("b")]);
        peers.replace(&[(peer("b"), 10), (peer("c"), 10)]);
        assert_eq!(count(&peers, "a"), 0);
        assert!(count(&peers, "c") > 400);
        peers.replace(&[]);
        assert!(count(&peers, "c") > 400);
        assert_eq!(Peers::default().choose(&mut SeededEntropy::new(1)), None);
    }
}
