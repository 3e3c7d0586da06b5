//! The leader's pipeline: one thread that runs the stages over the speculative head.
//!
//! Stages never call each other. Each sees what the one before proposed in the same pass,
//! because the head's feed is handed to every stage before it plans. What is proposed becomes
//! visible outside (to agents and API clients) only when it is committed.

use store::{Change, Plan, Resume, State};
use tokio::sync::mpsc;
use tokio::time::Instant;
use types::{Entropy, Timestamp};

use crate::clock::Steady;
use crate::entropy::SystemEntropy;
use crate::ledger::{Ledger, Proposal, Reign, deadline};

/// A part of the pipeline: it remembers what to look at again and plans from state.
pub trait Stage: Send {
    /// Name, for logs and metrics.
    fn name(&self) -> &'static str;

    /// Marks what a change makes worth looking at.
    fn observe(&mut self, change: &Change);

    /// Plans for everything marked.
    fn plan(&mut self, view: &State, now: Timestamp, entropy: &mut dyn Entropy) -> Plan;
}

/// Makes the stages of a new leader, or of one that fell behind its own feed.
pub type MakeStages = dyn Fn(&State, Timestamp) -> Vec<Box<dyn Stage>> + Send + Sync;

/// Runs the stages until the reign is over. Call it on a thread of its own.
///
/// `proposals` takes what was proposed, so that a refused one is noticed.
pub fn run(ledger: &Ledger, reign: Reign, make: &MakeStages, proposals: &mpsc::Sender<Proposal>) {
    let Some(head) = ledger.head_after(reign, 0, Some(Instant::now())) else {
        return;
    };
    let mut pass = Pass {
        ledger,
        reign,
        make,
        proposals,
        stages: make(&head.state, head.clock.now()),
        seen: head.state.version(),
        clock: head.clock,
        head: head.state,
        wake_at: None,
        entropy: SystemEntropy,
    };
    let mut due = Some(Instant::now());
    while pass.refresh(due) {
        if !pass.run() {
            return;
        }
        due = pass.wake_at.map(|at| deadline(pass.now(), at));
    }
}

struct Pass<'a> {
    ledger: &'a Ledger,
    reign: Reign,
    make: &'a MakeStages,
    proposals: &'a mpsc::Sender<Proposal>,
    stages: Vec<Box<dyn Stage>>,
    head: State,
    seen: u64,
    clock: Steady,
    wake_at: Option<Timestamp>,
    entropy: SystemEntropy,
}

impl Pass<'_> {
    /// The present moment of the reign.
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes in what changed, waiting for it until `due`. Returns false when the reign is over.
    fn refresh(&mut self, due: Option<Instant>) -> bool {
        let Some(head) = self.ledger.head_after(self.reign, self.seen, due) else {
            return false;
        };
        match head.news {
            Resume::Commits(commits) => {
                for change in commits.iter().flat_map(|c| &c.changes) {
                    self.stages
                        .iter_mut()
                        .for_each(|stage| stage.observe(change));
                }
            }
            Resume::Compacted => self.stages = (self.make)(&head.state, self.now()),
        }
        self.seen = head.state.version();
        self.head = head.state;
        true
    }

    /// Runs every stage once. Returns false when the reign is over.
    fn run(&mut self) -> bool {
        self.wake_at = None;
        let began = self.seen;
        for at in 0..self.stages.len() {
            let now = self.now();
            let plan = self.stages[at].plan(&self.head, now, &mut self.entropy);
            let planned = plan.steps.len();
            if let Some(wake) = plan.wake_at {
                self.wake_at = Some(self.wake_at.map_or(wake, |w| w.min(wake)));
            }
            if planned == 0 {
                continue;
            }
            let Some((proposals, dropped)) = self.ledger.propose_plan(self.reign, plan) else {
                return false;
            };
            tracing::debug!(stage = self.stages[at].name(), planned, dropped, "planned");
            for proposal in proposals {
                // The receiver ends with the leadership, and so does this loop.
                let _gone = self.proposals.blocking_send(proposal);
            }
            self.ledger.wait_until_roomy(self.reign);
            if !self.refresh(Some(Instant::now())) {
                return false;
            }
        }
        if self.seen != began {
            // Stages that planned before a change have seen it by now, but not acted on it,
            // whoever made it: a plan of which every step was dropped tells of one as well.
            self.wake_at = Some(self.now());
        }
        true
    }
}
