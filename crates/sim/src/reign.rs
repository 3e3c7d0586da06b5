//! What a manager does while it leads, in the way of the manager's shell: the speculative view,
//! the pipeline whose plans are proposed as guarded steps in chunks, and when a reign begins and
//! ends.

use std::time::Duration;

use allocator::Allocator;
use bytes::Bytes;
use consensus::{Input, ProposalId, Role};
use orchestrator::{Enforcer, Orchestrator, Reaper, Rebalancer};
use scheduler::Scheduler;
use sim_script::params::MS;
use store::{Change, Draft, History, Plan, Resume, Speculative, State};
use types::{Entropy, Timestamp};

use crate::bugs::{self, Bug};
use crate::host::{HISTORY_CHANGES_MAX, Outcome, Waiter};
use crate::serving::Serving;
use crate::world::{ManagerEvent, World};

/// Actions in one transaction of a plan. The shell has 5,000; a small number makes plans of
/// several transactions common.
const PLAN_ACTIONS_MAX: usize = 20;

/// Pause after a refused proposal.
const REIGN_PAUSE: u64 = 200 * MS;

/// One reign of one process: term and how often the view was begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReignId {
    pub(crate) term: u64,
    pub(crate) epoch: u64,
}

/// A stage of the pipeline.
pub(crate) enum Stage {
    Enforcer(Enforcer),
    Orchestrator(Box<Orchestrator>),
    Rebalancer(Rebalancer),
    Allocator(Allocator),
    Scheduler(Box<Scheduler>),
    Reaper(Reaper),
}

/// A plan on its way to be proposed.
#[derive(Debug)]
pub(crate) struct Planned {
    stage: usize,
    plan: Plan,
}

/// A manager that leads.
pub(crate) struct Leading {
    pub(crate) reign: ReignId,
    /// How far the newest transaction was ahead of the clock when the reign began.
    ahead: Duration,
    pub(crate) since: u64,
    pub(crate) view: Speculative,
    pub(crate) feed: History,
    pub(crate) serving: Serving,
    stages: Vec<Stage>,
    /// What the pipeline saw last.
    head: State,
    seen: u64,
    /// What it had seen when the present pass began.
    began: u64,
    wake_at: Option<Timestamp>,
    busy: bool,
    /// When the pipeline's next look is due.
    due: Option<u64>,
}

// === impl Stage ===

impl Stage {
    fn all(view: &State, now: Timestamp) -> Vec<Self> {
        vec![
            Self::Enforcer(Enforcer::new(view, now)),
            Self::Orchestrator(Box::new(Orchestrator::new(view, now))),
            Self::Rebalancer(Rebalancer::new(view, now)),
            Self::Allocator(Allocator::new(view, now)),
            Self::Scheduler(Box::new(Scheduler::new(view, now))),
            Self::Reaper(Reaper::new(view, now)),
        ]
    }

    /// What bugs can be planted in.
    fn kind(&self) -> bugs::Stage {
        match self {
            Self::Enforcer(_) => bugs::Stage::Enforcer,
            Self::Orchestrator(_) => bugs::Stage::Orchestrator,
            Self::Rebalancer(_) => bugs::Stage::Rebalancer,
            Self::Allocator(_) => bugs::Stage::Allocator,
            Self::Scheduler(_) => bugs::Stage::Scheduler,
            Self::Reaper(_) => bugs::Stage::Reaper,
        }
    }

    fn observe(&mut self, change: &Change) {
        match self {
            Self::Enforcer(stage) => stage.observe(change),
            Self::Orchestrator(stage) => stage.observe(change),
            Self::Rebalancer(stage) => stage.observe(change),
            Self::Allocator(stage) => stage.observe(change),
            Self::Scheduler(stage) => stage.observe(change),
            Self::Reaper(stage) => stage.observe(change),
        }
    }

    fn plan(&mut self, view: &State, now: Timestamp, entropy: &mut dyn Entropy) -> Plan {
        match self {
            Self::Enforcer(stage) => stage.plan(view, now),
            Self::Orchestrator(stage) => stage.plan(view, now, entropy),
            Self::Rebalancer(stage) => stage.plan(view, now, entropy),
            Self::Allocator(stage) => stage.plan(view, now, entropy),
            Self::Scheduler(stage) => stage.plan(view, now, entropy),
            Self::Reaper(stage) => stage.plan(view, now),
        }
    }
}

// === impl World ===

impl World {
    /// A manager's own clock; while it leads, the time of its reign.
    pub(crate) fn clock(&self, at: usize) -> Timestamp {
        self.hosts[at].clock.at(self.now).plus(self.ahead(at))
    }

    fn ahead(&self, at: usize) -> Duration {
        let process = self.hosts[at].process.as_ref();
        let reign = process.and_then(|p| p.reign.as_ref());
        reign.map_or(Duration::ZERO, |r| r.ahead)
    }

    /// Time until a manager's clock shows a moment.
    pub(crate) fn until_clock(&self, at: usize, moment: Timestamp) -> u64 {
        let clock = &self.hosts[at].clock;
        clock.until(moment.minus(self.ahead(at)), self.now)
    }

    pub(crate) fn leading(&mut self, at: usize) -> Option<&mut Leading> {
        self.process(at)?.reign.as_mut()
    }

    fn leading_in(&mut self, at: usize, epoch: u64) -> Option<&mut Leading> {
        self.leading(at).filter(|l| l.reign.epoch == epoch)
    }

    /// Begins or ends a reign as raft says.
    pub(crate) fn check_leadership(&mut self, at: usize) {
        let bug = self.bug;
        let Some(process) = self.process(at) else {
            return;
        };
        let status = process.consensus.status();
        let leads = status.role == Role::Leader;
        let term = status.term;
        if let Some(leading) = &process.reign
            && (!leads || leading.reign.term != term)
        {
            self.end_reign(at, "deposed");
        }
        let Some(process) = self.process(at) else {
            return;
        };
        let ready = status.ready_term == Some(term) || bug == Some(Bug::ReignTooEarly);
        let spent = process.epoch > 0 && bug == Some(Bug::LeadOnce);
        if leads && ready && !spent && process.reign.is_none() && process.settle.is_none() {
            self.begin_reign(at, term);
        }
    }

    fn begin_reign(&mut self, at: usize, term: u64) {
        let (clock, since) = (self.clock(at), self.now);
        let status = self.process(at).map(|p| p.consensus.status());
        let Some(status) = status else { return };
        let members = self.manager_list(&status.membership);
        let own = self.hosts[at].node;
        let Some(process) = self.process(at) else {
            return;
        };
        process.epoch += 1;
        let reign = ReignId {
            term,
            epoch: process.epoch,
        };
        let state = process.state.clone();
        let ahead = state.time().since(clock);
        let now = clock.plus(ahead);
        let leading = Leading {
            reign,
            ahead,
            since,
            view: Speculative::new(term, state.clone()),
            feed: History::new(state.version(), HISTORY_CHANGES_MAX),
            serving: Serving::new((term, own), members, &state, now),
            stages: Stage::all(&state, now),
            seen: state.version(),
            began: state.version(),
            head: state,
            wake_at: Some(Timestamp::ZERO),
            busy: false,
            due: None,
        };
        process.reign = Some(leading);
        self.mark_reign(at);
        self.note(("m", at), term, || format!("reigns in term {term}"));
        self.plant(at);
        self.wake_pipeline(at, 0);
        self.set_alarm(at);
    }

    fn mark_reign(&mut self, at: usize) {
        self.mark("reign");
        let state = self.oracle.state();
        let updating = invariants::is_updating(state);
        let others = self.hosts.iter().enumerate().filter(|(i, _)| *i != at);
        let two = others.filter(|(_, h)| h.process.as_ref().is_some_and(|p| p.reign.is_some()));
        let two = two.count() > 0;
        let changing = self
            .hosts
            .iter()
            .any(|h| h.changes_members_after(self.members_index));
        let cut = !self.cut.is_empty();
        let ahead = self
            .leading(at)
            .is_some_and(|l| l.ahead > Duration::from_secs(1));
        self.mark_if(updating, "leader change during an update");
        self.mark_if(two, "two managers believe to lead");
        self.mark_if(
            changing,
            "leader change in the middle of a membership change",
        );
        self.mark_if(cut, "leader change during a partition");
        self.mark_if(ahead, "reign whose clock is behind the one before");
    }

    pub(crate) fn end_reign(&mut self, at: usize, why: &str) {
        let Some(process) = self.process(at) else {
            return;
        };
        let Some(leading) = process.reign.take() else {
            return;
        };
        if leading.view.in_flight() > 0 {
            self.mark("reign ended with proposals in flight");
        }
        self.note(("m", at), leading.reign.term, || {
            format!("reigns no more: {why}")
        });
        self.links_end(leading.serving);
    }

    /// Hands a transaction drafted on the head to the log.
    pub(crate) fn accept(&mut self, at: usize, draft: Draft, waiter: Waiter) -> Option<ProposalId> {
        let leading = self.leading(at)?;
        let reign = leading.reign;
        let (tx, commit) = leading.view.accept(draft);
        leading.feed.push(commit);
        let data = wire::log::encode_transaction(&tx);
        let waiter = match waiter {
            Waiter::Api { serial, .. } => Waiter::Api {
                serial,
                hash: crate::oracle::hash_of(&data),
            },
            other => other,
        };
        Some(self.propose(at, reign, data, waiter))
    }

    fn propose(&mut self, at: usize, reign: ReignId, data: Bytes, waiter: Waiter) -> ProposalId {
        let id = ProposalId(self.number());
        let full = self.hosts[at].full_until > self.now && !self.calm;
        self.mark_if(full, "proposal refused by a full disk");
        let Some(process) = self.process(at) else {
            return id;
        };
        process.waiters.insert(id, (reign, waiter));
        let chain = Some(reign.epoch);
        if process.broken_chain == chain || full {
            process.broken_chain = chain;
            self.settle_proposal(at, id, Outcome::Refused);
            return id;
        }
        let term = reign.term;
        process.consensus.handle(Input::Propose { id, term, data });
        if process.consensus.has_refused(id) {
            process.broken_chain = chain;
        }
        self.drain_later(at);
        id
    }

    /// A proposal ended, as its task sees it.
    pub(crate) fn proposal_settled(
        &mut self,
        at: usize,
        reign: ReignId,
        waiter: Waiter,
        outcome: Outcome,
    ) {
        if outcome == Outcome::Refused {
            self.mark("proposal refused");
            self.refused(at, reign);
        }
        match waiter {
            Waiter::Api { serial, hash } => {
                let verdict = match outcome {
                    Outcome::Committed => self.oracle.acknowledged(serial, hash),
                    Outcome::Refused => self.oracle.refused(serial, hash),
                    Outcome::Unknown if self.bug == Some(Bug::UnknownIsFailure) => {
                        self.oracle.refused(serial, hash)
                    }
                    Outcome::Unknown => Ok(()),
                };
                self.judge(verdict);
            }
            Waiter::Pipeline => {}
            Waiter::Batch(batch) => self.batch_settled(at, reign, batch, outcome),
            Waiter::Certificate(link, new) => self.renewed(at, link, new, outcome),
        }
    }

    /// The view of a reign is worthless once a proposal was refused.
    fn refused(&mut self, at: usize, reign: ReignId) {
        let bug = self.bug;
        let Some(process) = self.process(at) else {
            return;
        };
        if process.reign.as_ref().is_none_or(|l| l.reign != reign) {
            return;
        }
        if bug == Some(Bug::KeepRefusedView) {
            process.broken_chain = None;
            return;
        }
        process.settle = Some(process.consensus.last_index());
        self.end_reign(at, "a proposal was refused");
        self.schedule(at, REIGN_PAUSE, ManagerEvent::Resume);
    }

    /// Reigns again once everything that the log did take is applied.
    pub(crate) fn resume(&mut self, at: usize) {
        let Some(process) = self.process(at) else {
            return;
        };
        let Some(target) = process.settle else { return };
        let leads = process.consensus.status().role == Role::Leader;
        if leads && process.applied < target {
            return self.schedule(at, 5 * MS, ManagerEvent::Resume);
        }
        process.settle = None;
        self.check_leadership(at);
    }

    // The pipeline.

    /// Has the pipeline look again, after the time its thread takes to wake.
    pub(crate) fn wake_pipeline(&mut self, at: usize, us: u64) {
        let lag = self.rng.under(MS);
        let now = self.now;
        let Some(leading) = self.leading(at) else {
            return;
        };
        let due = now + us + lag;
        if leading.busy || leading.due.is_some_and(|d| d <= due) {
            return;
        }
        leading.due = Some(due);
        let epoch = leading.reign.epoch;
        self.schedule(at, us + lag, ManagerEvent::Pipeline(epoch));
    }

    /// A look of the pipeline: begins a pass if anything is new or due.
    pub(crate) fn pipeline(&mut self, at: usize, epoch: u64) {
        let (now, clock) = (self.now, self.clock(at));
        let Some(leading) = self.leading_in(at, epoch) else {
            return;
        };
        if leading.busy || leading.due.is_none_or(|due| due > now) {
            return;
        }
        leading.due = None;
        let news = leading.view.head().version() > leading.seen;
        let is_due = leading.wake_at.is_some_and(|wake| wake <= clock);
        if !news && !is_due {
            return self.sleep(at);
        }
        self.passes += 1;
        if let Some(leading) = self.leading(at) {
            leading.busy = true;
            leading.refresh(clock);
            leading.began = leading.seen;
            leading.wake_at = None;
        }
        self.run_stages(at, 0);
    }

    /// Runs stages until one has a plan, which is proposed a little later: the view may move
    /// meanwhile.
    fn run_stages(&mut self, at: usize, from: usize) {
        let (clock, bug, slow) = (self.clock(at), self.bug, self.params.pipeline_max);
        let mut rng = self.rng.clone();
        let Some(leading) = self.leading(at) else {
            return;
        };
        let mut found = None;
        for stage in from..leading.stages.len() {
            let plan = leading.run_stage(stage, (clock, bug), &mut rng);
            if !plan.steps.is_empty() {
                found = Some(Planned { stage, plan });
                break;
            }
        }
        let epoch = leading.reign.epoch;
        self.rng = rng;
        match found {
            Some(planned) => {
                let lag = match self.rng.chance(500) {
                    true => self.rng.between(0, slow * 4),
                    false => self.rng.between(0, slow),
                };
                let event = ManagerEvent::Propose(epoch, Box::new(planned));
                self.schedule(at, lag, event);
            }
            None => self.pass_ends(at),
        }
    }

    pub(crate) fn propose_planned(&mut self, at: usize, epoch: u64, planned: Planned) {
        if self.leading_in(at, epoch).is_none() {
            return;
        }
        let Planned { stage, plan } = planned;
        let steps = plan.steps.len();
        self.note(("m", at), steps as u64, || {
            format!("plans {steps} steps in stage {stage}")
        });
        self.propose_plan(at, plan, |_| Waiter::Pipeline);
        let clock = self.clock(at);
        let Some(leading) = self.leading_in(at, epoch) else {
            return;
        };
        leading.refresh(clock);
        self.run_stages(at, stage + 1);
    }

    fn pass_ends(&mut self, at: usize) {
        let (clock, bug) = (self.clock(at), self.bug);
        if let Some(leading) = self.leading(at) {
            leading.busy = false;
            if leading.seen != leading.began && bug != Some(Bug::SleepThroughNews) {
                leading.wake_at = Some(clock);
            }
            if bug == Some(Bug::PollAtRest) {
                let soon = clock.plus(Duration::from_secs(1));
                leading.wake_at = Some(leading.wake_at.map_or(soon, |wake| wake.min(soon)));
            }
        }
        self.sleep(at);
    }

    /// Waits for news or the moment that a stage asked for.
    fn sleep(&mut self, at: usize) {
        let Some(leading) = self.leading(at) else {
            return;
        };
        let news = leading.view.head().version() > leading.seen;
        let wake = leading.wake_at;
        if news {
            return self.wake_pipeline(at, 0);
        }
        if let Some(wake) = wake {
            let us = self.until_clock(at, wake);
            self.wake_pipeline(at, us);
        }
    }

    /// Proposes a plan as transactions of bounded size, dropping what no longer fits.
    pub(crate) fn propose_plan(
        &mut self,
        at: usize,
        plan: Plan,
        waiter: impl Fn(()) -> Waiter,
    ) -> Vec<ProposalId> {
        let (clock, bug) = (self.clock(at), self.bug);
        let mut proposals = Vec::new();
        let mut steps = plan.steps.into_iter().peekable();
        while steps.peek().is_some() {
            let Some(leading) = self.leading(at) else {
                break;
            };
            let mut draft = Draft::new(leading.view.head(), clock);
            let mut dropped = false;
            while draft.len() < PLAN_ACTIONS_MAX
                && let Some(mut step) = steps.next()
            {
                if bug == Some(Bug::SkipGuards) {
                    step.guards.clear();
                }
                dropped |= draft.add(step).is_err();
            }
            if dropped {
                self.mark("step of a plan dropped");
            }
            if !draft.is_empty() {
                proposals.extend(self.accept(at, draft, waiter(())));
            }
        }
        self.wake_pipeline(at, 0);
        proposals
    }
}

// === impl Leading ===

impl Leading {
    /// What the pipeline has seen, if it has nothing to do about it.
    pub(crate) fn at_rest(&self, clock: Timestamp) -> Option<&State> {
        let seen = self.view.head().version() == self.seen;
        let waits = self.wake_at.is_none_or(|wake| wake > clock);
        (seen && waits && !self.busy).then_some(&self.head)
    }

    /// Takes in what changed on the head.
    fn refresh(&mut self, clock: Timestamp) {
        match self.feed.after(self.seen, usize::MAX) {
            Resume::Commits(commits) => {
                for change in commits.iter().flat_map(|c| &c.changes) {
                    self.stages.iter_mut().for_each(|s| s.observe(change));
                }
            }
            Resume::Compacted => self.stages = Stage::all(self.view.head(), clock),
        }
        self.head = self.view.head().clone();
        self.seen = self.head.version();
    }

    fn run_stage(
        &mut self,
        at: usize,
        (clock, bug): (Timestamp, Option<Bug>),
        rng: &mut dyn Entropy,
    ) -> Plan {
        let stage = &mut self.stages[at];
        if bugs::is_silent(stage.kind(), bug) {
            return Plan::default();
        }
        let mut plan = stage.plan(&self.head, clock, rng);
        if let Some(wake) = plan.wake_at {
            self.wake_at = Some(self.wake_at.map_or(wake, |w| w.min(wake)));
        }
        bugs::spoil(stage.kind(), &mut plan, &self.head, bug, rng);
        plan
    }
}
