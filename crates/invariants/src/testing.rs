//! One service, its tasks and what happens to them, for the tests of this crate. Never used by
//! production code.

use store::{Action, Commit, Draft, State, Step};
use types::task::TaskStatus;
use types::{ServiceId, TaskId, TaskState, Timestamp};

pub(crate) fn service() -> ServiceId {
    ServiceId::from_u128(9).unwrap()
}

pub(crate) fn task(n: u128) -> TaskId {
    TaskId::from_u128(n).unwrap()
}

/// A task shall reach this.
pub(crate) fn want(n: u128, state: TaskState) -> Action {
    Action::Desire {
        task: task(n),
        state,
    }
}

/// A task is said to have reached this.
pub(crate) fn report(n: u128, state: TaskState) -> Action {
    Action::Report {
        task: task(n),
        status: Box::new(TaskStatus {
            state,
            ..TaskStatus::default()
        }),
    }
}

/// One transaction, and the tables that it makes.
pub(crate) fn applied(state: &State, at: Timestamp, actions: Vec<Action>) -> (Commit, State) {
    let mut draft = Draft::new(state, at);
    for action in actions {
        draft.add(Step::unguarded(action)).unwrap();
    }
    let (_, commit, after) = draft.finish();
    (commit, after)
}
