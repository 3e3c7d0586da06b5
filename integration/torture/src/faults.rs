//! The faults of a run, all chosen from its seed before it begins.

use std::fmt;

use crate::dice::Dice;

/// Clocks are turned by at most so much: a node that starts again when others contradict its clock
/// by half an hour says so and ends.
const TURN_SECS_MAX: u64 = 14 * 60;

/// Whom a fault hits; nodes are counted from 0, managers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever leads then.
    Leader,
    /// This one.
    Node(usize),
}

/// What is done to a cluster for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies; its tasks go on.
    Kill(Who),
    /// The process dies, comes back and dies, three times.
    RestartStorm(Who),
    /// The process is asked to stop; its tasks go on.
    Stop(Who),
    /// The process and its tasks die.
    CutPower(Who),
    /// Every process dies.
    KillAll,
    /// The process stands still.
    Pause(Who),
    /// The disk of the state directory is full.
    FillDisk(usize),
    /// The clock is set ahead or back, by so many seconds.
    TurnClock(Who, i64),
    /// The process stands still every other moment.
    Slow(Who),
    /// A worker becomes a manager, and a worker again.
    Promote(usize),
    /// The network link is down.
    Isolate(Who),
    /// No packet between the two.
    Cut(usize, usize),
    /// No packet from the first to the second.
    CutOneWay(usize, usize),
    /// This share of the packets to and from everybody is lost, in percent.
    Lose(Who, u64),
    /// Every packet takes this much longer, give or take a half, in milliseconds.
    Delay(Who, u64),
}

/// Faults that are there together, and a rest after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) faults: Vec<Fault>,
    pub(crate) hold_ms: u64,
    pub(crate) rest_ms: u64,
}

/// What a cluster allows to be done to it.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) managers: usize,
    pub(crate) workers: usize,
    /// Whether links can be cut.
    pub(crate) has_links: bool,
    /// Whether clocks can be turned.
    pub(crate) has_clocks: bool,
    /// The node whose disk can be filled.
    pub(crate) small_disk: Option<usize>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("the leader"),
            Self::Node(node) => write!(f, "n{}", node + 1),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |node: &usize| Who::Node(*node);
        match self {
            Self::Kill(who) => write!(f, "kill {who}"),
            Self::RestartStorm(who) => write!(f, "kill {who} again and again"),
            Self::Stop(who) => write!(f, "stop {who}"),
            Self::CutPower(who) => write!(f, "cut the power of {who}"),
            Self::KillAll => f.write_str("kill all"),
            Self::Pause(who) => write!(f, "pause {who}"),
            Self::FillDisk(node) => write!(f, "fill the disk of {}", n(node)),
            Self::TurnClock(who, secs) => write!(f, "turn the clock of {who} by {secs} s"),
            Self::Slow(who) => write!(f, "slow {who} down"),
            Self::Promote(node) => write!(f, "promote {}", n(node)),
            Self::Isolate(who) => write!(f, "isolate {who}"),
            Self::Cut(a, b) => write!(f, "cut {} and {}", n(a), n(b)),
            Self::CutOneWay(a, b) => write!(f, "cut {} towards {}", n(a), n(b)),
            Self::Lose(who, percent) => write!(f, "lose {percent} % of {who}"),
            Self::Delay(who, ms) => write!(f, "delay {who} by {ms} ms"),
        }
    }
}

impl Reach {
    fn nodes(&self) -> usize {
        self.managers + self.workers
    }

    /// The next round. Half of the faults hit the leader or a manager: they decide.
    pub(crate) fn round(&self, dice: &mut Dice) -> Round {
        let mut faults = vec![self.fault(dice)];
        if dice.below(3) == 0 {
            let second = self.fault(dice);
            if second != faults[0] {
                faults.push(second);
            }
        }
        Round {
            faults,
            hold_ms: dice.between(500, 7_000),
            rest_ms: dice.between(200, 4_000),
        }
    }

    fn fault(&self, dice: &mut Dice) -> Fault {
        loop {
            let (who, a) = (self.who(dice), dice.index(self.nodes()));
            let b = (a + 1 + dice.index(self.nodes() - 1)) % self.nodes();
            let found = match dice.below(16) {
                0 | 1 => Some(Fault::Kill(who)),
                2 => Some(Fault::RestartStorm(who)),
                3 => Some(Fault::Stop(who)),
                4 => Some(Fault::CutPower(who)),
                5 if dice.below(2) == 0 => Some(Fault::KillAll),
                5 => Some(Fault::CutPower(Who::Leader)),
                6 | 7 => Some(Fault::Pause(who)),
                8 => self.small_disk.map(Fault::FillDisk),
                9 if self.workers > 0 => {
                    Some(Fault::Promote(self.managers + dice.index(self.workers)))
                }
                10 if self.has_links => Some(Fault::Isolate(who)),
                11 if self.has_links => Some(Fault::Cut(a, b)),
                12 if self.has_links => Some(Fault::CutOneWay(a, b)),
                13 if self.has_links && dice.below(2) == 0 => {
                    Some(Fault::Lose(who, dice.between(2, 40)))
                }
                13 if self.has_links => Some(Fault::Delay(who, dice.between(5, 300))),
                14 if self.has_clocks => Some(Fault::TurnClock(who, turn(dice))),
                15 => Some(Fault::Slow(who)),
                _ => None,
            };
            if let Some(fault) = found {
                return fault;
            }
        }
    }

    fn who(&self, dice: &mut Dice) -> Who {
        match dice.below(4) {
            0 => Who::Leader,
            1 => Who::Node(dice.index(self.managers)),
            _ => Who::Node(dice.index(self.nodes())),
        }
    }
}

/// By how many seconds a clock is turned.
fn turn(dice: &mut Dice) -> i64 {
    let secs = dice.between(2, TURN_SECS_MAX).cast_signed();
    if dice.below(2) == 0 { secs } else { -secs }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn reach(has_links: bool, small_disk: Option<usize>) -> Reach {
        Reach {
            managers: 3,
            workers: 2,
            has_links,
            has_clocks: small_disk.is_some(),
            small_disk,
        }
    }

    #[test]
    fn a_seed_makes_the_same_faults_each_time() {
        let rounds = |seed| {
            let mut dice = Dice::new(seed);
            let round = |_| reach(true, Some(1)).round(&mut dice);
            (0..50).map(round).collect::<Vec<_>>()
        };
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
    }

    #[test]
    fn every_kind_of_fault_comes_up_where_it_can_be_done_and_nowhere_else() {
        let kinds = |reach: &Reach| {
            let mut dice = Dice::new(1);
            let rounds = (0..400).flat_map(|_| reach.round(&mut dice).faults);
            let kind = |fault: Fault| {
                let text = format!("{fault:?}");
                text.split('(').next().unwrap_or_default().to_owned()
            };
            rounds.map(kind).collect::<BTreeSet<_>>()
        };
        let all = kinds(&reach(true, Some(1)));
        assert_eq!(all.len(), 15, "{all:?}");
        let few = kinds(&reach(false, None));
        assert_eq!(few.len(), 8, "{few:?}");
        assert!(!few.contains("Cut") && !few.contains("FillDisk"), "{few:?}");
    }
}
