//! The stages of the pipeline, in the order in which they run.

use allocator::Allocator;
use orchestrator::{Enforcer, Orchestrator, Reaper, Rebalancer};
use scheduler::Scheduler;
use store::{Change, Plan, State};
use types::{Entropy, Timestamp};

use crate::pipeline::Stage;

macro_rules! stage {
    ($type:ty, $name:literal $(, $entropy:ident)?) => {
        impl Stage for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn observe(&mut self, change: &Change) {
                <$type>::observe(self, change);
            }

            fn plan(&mut self, view: &State, now: Timestamp, _entropy: &mut dyn Entropy) -> Plan {
                $(let $entropy = _entropy;)?
                <$type>::plan(self, view, now $(, $entropy)?)
            }
        }
    };
}

stage!(Enforcer, "constraint enforcer");
stage!(Orchestrator, "orchestrator", entropy);
stage!(Rebalancer, "rebalancer", entropy);
stage!(Allocator, "allocator", entropy);
stage!(Scheduler, "scheduler", entropy);
stage!(Reaper, "task reaper");

/// All stages of a new leader. Tasks that one makes are seen by the next in the same pass.
pub fn make(view: &State, now: Timestamp) -> Vec<Box<dyn Stage>> {
    vec![
        Box::new(Enforcer::new(view, now)),
        Box::new(Orchestrator::new(view, now)),
        Box::new(Rebalancer::new(view, now)),
        Box::new(Allocator::new(view, now)),
        Box::new(Scheduler::new(view, now)),
        Box::new(Reaper::new(view, now)),
    ]
}
