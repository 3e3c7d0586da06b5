//! Start order: what a service still waits for before the first tasks of its slots may start.
//!
//! Only the start is ordered. A slot of which a task was once let through is never held again,
//! whatever becomes of the services it depends on; a job is held anew for each run.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use store::State;
use types::options::{Dependency, DependencyCondition};
use types::{Service, ServiceMode, ServiceSpec, SlotKey, Task, TaskState};

/// A service that has not come as far as another one waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Its name.
    pub service: String,
    /// How far it must come.
    pub condition: DependencyCondition,
    /// What is missing.
    pub missing: Missing,
    /// How many other dependencies are unmet too.
    pub others: usize,
}

/// What is missing of a service that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The service itself.
    Service,
    /// It can never get there: a job does not go on running, a service never completes.
    OtherMode,
    /// The first run of its schedule.
    FirstRun,
    /// Some of its tasks.
    Tasks {
        /// How many are there.
        have: u64,
        /// How many there must be; `None` where the nodes decide and have no task yet.
        wanted: Option<u64>,
        /// The first one missing, with its state and what is wrong with it.
        first: Option<String>,
    },
}

/// What a service of this spec waits for; `None` if its tasks may start.
pub fn unmet(view: &State, spec: &ServiceSpec) -> Option<Unmet> {
    let found = spec.options.depends_on.iter();
    let mut unmet = found.filter_map(|dependency| Some((dependency, missing(view, dependency)?)));
    let (dependency, missing) = unmet.next()?;
    Some(Unmet {
        service: dependency.service.clone(),
        condition: dependency.condition,
        missing,
        others: unmet.count(),
    })
}

fn missing(view: &State, dependency: &Dependency) -> Option<Missing> {
    let Some(service) = view.services().by_name(&dependency.service).next() else {
        return Some(Missing::Service);
    };
    let is_job = service.spec.mode.is_job();
    match dependency.condition {
        DependencyCondition::Healthy if is_job => Some(Missing::OtherMode),
        DependencyCondition::Completed if !is_job => Some(Missing::OtherMode),
        DependencyCondition::Healthy => short_of(view, service, TaskState::Running),
        DependencyCondition::Completed => {
            let run = service.job_status.unwrap_or_default().iteration;
            let scheduled = service.spec.options.schedule.is_some();
            if scheduled && run == 0 {
                return Some(Missing::FirstRun);
            }
            short_of(view, service, TaskState::Complete)
        }
    }
}

/// What is missing until every slot of a service has a task in this state.
fn short_of(view: &State, service: &Service, goal: TaskState) -> Option<Missing> {
    let mut reached = BTreeSet::new();
    let mut live = Vec::new();
    for task in view
        .tasks()
        .of_service(service.id)
        .filter(|t| counts(service, t))
    {
        if task.status.state == goal {
            reached.insert(SlotKey::of(task));
        } else if task.desired_state <= TaskState::Complete || has_failed(task) {
            live.push(task);
        }
    }
    live.retain(|t| !reached.contains(&SlotKey::of(t)));
    let have = reached.len() as u64;
    let wanted = match service.spec.mode {
        ServiceMode::Replicated { replicas } => Some(replicas),
        ServiceMode::ReplicatedJob {
            total_completions, ..
        } => Some(total_completions),
        // Every node that fits has a task as soon as the orchestrator has seen it.
        ServiceMode::Global | ServiceMode::GlobalJob => {
            let open: BTreeSet<_> = live.iter().map(|t| SlotKey::of(t)).collect();
            Some(have + open.len() as u64).filter(|n| *n > 0)
        }
    };
    let newest = |t: &&&Arc<Task>| (SlotKey::of(t), Reverse(t.meta.created_at));
    let first = live.iter().min_by_key(newest).map(|t| describe(t));
    (wanted.is_none_or(|wanted| have < wanted)).then_some(Missing::Tasks {
        have,
        wanted,
        first,
    })
}

/// Whether a task says something about how far its service has come: it is meant to stay, and of
/// a job it belongs to the present run.
fn counts(service: &Service, task: &Task) -> bool {
    if service.spec.mode.is_job() {
        task.job_iteration == Some(service.job_status.unwrap_or_default().iteration)
            && task.desired_state < TaskState::Remove
    } else {
        task.desired_state <= TaskState::Running
    }
}

/// Whether the task of a job failed; without another one in its slot the job cannot complete.
fn has_failed(task: &Task) -> bool {
    matches!(task.status.state, TaskState::Failed | TaskState::Rejected)
}

fn describe(task: &Task) -> String {
    let service = &task.service_annotations().name;
    let state = task.status.state;
    let name = format!("{service}.{}", SlotKey::of(task));
    if task.status.err.is_empty() {
        format!("{name} is {state}")
    } else {
        format!("{name} is {state}: {}", task.status.err)
    }
}

/// Whether an earlier task of the slot (of a job: in the same run) was let through.
pub(crate) fn has_started_before(view: &State, task: &Task) -> bool {
    let Some(service) = task.service_id else {
        return true;
    };
    let mut earlier = view.tasks().of_slot(service, task.slot).filter(|t| {
        t.id != task.id
            && SlotKey::of(t) == SlotKey::of(task)
            && t.job_iteration == task.job_iteration
    });
    earlier.any(was_let_through)
}

/// Whether the record shows that the task came past the allocator. One that was stopped before an
/// agent said anything of it may not have.
fn was_let_through(task: &Arc<Task>) -> bool {
    match task.status.state {
        TaskState::New => false,
        TaskState::Shutdown => {
            let is_numbered = !task.service_spec.mode.is_global();
            task.status.applied_at.is_set() || (is_numbered && task.node_id.is_some())
        }
        _ => true,
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, goal) = (&self.service, self.condition);
        match &self.missing {
            Missing::Service => write!(f, "waits for service {service}, which does not exist")?,
            Missing::OtherMode => {
                let (is, instead) = match goal {
                    DependencyCondition::Healthy => ("a job", DependencyCondition::Completed),
                    DependencyCondition::Completed => ("not a job", DependencyCondition::Healthy),
                };
                write!(
                    f,
                    "waits for service {service} to be {goal}, but it is {is}: depend on \
                     {service}:{instead}"
                )?;
            }
            Missing::FirstRun => write!(
                f,
                "waits for service {service} to be {goal}: its schedule has not run it yet"
            )?,
            Missing::Tasks {
                have,
                wanted,
                first,
            } => {
                write!(f, "waits for service {service} to be {goal}: ")?;
                match wanted {
                    Some(wanted) => write!(f, "{have} of {wanted} tasks are")?,
                    None => f.write_str("it has no task yet")?,
                }
                if let Some(first) = first {
                    write!(f, ", {first}")?;
                }
            }
        }
        match self.others {
            0 => Ok(()),
            1 => f.write_str(" (and for 1 other service)"),
            n => write!(f, " (and for {n} other services)"),
        }
    }
}
