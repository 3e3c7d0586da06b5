//! The leader's pipeline: one loop that runs the stages over the speculative head.
//!
//! Stages never call each other. Each sees what the one before proposed in the same pass,
//! because the head's feed is handed to every stage before it plans. What is proposed becomes
//! visible outside (to agents and API clients) only when it is committed.

use store::{Change, Plan, Resume, State};
use tokio::sync::mpsc;
use tokio::time::Instant;
use types::{Entropy, Timestamp};

use crate::clock::{Steady, sleep_until};
use crate::entropy::SystemEntropy;
use crate::ledger::{Head, Ledger, Proposal, Reign};

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

/// Runs the stages until the reign is over. A pass may take long: give it a thread of its own.
///
/// `proposals` takes what was proposed, so that a refused one is noticed.
pub async fn run(
    ledger: &Ledger,
    reign: Reign,
    make: &MakeStages,
    proposals: &mpsc::Sender<Proposal>,
) {
    let Some(head) = ledger.head(reign, 0) else {
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
    while pass.run().await {
        pass.rest().await;
        if !pass.refresh() {
            return;
        }
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

    /// Waits until something changed that was not seen yet, or a stage wants to look again.
    async fn rest(&mut self) {
        let due = self.wake_at.map(|at| self.clock.instant(at));
        if due.is_some_and(|due| due <= Instant::now()) {
            return;
        }
        tokio::select! {
            // First, so that nothing asks for the time when the runtime is going away.
            biased;
            () = self.ledger.head_moved(self.reign, self.seen) => {}
            () = sleep_until(due) => {}
        }
    }

    /// Takes in what changed. Returns false when the reign is over.
    fn refresh(&mut self) -> bool {
        let Some(Head { state, news, .. }) = self.ledger.head(self.reign, self.seen) else {
            return false;
        };
        match news {
            Resume::Commits(commits) => {
                for change in commits.iter().flat_map(|c| &c.changes) {
                    self.stages
                        .iter_mut()
                        .for_each(|stage| stage.observe(change));
                }
            }
            Resume::Compacted => self.stages = (self.make)(&state, self.now()),
        }
        self.seen = state.version();
        self.head = state;
        true
    }

    /// Runs every stage once. Returns false when the reign is over.
    async fn run(&mut self) -> bool {
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
                let _gone = self.proposals.send(proposal).await;
            }
            self.ledger.is_roomy(self.reign).await;
            if !self.refresh() {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use types::{Annotations, Extension, ExtensionId, Meta};

    use super::*;
    use crate::ledger::Log;

    const REIGN: Reign = Reign { term: 1, epoch: 0 };
    /// When the stage below wants to look again after its first look.
    const LATER: Duration = Duration::from_secs(60);

    /// A log that keeps everything in flight.
    struct Silent;

    impl Log for Silent {
        fn propose(&self, _: Reign, _: Bytes) -> Proposal {
            Box::pin(std::future::pending())
        }
    }

    /// Counts its looks, and wants one more after a while.
    struct Counting(Arc<AtomicUsize>);

    impl Stage for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn observe(&mut self, _: &Change) {}

        fn plan(&mut self, _: &State, now: Timestamp, _: &mut dyn Entropy) -> Plan {
            let is_first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
            Plan {
                wake_at: is_first.then(|| now.plus(LATER)),
                ..Plan::default()
            }
        }
    }

    fn extension() -> Extension {
        Extension {
            id: ExtensionId::random(&mut SystemEntropy),
            meta: Meta::default(),
            annotations: Annotations::default(),
            description: String::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stages_look_when_something_changed_or_their_moment_has_come_and_never_else() {
        let ledger = Ledger::new(State::default(), Box::new(Silent), |_| Bytes::new());
        ledger.lead(REIGN);
        let looks = Arc::new(AtomicUsize::new(0));
        let (proposals, _outcomes) = mpsc::channel(1);
        let (of_run, counter) = (ledger.clone(), looks.clone());
        let running = tokio::spawn(async move {
            let make = move |_: &State, _: Timestamp| {
                let stage: Box<dyn Stage> = Box::new(Counting(counter.clone()));
                vec![stage]
            };
            run(&of_run, REIGN, &make, &proposals).await;
        });
        let after = async |span: Duration| {
            tokio::time::advance(span).await;
            tokio::task::yield_now().await;
            looks.load(Ordering::Relaxed)
        };
        assert_eq!(after(Duration::ZERO).await, 1);
        assert_eq!(after(LATER / 2).await, 1);
        assert_eq!(after(LATER).await, 2);
        assert_eq!(after(LATER * 60).await, 2);
        let written = ledger.propose_plan(REIGN, {
            let mut plan = Plan::default();
            let create = store::Action::Create(extension().into());
            plan.push(store::Step::unguarded(create));
            plan
        });
        assert!(written.is_some());
        assert_eq!(after(Duration::ZERO).await, 3);
        ledger.follow();
        running.await.unwrap();
    }
}
