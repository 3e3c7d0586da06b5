//! Whether a task still is what its service asks for.

use types::container::PullOptions;
use types::{Node, Runtime, ServiceSpec, Task, TaskSpec, TaskState};

use crate::fit;

/// How the spec of a task's version differs from the service's present one. Number of replicas,
/// update policies, names and labels of the service never make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Only in what a running task need not be replaced for.
    Soft {
        /// Placement differs: a task may stay where the new one allows its node.
        placement: bool,
        /// Pull credentials differ: they no longer matter once the image is there.
        credentials: bool,
    },
    /// In what the task runs.
    Hard,
}

impl Difference {
    /// No difference at all.
    pub(crate) const NONE: Self = Self::Soft {
        placement: false,
        credentials: false,
    };

    /// Compares two specs of a service.
    pub(crate) fn between(old: &ServiceSpec, new: &ServiceSpec) -> Self {
        let endpoint = |s: &ServiceSpec| s.endpoint.clone().unwrap_or_default();
        if endpoint(old) != endpoint(new) || old.networks != new.networks {
            return Self::Hard;
        }
        let TaskSpec {
            runtime,
            resources,
            restart,
            placement,
            log_driver,
            networks,
            force_update,
            resource_references,
        } = &old.task;
        let new = &new.task;
        let same = *resources == new.resources
            && *restart == new.restart
            && *log_driver == new.log_driver
            && *networks == new.networks
            && *force_update == new.force_update
            && *resource_references == new.resource_references;
        let credentials = *runtime != new.runtime;
        if !same || (credentials && anonymous(runtime) != anonymous(&new.runtime)) {
            return Self::Hard;
        }
        Self::Soft {
            placement: *placement != new.placement,
            credentials,
        }
    }

    /// Whether a task with this difference must be replaced.
    pub(crate) fn outdates(self, task: &Task, node: Option<&Node>, new: &ServiceSpec) -> bool {
        let Self::Soft {
            placement,
            credentials,
        } = self
        else {
            return true;
        };
        let misplaced = placement && !node.is_some_and(|n| fit::constraints_hold(n, &new.task));
        let has_image = (TaskState::Ready..=TaskState::Running).contains(&task.status.state);
        misplaced || (credentials && !has_image)
    }
}

/// The runtime without pull credentials.
fn anonymous(runtime: &Runtime) -> Runtime {
    let mut copy = runtime.clone();
    if let Runtime::Container(container) = &mut copy {
        container.pull_options = None::<PullOptions>;
    }
    copy
}
