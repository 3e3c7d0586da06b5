//! What nodes report, and the batches it is written in.

use store::{Action, Guard, Object, Plan, Step};
use types::task::DISPLACED;
use types::{NodeId, NodeState, Task, TaskId, TaskState, TaskStatus};

use super::{Context, Dispatcher};
use crate::batch::{Contents, InFlight};
use crate::error::CallError;
use crate::input::{Answer, BatchId, CallId, Effect, Outcome};

/// Message of a task whose node is lost for good.
const NODE_LOST: &str = "its node has been down for too long";

impl Dispatcher {
    pub(super) fn update_status(
        &mut self,
        call: CallId,
        (node, session): (NodeId, &str),
        updates: Vec<(TaskId, TaskStatus)>,
        cx: Context<'_>,
    ) {
        let checked = self.session(node, session).map(|_| ());
        let news = checked.and_then(|()| news(node, updates, cx.view));
        match news {
            Err(error) => self.answer(call, Err(error)),
            Ok(news) if news.is_empty() => self.answer(call, Ok(Answer::Recorded)),
            Ok(news) => self.batcher.report(call, news),
        }
    }

    pub(super) fn answer(&mut self, call: CallId, result: Result<Answer, CallError>) {
        self.effects.push(Effect::Answer { call, result });
    }

    /// Proposes what has gathered, if it is time.
    pub(super) fn flush(&mut self, cx: Context<'_>) {
        let Some(contents) = self.batcher.take(cx.now) else {
            return;
        };
        let mut plan = Plan::default();
        let nodes = self.plan_nodes(&contents, cx, &mut plan);
        self.plan_reports(&contents, cx, &mut plan);
        for node in &contents.orphaned {
            self.plan_orphans(*node, cx, &mut plan);
        }
        if plan.steps.is_empty() {
            for call in contents.calls {
                self.answer(call, Ok(Answer::Recorded));
            }
            return;
        }
        let calls = contents.calls;
        let batch = self.batcher.launch(InFlight { calls, nodes });
        self.effects.push(Effect::Propose { batch, plan });
    }

    pub(super) fn plan_nodes(
        &mut self,
        batch: &Contents,
        cx: Context<'_>,
        plan: &mut Plan,
    ) -> Vec<NodeId> {
        let mut planned = Vec::new();
        for id in &batch.nodes {
            let (Some(entry), Some(node)) = (self.nodes.get_mut(id), cx.view.nodes().get(*id))
            else {
                continue;
            };
            let wanted = entry.wanted(node).filter(|w| !w.is_met(node));
            let Some(updated) = wanted.map(|w| w.applied_to(node)) else {
                continue;
            };
            entry.in_flight = Some(self.batcher.next_id());
            planned.push(*id);
            plan.push(Step::unguarded(Action::Update(Object::from(updated))));
        }
        planned
    }

    pub(super) fn plan_reports(&self, batch: &Contents, cx: Context<'_>, plan: &mut Plan) {
        for (id, status) in &batch.reports {
            let Some(task) = cx.view.tasks().get(*id) else {
                continue;
            };
            let mut status = Box::new(status.clone());
            if status.err.is_empty() && task.status.err.starts_with(DISPLACED) {
                // The agent does not know why it was told to stop, and people want to.
                status.err.clone_from(&task.status.err);
            }
            if !is_news(task, &status) {
                continue;
            }
            status.applied_by = Some(self.leadership.node);
            status.applied_at = cx.now;
            plan.push(Step::unguarded(Action::Report { task: *id, status }));
        }
    }

    pub(super) fn plan_orphans(&self, id: NodeId, cx: Context<'_>, plan: &mut Plan) {
        let Some(node) = cx.view.nodes().get(id) else {
            return;
        };
        if node.status.state != NodeState::Down {
            return;
        }
        // A node that comes back meanwhile changes its record, and the guard drops the step.
        for task in cx.view.tasks().on_node(id).filter(|t| t.is_active()) {
            let status = TaskStatus {
                timestamp: cx.now,
                state: TaskState::Orphaned,
                message: NODE_LOST.into(),
                applied_by: Some(self.leadership.node),
                applied_at: cx.now,
                ..task.status.clone()
            };
            let report = Action::Report {
                task: task.id,
                status: Box::new(status),
            };
            plan.push(Step::guarded(Guard::node(node), report));
        }
    }

    pub(super) fn settled(&mut self, batch: BatchId, outcome: Outcome, cx: Context<'_>) {
        let Some(done) = self.batcher.settle(batch) else {
            return;
        };
        let result = match outcome {
            Outcome::Committed => Ok(Answer::Recorded),
            Outcome::Refused => {
                self.batcher.back_off(cx.now);
                Err(CallError::NotWritten)
            }
        };
        for call in done.calls {
            self.answer(call, result.clone());
        }
        for node in done.nodes {
            if let Some(entry) = self.nodes.get_mut(&node) {
                entry.in_flight = entry.in_flight.filter(|b| *b != batch);
            }
            self.reconcile(node, cx);
        }
    }
}

/// The updates that say something new.
fn news(
    node: NodeId,
    updates: Vec<(TaskId, TaskStatus)>,
    view: &store::State,
) -> Result<Vec<(TaskId, TaskStatus)>, CallError> {
    let mut news = Vec::new();
    for (id, status) in updates {
        // The agent may still hold a task that is deleted here.
        let Some(task) = view.tasks().get(id) else {
            continue;
        };
        if task.node_id != Some(node) {
            return Err(CallError::ForeignTask(id));
        }
        if is_news(task, &status) {
            news.push((id, status));
        }
    }
    Ok(news)
}

/// Whether a report moves a task on, or says more about where it is.
fn is_news(task: &Task, status: &TaskStatus) -> bool {
    let known = &task.status;
    if status.state != known.state {
        return known.state.may_become(status.state, types::Actor::Agent);
    }
    known.state.is_active()
        && (known.message != status.message
            || known.err != status.err
            || known.container != status.container
            || known.ports != status.ports)
}
