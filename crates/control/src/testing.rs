//! Tables for the tests of this crate. Never used by production code.

use store::{Action, Object, State, Transaction};
use types::Timestamp;

/// Tables that hold these objects, which were all made at once.
pub(crate) fn tables(at: Timestamp, objects: impl IntoIterator<Item = Object>) -> State {
    let mut state = State::default();
    let made = Transaction {
        version: 1,
        at,
        actions: objects.into_iter().map(Action::Create).collect(),
        digest: None,
    };
    state.apply(&made).expect("the objects fit together");
    state
}
