//! The checker against one that knows nothing clever: it tries every order of every choice of what
//! happened.

use linearizability::models::{Objects, ObjectsInput, ObjectsOutput, Seen, Touch};
use linearizability::models::{Register, RegisterInput, RegisterOutput};
use linearizability::{CONFIGURATIONS_MAX, Failure, Model, Operation, Outcome, check};
use proptest::prelude::*;

/// Whether some choice of the unknown operations has some order that the model allows and that
/// keeps whatever was answered before it was called before it. Written without a look at the crate.
fn explicable<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> bool {
    let unknown: Vec<usize> = (0..history.len())
        .filter(|at| history[*at].output().is_none())
        .collect();
    (0..1_u32 << unknown.len()).any(|choice| {
        let happened = |at: &usize| match unknown.iter().position(|u| u == at) {
            Some(bit) => choice & (1 << bit) != 0,
            None => true,
        };
        let mut chosen: Vec<usize> = (0..history.len()).filter(happened).collect();
        let count = chosen.len();
        some_order(&mut chosen, count, &mut |order| {
            allowed(model, history, order)
        })
    })
}

/// Heap's algorithm.
fn some_order(items: &mut [usize], count: usize, good: &mut impl FnMut(&[usize]) -> bool) -> bool {
    if count <= 1 {
        return good(items);
    }
    for at in 0..count {
        if some_order(items, count - 1, good) {
            return true;
        }
        let other = if count.is_multiple_of(2) { at } else { 0 };
        items.swap(other, count - 1);
    }
    false
}

fn allowed<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    order: &[usize],
) -> bool {
    let in_time = order.iter().enumerate().all(|(place, later)| {
        order[..place].iter().all(|earlier| {
            let answered = history[*later].returned();
            answered.is_none_or(|at| at >= history[*earlier].invoked)
        })
    });
    let step = |state: M::State, at: &usize| {
        model.step(&state, &history[*at].input, history[*at].output())
    };
    in_time && order.iter().try_fold(model.initial(), step).is_some()
}

fn agrees<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> Result<bool, String> {
    let ours = match check(model, history, CONFIGURATIONS_MAX) {
        Ok(_) => true,
        Err(Failure::Violation(_)) => false,
        Err(other) => return Err(other.to_string()),
    };
    let truth = explicable(model, history);
    if ours == truth {
        Ok(truth)
    } else {
        Err(format!(
            "the checker says {ours}, trying everything says {truth}"
        ))
    }
}

fn moments() -> impl Strategy<Value = (u64, u64)> {
    (0..12_u64, 0..6_u64).prop_map(|(from, length)| (from, from + length))
}

fn operation<I: std::fmt::Debug, O: std::fmt::Debug>(
    what: impl Strategy<Value = (I, Option<O>)>,
) -> impl Strategy<Value = Operation<I, O>> {
    (what, moments(), 0..4_u64).prop_map(|((input, output), (from, to), client)| Operation {
        client,
        invoked: from,
        input,
        outcome: output.map_or(Outcome::Unknown, |output| Outcome::Returned {
            at: to,
            output,
        }),
    })
}

fn of_register() -> impl Strategy<Value = (RegisterInput, Option<RegisterOutput>)> {
    let key = || "x".to_owned();
    let value = 0..3_u64;
    prop_oneof![
        proptest::option::of(value.clone()).prop_map(move |value| (
            RegisterInput::Read { key: key() },
            Some(RegisterOutput::Value(value))
        )),
        (value.clone(), any::<bool>()).prop_map(move |(value, known)| (
            RegisterInput::Write { key: key(), value },
            known.then_some(RegisterOutput::Done)
        )),
        (value.clone(), value, 0..3_usize).prop_map(move |(expected, value, known)| (
            RegisterInput::CompareAndSet {
                key: key(),
                expected,
                value
            },
            [
                None,
                Some(RegisterOutput::Done),
                Some(RegisterOutput::Mismatch)
            ][known]
        )),
    ]
}

fn of_objects() -> impl Strategy<Value = (ObjectsInput, Option<ObjectsOutput>)> {
    let name = || "n".to_owned();
    let id = || prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
    let value = || prop_oneof![Just("u".to_owned()), Just("v".to_owned())];
    let version = || 1..5_u64;
    let stored = (id(), version()).prop_map(|(id, version)| ObjectsOutput::Stored { id, version });
    let seen =
        (id(), version(), value()).prop_map(|(id, version, value)| Seen { id, version, value });
    prop_oneof![
        (
            value(),
            proptest::option::of(prop_oneof![2 => stored, 1 => Just(ObjectsOutput::Taken)])
        )
            .prop_map(move |(value, out)| (
                ObjectsInput::Create {
                    name: name(),
                    value
                },
                out
            )),
        (id(), version(), value(), version(), 0..5_usize).prop_map(
            move |(id, expected, value, version, out)| {
                let stored = ObjectsOutput::Stored {
                    id: id.clone(),
                    version,
                };
                let (stale, missing) = (ObjectsOutput::Stale, ObjectsOutput::Missing);
                let outs = [
                    None,
                    Some(stored.clone()),
                    Some(stored),
                    Some(stale),
                    Some(missing),
                ];
                let input = ObjectsInput::Update {
                    name: name(),
                    id,
                    expected,
                    value,
                };
                (input, outs[out].clone())
            }
        ),
        (id(), 0..3_usize).prop_map(move |(id, out)| (
            ObjectsInput::Remove { name: name(), id },
            [
                None,
                Some(ObjectsOutput::Removed),
                Some(ObjectsOutput::Missing)
            ][out]
                .clone()
        )),
        proptest::option::of(seen).prop_map(move |seen| (
            ObjectsInput::Read { name: name() },
            Some(ObjectsOutput::Found(seen))
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn registers_are_judged_as_by_trying_everything(
        history in proptest::collection::vec(operation(of_register()), 0..7),
    ) {
        agrees(&Register, &history).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn objects_are_judged_as_by_trying_everything(
        history in proptest::collection::vec(operation(of_objects()), 0..6),
        cluster_too in any::<bool>(),
    ) {
        let touch = if cluster_too { Touch::ClusterToo } else { Touch::OnlyClients };
        agrees(&Objects { touch }, &history).map_err(TestCaseError::fail)?;
    }

    /// Answers taken from a real order, so that most histories are good, and then perhaps one
    /// answer is made another.
    #[test]
    fn histories_of_a_real_register_are_good_and_bent_ones_are_judged_as_by_trying_everything(
        asked in proptest::collection::vec((of_register(), moments(), any::<bool>()), 1..7),
        bend in proptest::option::of((0..7_usize, 0..3_u64)),
    ) {
        let mut history = played(asked);
        prop_assert!(agrees(&Register, &history).map_err(TestCaseError::fail)?);
        if let Some((at, value)) = bend {
            let at = at % history.len();
            if let Outcome::Returned { output, .. } = &mut history[at].outcome
                && let RegisterOutput::Value(found) = output
            {
                *found = Some(value);
            }
        }
        agrees(&Register, &history).map_err(TestCaseError::fail)?;
    }
}

/// What is asked of a register, and an answer.
type Asked = (RegisterInput, Option<RegisterOutput>);

/// Plays operations on a register, each at a moment within its time, and keeps what it answers.
fn played(asked: Vec<(Asked, (u64, u64), bool)>) -> Vec<Operation<RegisterInput, RegisterOutput>> {
    let mut at_moment: Vec<_> = asked
        .into_iter()
        .enumerate()
        .map(|(n, ((input, _), (from, to), late))| {
            (if late { to } else { from }, n, input, from, to)
        })
        .collect();
    at_moment.sort_by_key(|(moment, n, ..)| (*moment, *n));
    let mut state = None;
    let play = |(_, n, input, from, to): (u64, usize, RegisterInput, u64, u64)| {
        let answers = [
            RegisterOutput::Value(state),
            RegisterOutput::Done,
            RegisterOutput::Mismatch,
        ];
        let able = |out: &&RegisterOutput| Register.step(&state, &input, Some(*out)).is_some();
        let output = *answers.iter().find(able).unwrap_or(&RegisterOutput::Done);
        state = Register
            .step(&state, &input, Some(&output))
            .unwrap_or(state);
        Operation {
            client: n as u64,
            invoked: from,
            input,
            outcome: Outcome::Returned { at: to, output },
        }
    };
    at_moment.into_iter().map(play).collect()
}
