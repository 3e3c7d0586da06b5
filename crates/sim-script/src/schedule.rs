//! What is done to a cluster from outside, as a list: faults and actions of operators, each at a
//! moment. The list follows from the seed before the run begins, so that parts of it can be left
//! out to find what a failure needs, and can be written by hand.

use std::fmt;
use std::str::FromStr;

use types::Entropy;

use crate::params::{MS, Params, SEC};
use crate::rng::Rng;

/// The target of a step that means the leader, whoever it is by then.
pub const LEADER: u64 = u64::MAX;

/// Ways to intrude.
pub const INTRUSIONS: u64 = 5;

macro_rules! acts {
    ($($(#[doc = $text:literal])+ $name:ident = $word:literal,)+) => {
        /// What can be done. `who` is a manager, an agent or a node by its number, wrapped around;
        /// `ms` is how long; `how` chooses between variants, or is what is drawn from.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Act {
            $($(#[doc = $text])+ $name,)+
        }

        impl Act {
            /// Everything that can be done.
            pub const ALL: &[Act] = &[$(Act::$name,)+];

            /// Its word in scenarios.
            pub fn word(self) -> &'static str {
                match self {
                    $(Act::$name => $word,)+
                }
            }
        }
    };
}

acts! {
    /// A manager loses power, for `ms`. With an odd `how` its whole machine does.
    CrashManager = "crash-manager",
    /// A manager dies at its `how`-th effect from now, for `ms`.
    CrashAtEffect = "crash-at-effect",
    /// A manager dies at its next write to the log, for `ms`.
    CrashWriting = "crash-writing",
    /// Every manager restarts within `ms`.
    RestartStorm = "restart-storm",
    /// A manager gets no time for `ms`.
    PauseManager = "pause-manager",
    /// A manager is cut off from the others: 0 both ways, 1 it is not heard, 2 it hears nothing.
    CutManager = "cut-manager",
    /// The managers are split in two; `how` says who is where, bit by bit.
    Split = "split",
    /// The managers are split in two, and one of them sees both sides.
    Bridge = "bridge",
    /// The leader hears agents and no manager.
    IsolateFromQuorum = "isolate-from-quorum",
    /// Agents reach every manager but the leader.
    HideLeader = "hide-leader",
    /// The leader gets no time for `ms` and is cut off from the others; then every agent looks for
    /// a manager again.
    OldLeader = "old-leader",
    /// Messages of a manager are held for `ms` and then arrive all at once.
    Clog = "clog",
    /// Messages between managers overtake each other for `ms`.
    Reorder = "reorder",
    /// Snapshots take `ms` to travel, for a minute.
    SlowSnapshots = "slow-snapshots",
    /// What is on its way to and from a manager is lost, and the senders are told.
    ResetManager = "reset-manager",
    /// Every cut ends.
    Mend = "mend",
    /// Writes of a manager's disk take seconds, for `ms`.
    SlowDisk = "slow-disk",
    /// A manager's disk is full for `ms`.
    FullDisk = "full-disk",
    /// A write of a manager's log fails: its process ends, for `ms`.
    DiskError = "disk-error",
    /// Bits of a manager's log flipped, or a write that was acknowledged ended too soon or went
    /// elsewhere: its restart finds that and does not run on.
    DamageLog = "damage-log",
    /// A manager's state directory is lost; it joins again as a new member.
    LoseState = "lose-state",
    /// The clock of a manager jumps by `ms`; back with an odd `how`.
    JumpClock = "jump-clock",
    /// The clock of a manager stands still for `ms`.
    FreezeClock = "freeze-clock",
    /// Leadership is given away.
    Transfer = "transfer",
    /// An agent's process is killed, for `ms`; with `how` 1 its database is lost.
    KillAgent = "kill-agent",
    /// A machine restarts and is gone for `ms`; with `how` 1 the agent's database is lost.
    RebootNode = "reboot-node",
    /// An agent's process gets no time for `ms`.
    PauseAgent = "pause-agent",
    /// An agent is cut off from every manager, or with `how` above 0 from one.
    CutAgent = "cut-agent",
    /// What an agent is sent over its connection arrives `ms` late.
    HoldAgent = "hold-agent",
    /// Agents lose their connections; `how` says which, bit by bit.
    DropLinks = "drop-links",
    /// The container engine of a node restarts and does not answer for `ms`.
    RestartEngine = "restart-engine",
    /// An agent says again what it said last, and of a task that nobody knows.
    RepeatReports = "repeat-reports",
    /// Somebody shows managers what they should not take; `how` says what.
    Intrude = "intrude",

    /// An operator makes a service.
    Create = "create",
    /// An operator changes the number of replicas of a service.
    Scale = "scale",
    /// Every service is scaled to zero, and back after `ms`.
    ScaleToZero = "scale-to-zero",
    /// An operator changes what a service runs.
    Update = "update",
    /// Two updates of a service, one right after the other.
    UpdateTwice = "update-twice",
    /// An operator rolls a service back.
    RollBack = "roll-back",
    /// An operator rolls a service back, and again.
    RollBackTwice = "roll-back-twice",
    /// An operator removes a service.
    RemoveService = "remove-service",
    /// An operator changes the availability of a node.
    SetAvailability = "set-availability",
    /// Every node is drained, and made active again after `ms`.
    DrainAll = "drain-all",
    /// An operator changes a node's label.
    Relabel = "relabel",
    /// An operator removes a worker from the cluster.
    RemoveNode = "remove-node",
    /// A machine joins as a worker.
    JoinWorker = "join-worker",
    /// A machine joins as a manager.
    JoinManager = "join-manager",
    /// Two machines join as managers at once.
    JoinTwo = "join-two",
    /// A worker is to be a manager.
    Promote = "promote",
    /// A manager is to be a worker.
    Demote = "demote",
    /// A manager is to be a worker and crashes meanwhile, for `ms`.
    DemoteAndCrash = "demote-and-crash",
    /// A manager leaves by itself.
    Leave = "leave",
    /// Join tokens and the heartbeat period change.
    Rotate = "rotate",
    /// Join tokens change, and every node is asked for a new certificate.
    RotateAll = "rotate-everything",
    /// Tasks are to be moved to where they are better placed.
    Rebalance = "rebalance",
    /// A secret and a config are made, for services to use; unused ones are removed.
    MakeFiles = "make-files",
    /// Services take a new secret in place of an old one, which is removed.
    RotateSecret = "rotate-secret",
    /// Services take a new config in place of an old one.
    RotateConfig = "rotate-config",
    /// A service as the text says: `NAME key=value …`.
    Service = "service",
}

/// Something that is done at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When, in simulated microseconds.
    pub at: u64,
    /// What.
    pub act: Act,
    /// To whom.
    pub who: u64,
    /// How long, in milliseconds.
    pub ms: u64,
    /// Which variant.
    pub how: u64,
    /// Details, for what has more of them.
    pub text: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, us) = (self.at / SEC, self.at % SEC);
        write!(f, "{secs}.{us:06} {}", self.act.word())?;
        match self.who {
            0 => {}
            LEADER => write!(f, " who=leader")?,
            who => write!(f, " who={who}")?,
        }
        for (name, value) in [("ms", self.ms), ("how", self.how)] {
            if value != 0 {
                write!(f, " {name}={value}")?;
            }
        }
        match self.text.as_str() {
            "" => Ok(()),
            text => write!(f, " {text}"),
        }
    }
}

fn moment(word: &str) -> Option<u64> {
    let (secs, rest) = word.split_once('.').unwrap_or((word, "0"));
    let us: u64 = format!("{rest:0<6}").get(..6)?.parse().ok()?;
    Some(secs.parse::<u64>().ok()?.checked_mul(SEC)? + us)
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let wrong = |what: &str| format!("{line:?}: {what}");
        let at = words.next().and_then(moment);
        let at = at.ok_or_else(|| wrong("a step begins with a moment in seconds"))?;
        let word = words.next().unwrap_or_default();
        let act = Act::ALL.iter().copied().find(|a| a.word() == word);
        let act = act.ok_or_else(|| wrong("nothing like this can be done"))?;
        let mut step = Step {
            at,
            act,
            who: 0,
            ms: 0,
            how: 0,
            text: String::new(),
        };
        if act == Act::Service {
            step.text = words.collect::<Vec<_>>().join(" ");
            return Ok(step);
        }
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = match value {
                "leader" => Ok(LEADER),
                value => value.parse().map_err(|_| wrong("a number is needed")),
            }?;
            match name {
                "who" => step.who = number,
                "ms" => step.ms = number,
                "how" => step.how = number,
                _ => return Err(wrong("steps have who, ms and how")),
            }
        }
        Ok(step)
    }
}

/// What a fault is drawn from: how often each, and how long it may last, in milliseconds.
const FAULTS: &[(Act, u64, &[u64])] = &[
    (Act::CrashManager, 6, &[1, 1_000, 20_000]),
    (Act::CrashAtEffect, 5, &[1, 1_000, 10_000]),
    (Act::CrashWriting, 5, &[1, 1_000, 10_000]),
    (Act::RestartStorm, 2, &[100, 3_000, 20_000]),
    (Act::PauseManager, 6, &[1_000, 5_000, 30_000]),
    (Act::CutManager, 6, &[0]),
    (Act::Split, 3, &[0]),
    (Act::Bridge, 2, &[0]),
    (Act::IsolateFromQuorum, 4, &[0]),
    (Act::HideLeader, 3, &[0]),
    (Act::OldLeader, 3, &[5_000, 30_000]),
    (Act::Clog, 4, &[500, 3_000, 10_000]),
    (Act::Reorder, 3, &[3_000, 20_000]),
    (Act::SlowSnapshots, 3, &[1_000, 20_000]),
    (Act::ResetManager, 4, &[0]),
    (Act::Mend, 14, &[0]),
    (Act::SlowDisk, 4, &[5_000, 30_000]),
    (Act::FullDisk, 3, &[3_000, 30_000]),
    (Act::DiskError, 3, &[1_000, 10_000]),
    (Act::DamageLog, 2, &[1_000, 10_000]),
    (Act::LoseState, 2, &[1_000, 10_000]),
    (Act::JumpClock, 2, &[1_000, 60_000, 3_600_000]),
    (Act::FreezeClock, 2, &[1_000, 30_000]),
    (Act::Transfer, 6, &[0]),
    (Act::KillAgent, 12, &[1_000, 5_000, 60_000]),
    (Act::RebootNode, 6, &[1_000, 60_000]),
    (Act::PauseAgent, 6, &[1_000, 10_000, 60_000]),
    (Act::CutAgent, 6, &[0]),
    (Act::HoldAgent, 4, &[10_000, 60_000]),
    (Act::DropLinks, 6, &[0]),
    (Act::RestartEngine, 6, &[1, 10_000]),
    (Act::RepeatReports, 4, &[0]),
    (Act::Intrude, 8, &[0]),
];

const OPERATIONS: &[(Act, u64)] = &[
    (Act::Create, 25),
    (Act::Scale, 12),
    (Act::ScaleToZero, 2),
    (Act::Update, 20),
    (Act::UpdateTwice, 3),
    (Act::RollBack, 5),
    (Act::RollBackTwice, 2),
    (Act::RemoveService, 6),
    (Act::SetAvailability, 20),
    (Act::DrainAll, 1),
    (Act::Relabel, 10),
    (Act::Rotate, 2),
    (Act::RotateAll, 2),
    (Act::Rebalance, 3),
    (Act::MakeFiles, 4),
    (Act::RotateSecret, 4),
    (Act::RotateConfig, 3),
];

const CHURN: &[(Act, u64)] = &[
    (Act::RemoveNode, 4),
    (Act::JoinWorker, 4),
    (Act::JoinManager, 4),
    (Act::JoinTwo, 2),
    (Act::Promote, 4),
    (Act::Demote, 5),
    (Act::DemoteAndCrash, 2),
    (Act::Leave, 2),
];

/// The list of a seed.
pub fn from_seed(rng: &mut Rng, params: &Params) -> Vec<Step> {
    let mut steps = faults(rng, params);
    steps.extend(operations(rng, params));
    steps.sort_by_key(|s| s.at);
    steps
}

fn faults(rng: &mut Rng, params: &Params) -> Vec<Step> {
    // Each seed leaves out some kinds, so that the others come in numbers.
    let spared = rng.one_of(&[0, 2_000, 5_000, 8_000]);
    let kinds: Vec<_> = FAULTS
        .iter()
        .filter(|f| f.0 == Act::Mend || !rng.chance(spared))
        .collect();
    let weights: Vec<_> = kinds.iter().map(|f| f.1).collect();
    let mut at = 5 * SEC;
    let mut steps = Vec::new();
    while at < params.chaos {
        let (act, _, lengths) = kinds[weighted(rng, &weights)];
        let longest = rng.one_of(lengths);
        let who = if rng.chance(5_000) && act.is_for_manager() {
            LEADER
        } else {
            rng.under(64)
        };
        steps.push(Step {
            at,
            act: *act,
            who,
            ms: rng.between(0, longest),
            how: how(*act, rng),
            text: String::new(),
        });
        at += rng.between(0, params.fault_max);
    }
    steps
}

fn how(act: Act, rng: &mut Rng) -> u64 {
    match act {
        Act::CrashAtEffect => rng.between(1, 60),
        Act::CutManager => rng.under(3),
        Act::CutAgent => rng.one_of(&[0, 0, 1, 2, 3]),
        Act::KillAgent | Act::RebootNode => u64::from(rng.chance(1_500)),
        Act::Split | Act::Bridge | Act::DropLinks => rng.under(1 << 16),
        Act::Intrude => rng.under(INTRUSIONS),
        _ => rng.under(4),
    }
}

fn operations(rng: &mut Rng, params: &Params) -> Vec<Step> {
    let usual: Vec<_> = OPERATIONS.iter().map(|o| o.1).collect();
    let churn: Vec<_> = CHURN.iter().map(|o| o.1).collect();
    let mut at = 2 * SEC;
    let mut steps = Vec::new();
    while at < params.chaos {
        let act = match rng.chance(params.churn) {
            true => CHURN[weighted(rng, &churn)].0,
            false => OPERATIONS[weighted(rng, &usual)].0,
        };
        let ms = rng.between(0, rng.clone().one_of(&[200, 5_000, 30_000]));
        let (who, how) = (rng.under(64), rng.next_u64() >> 20);
        steps.push(Step {
            at,
            act,
            who,
            ms,
            how,
            text: String::new(),
        });
        at += rng.between(0, params.operator_max).max(50 * MS);
    }
    steps
}

fn weighted(rng: &mut Rng, weights: &[u64]) -> usize {
    let mut left = rng.under(weights.iter().sum());
    for (at, weight) in weights.iter().enumerate() {
        match left.checked_sub(*weight) {
            None => return at,
            Some(rest) => left = rest,
        }
    }
    0
}

impl Act {
    /// Whether `who` is a manager, which may be the leader.
    fn is_for_manager(self) -> bool {
        self <= Act::Transfer
    }

    /// Whether it is a fault rather than an action of an operator.
    pub fn is_fault(self) -> bool {
        self < Act::Create
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_being_written_and_read() {
        let mut rng = Rng::new(3);
        let params = Params::from_rng(&mut rng);
        for step in from_seed(&mut rng, &params) {
            assert_eq!(step.to_string().parse(), Ok(step));
        }
        let line = "12.5 service web replicas=3 image=stable";
        let step: Step = line.parse().unwrap();
        assert_eq!(step.at, 12_500_000);
        assert_eq!(
            step.to_string(),
            "12.500000 service web replicas=3 image=stable"
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        for line in [
            "",
            "x mend",
            "1.0 explode",
            "1.0 mend who=me",
            "1.0 mend for=3",
        ] {
            let refused = line.parse::<Step>().unwrap_err();
            assert!(refused.starts_with(&format!("{line:?}")), "{refused}");
        }
    }

    #[test]
    fn every_act_has_a_word_of_its_own() {
        let mut words: Vec<_> = Act::ALL.iter().map(|a| a.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Act::ALL.len());
    }
}
