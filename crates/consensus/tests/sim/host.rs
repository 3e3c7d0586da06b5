//! One host: its disk, and the process that runs a member on it while it is up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use consensus::{Config, Consensus, Persist, ProposalId, RaftId, ReadId, SnapshotMeta, Status};

use crate::disk::Disk;
use crate::oracle::Machine;
use crate::params::{Bug, Params};
use crate::rng::mix;

pub struct Host {
    pub id: RaftId,
    pub node_id: String,
    pub disk: Disk,
    pub process: Option<Process>,
    /// Counts starts, so that events of an earlier process are not delivered to a later one.
    pub start: u64,
    /// Until then the process gets no time, as if it were stopped.
    pub paused_until: u64,
    /// Cut off for good: it stays as it is when everything else heals.
    pub broken: bool,
}

pub struct Process {
    pub consensus: Consensus,
    pub machine: Machine,
    pub status: Option<Status>,
    pub waiting: VecDeque<Persist>,
    pub writing: Option<Persist>,
    pub making_snapshot: bool,
    /// Proposals in flight, by the name their client gave them.
    pub proposals: BTreeSet<ProposalId>,
    /// Reads in flight, and the index that each must see.
    pub reads: BTreeMap<ReadId, u64>,
    pub commit: u64,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Host {
            id, disk, broken, ..
        } = self;
        let (written, last) = (disk.hard_state, disk.last_index());
        write!(f, "\n  {id}: broken {broken}, disk {written:?} to {last}; ")?;
        let Some(process) = self.up() else {
            return write!(f, "down");
        };
        let status = process.consensus.status();
        let ids = |set: &BTreeSet<RaftId>| set.iter().map(|id| id.get()).collect::<Vec<_>>();
        let members = &status.membership;
        let (voters, learners) = (ids(&members.voters), ids(&members.learners));
        let (role, term, leader) = (
            status.role,
            status.term,
            status.leader.map_or(0, RaftId::get),
        );
        let (commit, last) = (
            process.consensus.commit_index(),
            process.consensus.last_index(),
        );
        let applied = process.machine.applied;
        write!(
            f,
            "{role:?} in {term}, leader {leader}, voters {voters:?}, learners {learners:?}, "
        )?;
        write!(
            f,
            "removed {:?} {:?}, ",
            ids(&members.removed),
            status.removal
        )?;
        write!(f, "applied {applied}, commit {commit}, last {last}")
    }
}

// === impl Host ===

impl Host {
    pub fn new(id: RaftId, node_id: String) -> Self {
        Self {
            id,
            node_id,
            disk: Disk::default(),
            process: None,
            start: 0,
            paused_until: 0,
            broken: false,
        }
    }

    pub fn up(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Starts a member from what the disk holds.
    pub fn boot(&mut self, params: &Params, seed: u64, bug: Option<Bug>) {
        self.damage(bug);
        self.start += 1;
        let (restored, mut machine) = self.disk.restore();
        let limits = params.limits;
        let seed = mix(seed ^ mix(self.start));
        let config = Config {
            limits,
            ..Config::new(self.id, seed)
        };
        if bug == Some(Bug::ApplyTwice) {
            replay_early(&mut machine, &restored);
        }
        let consensus = Consensus::new(config, restored).expect("R8: a member starts again");
        self.process = Some(Process {
            consensus,
            machine,
            status: None,
            waiting: VecDeque::new(),
            writing: None,
            making_snapshot: false,
            proposals: BTreeSet::new(),
            reads: BTreeMap::new(),
            commit: 0,
        });
    }

    fn damage(&mut self, bug: Option<Bug>) {
        match bug {
            Some(Bug::ForgetVote) => self.disk.hard_state.vote = None,
            Some(Bug::LoseLastEntry) => {
                let commit = self.disk.hard_state.commit;
                if self.disk.last_index() > commit {
                    self.disk.entries.pop();
                }
            }
            Some(Bug::ReuseRaftId) if self.start % 3 == 2 => self.disk = Disk::default(),
            _ => {}
        }
    }

    /// Whether this process believes that it leads and may build on its state.
    pub fn leads_ready(&self) -> Option<u64> {
        self.up().and_then(|p| p.consensus.status().ready_term)
    }
}

/// Puts the entries after the snapshot into the state that they will be applied to.
fn replay_early(machine: &mut Machine, restored: &consensus::Restored) {
    use consensus::{Committed, EntryKind, Payload};
    let (commit, applied) = (restored.hard_state.commit, machine.applied);
    let early = restored
        .entries
        .iter()
        .filter(|e| e.index > applied && e.index <= commit);
    for entry in early.filter(|e| e.kind == EntryKind::Normal && !e.data.is_empty()) {
        machine.apply(&Committed {
            index: entry.index,
            term: entry.term,
            id: None,
            payload: Payload::Normal(entry.data.clone()),
        });
        machine.applied = applied;
    }
}

/// Content of a snapshot file and what it is called.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    pub meta: SnapshotMeta,
    pub machine: Machine,
}
