//! Histories that can be explained and histories that are known to be broken.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use linearizability::models::{
    Names, NamesInput, NamesOutput, Objects, ObjectsInput, ObjectsOutput, Register, RegisterInput,
    RegisterOutput, Seen, Touch,
};
use linearizability::{CONFIGURATIONS_MAX, Failure, Model, Operation, Outcome, Violation, check};

type History<M> = Vec<Operation<<M as Model>::Input, <M as Model>::Output>>;

/// A call that was answered.
fn done<I, O>(client: u64, from: u64, to: u64, input: I, output: O) -> Operation<I, O> {
    Operation {
        client,
        invoked: from,
        input,
        outcome: Outcome::Returned { at: to, output },
    }
}

/// A call that was not.
fn lost<I, O>(client: u64, from: u64, input: I) -> Operation<I, O> {
    Operation {
        client,
        invoked: from,
        input,
        outcome: Outcome::Unknown,
    }
}

fn passes<M: Model>(model: &M, history: &History<M>) -> bool {
    match check(model, history, CONFIGURATIONS_MAX) {
        Ok(_) => true,
        Err(Failure::Violation(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

fn violation<M: Model>(model: &M, history: &History<M>) -> Violation {
    match check(model, history, CONFIGURATIONS_MAX) {
        Err(Failure::Violation(violation)) => *violation,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

// --- register -----------------------------------------------------------------------------------

type R = Operation<RegisterInput, RegisterOutput>;

fn key() -> String {
    "x".to_owned()
}

fn write(client: u64, from: u64, to: u64, value: u64) -> R {
    let input = RegisterInput::Write { key: key(), value };
    done(client, from, to, input, RegisterOutput::Done)
}

fn lost_write(client: u64, from: u64, value: u64) -> R {
    lost(client, from, RegisterInput::Write { key: key(), value })
}

fn read(client: u64, from: u64, to: u64, value: impl Into<Option<u64>>) -> R {
    let output = RegisterOutput::Value(value.into());
    done(client, from, to, RegisterInput::Read { key: key() }, output)
}

fn cas(client: u64, from: u64, to: u64, (expected, value): (u64, u64), set: bool) -> R {
    let input = RegisterInput::CompareAndSet {
        key: key(),
        expected,
        value,
    };
    let output = if set {
        RegisterOutput::Done
    } else {
        RegisterOutput::Mismatch
    };
    done(client, from, to, input, output)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn histories_of_a_register_are_judged_as_they_are_known_to_be() {
    let table: Vec<(&str, bool, Vec<R>)> = vec![
        ("nothing happened", true, vec![]),
        ("a read of nothing", true, vec![read(1, 0, 1, None)]),
        ("a read of what nobody wrote", false, vec![read(1, 0, 1, 7)]),
        (
            "read what was written",
            true,
            vec![write(1, 0, 1, 7), read(2, 2, 3, 7)],
        ),
        (
            "a lost update",
            false,
            vec![write(1, 0, 1, 7), read(2, 2, 3, None)],
        ),
        (
            "a stale read after a newer one",
            false,
            vec![
                write(1, 0, 1, 1),
                write(1, 2, 9, 2),
                read(2, 3, 4, 2),
                read(3, 5, 6, 1),
            ],
        ),
        (
            "either value while a write is open",
            true,
            vec![
                write(1, 0, 1, 1),
                write(1, 2, 9, 2),
                read(2, 3, 4, 1),
                read(3, 5, 6, 2),
            ],
        ),
        (
            "two readers who see two writes in different orders",
            false,
            vec![
                write(1, 0, 20, 1),
                write(2, 0, 20, 2),
                read(3, 1, 2, 1),
                read(4, 3, 4, 2),
                read(3, 5, 6, 1),
            ],
        ),
        (
            "an unknown write that is seen late",
            true,
            vec![
                lost_write(1, 0, 5),
                read(2, 10, 11, None),
                read(2, 100, 101, 5),
            ],
        ),
        (
            "an unknown write that is seen and then is not",
            false,
            vec![
                lost_write(1, 0, 5),
                read(2, 10, 11, 5),
                read(2, 12, 13, None),
            ],
        ),
        (
            "an unknown write seen before it was called",
            false,
            vec![read(2, 0, 1, 5), lost_write(1, 2, 5)],
        ),
        (
            "an unknown write that takes effect twice",
            false,
            vec![
                lost_write(1, 0, 5),
                read(2, 1, 2, 5),
                write(2, 3, 4, 6),
                read(2, 5, 6, 5),
            ],
        ),
        (
            "two winners of one compare-and-set",
            false,
            vec![
                write(1, 0, 1, 1),
                cas(2, 2, 5, (1, 2), true),
                cas(3, 2, 5, (1, 3), true),
            ],
        ),
        (
            "one winner and one loser",
            true,
            vec![
                write(1, 0, 1, 1),
                cas(2, 2, 5, (1, 2), true),
                cas(3, 2, 5, (1, 3), false),
                read(1, 6, 7, 2),
            ],
        ),
        (
            "a refusal without a reason",
            false,
            vec![write(1, 0, 1, 1), cas(2, 2, 3, (1, 2), false)],
        ),
        (
            "moments that are equal overlap",
            true,
            vec![write(1, 0, 5, 1), read(2, 5, 5, None)],
        ),
    ];
    for (what, good, history) in table {
        assert_eq!(passes(&Register, &history), good, "{what}");
    }
}

#[test]
fn keys_are_judged_apart_and_the_witness_orders_each() {
    let on = |key: &str, operation: R| {
        let key = key.to_owned();
        let input = match operation.input {
            RegisterInput::Write { value, .. } => RegisterInput::Write { key, value },
            _ => RegisterInput::Read { key },
        };
        Operation { input, ..operation }
    };
    let mut history = vec![
        on("a", write(1, 0, 10, 1)),
        on("b", read(2, 1, 2, None)),
        on("a", read(2, 3, 4, 1)),
        on("b", write(1, 11, 12, 9)),
    ];
    let witness = check(&Register, &history, CONFIGURATIONS_MAX).unwrap();
    assert_eq!(witness.orders["a"], [0, 2]);
    assert_eq!(witness.orders["b"], [1, 3]);
    history.push(on("b", read(3, 13, 14, None)));
    assert_eq!(violation(&Register, &history).key, "b");
}

#[test]
fn a_violation_is_told_with_the_answer_that_has_no_place_and_without_needless_reads() {
    let mut history = vec![write(1, 0, 1, 1), write(1, 2, 3, 2)];
    history.extend((0..50).map(|n| read(2, 4 + 2 * n, 5 + 2 * n, 2)));
    history.push(read(3, 200, 201, 1));
    history.extend((0..50).map(|n| read(2, 300 + 2 * n, 301 + 2 * n, 2)));
    let found = violation(&Register, &history);
    assert_eq!(found.operations.len(), 3, "{found}");
    assert_eq!(found.stuck, "client 3 200..201: read x: 1");
    assert_eq!(found.state, "2");
    let text = found.to_string();
    assert!(text.contains("write 2 to x: done"), "{text}");
}

#[test]
fn an_answer_before_its_call_is_no_history() {
    let failure = check(&Register, &[read(1, 5, 4, None)], CONFIGURATIONS_MAX).unwrap_err();
    assert!(matches!(failure, Failure::Malformed(_)), "{failure}");
}

#[test]
fn a_search_that_is_too_large_ends_undecided() {
    let mut history: Vec<R> = (0..12).map(|n| write(n, 0, 100, n)).collect();
    history.push(read(20, 101, 102, 99));
    let failure = check(&Register, &history, 1_000).unwrap_err();
    assert!(matches!(failure, Failure::Undecided { .. }), "{failure}");
}

/// A register that does one thing at a time; its clients overlap, and some calls are lost.
fn long_history(operations: u64, clients: u64) -> Vec<R> {
    let (mut value, mut seed) = (None, 88_172_645_463_325_252_u64);
    let one = |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let (client, from, to) = (n % clients, 10 * n, 10 * (n + clients) - 5);
        match seed % 10 {
            0..5 => read(client, from, to, value),
            9 if seed % 1_000 == 9 => lost_write(client, from, 1_000_000 + n),
            _ => {
                value = Some(n);
                write(client, from, to, n)
            }
        }
    };
    (0..operations).map(one).collect()
}

#[test]
fn ten_thousand_operations_of_few_clients_take_seconds_at_most() {
    let mut history = long_history(10_000, 5);
    let start = Instant::now();
    assert!(passes(&Register, &history));
    let good = start.elapsed();
    history.push(read(9, 200_000, 200_001, 77_777));
    let start = Instant::now();
    assert!(!passes(&Register, &history));
    let bad = start.elapsed();
    eprintln!("10,000 operations: {good:?} to accept, {bad:?} to refuse and explain");
    assert!(good + bad < Duration::from_secs(60), "{good:?} {bad:?}");
}

// --- names --------------------------------------------------------------------------------------

#[test]
fn histories_of_a_set_of_names_are_judged_as_they_are_known_to_be() {
    let take = |n: &str| NamesInput::Take(n.to_owned());
    let all = |names: &[&str]| {
        NamesOutput::All(
            names
                .iter()
                .map(|n| (*n).to_owned())
                .collect::<BTreeSet<_>>(),
        )
    };
    let (list, ok, no) = (NamesInput::List, NamesOutput::Done, NamesOutput::Refused);
    let table: Vec<(&str, bool, History<Names>)> = vec![
        (
            "a name is listed",
            true,
            vec![
                done(1, 0, 1, take("a"), ok.clone()),
                done(2, 2, 3, list.clone(), all(&["a"])),
            ],
        ),
        (
            "a name that was taken is missing",
            false,
            vec![
                done(1, 0, 1, take("a"), ok.clone()),
                done(2, 2, 3, list.clone(), all(&[])),
            ],
        ),
        (
            "a name has two owners",
            false,
            vec![
                done(1, 0, 5, take("a"), ok.clone()),
                done(2, 0, 5, take("a"), ok.clone()),
            ],
        ),
        (
            "the second owner is refused",
            true,
            vec![
                done(1, 0, 5, take("a"), ok.clone()),
                done(2, 0, 5, take("a"), no.clone()),
            ],
        ),
        (
            "two lists that each miss what the other shows",
            false,
            vec![
                done(1, 0, 9, take("a"), ok.clone()),
                done(2, 0, 9, take("b"), ok.clone()),
                done(3, 1, 2, list.clone(), all(&["a"])),
                done(4, 3, 4, list.clone(), all(&["b"])),
            ],
        ),
        (
            "an unknown release explains both",
            true,
            vec![
                done(1, 0, 1, take("a"), ok.clone()),
                lost(2, 2, NamesInput::Release("a".into())),
                done(3, 3, 4, list.clone(), all(&["a"])),
                done(3, 5, 6, list, all(&[])),
            ],
        ),
    ];
    for (what, good, history) in table {
        assert_eq!(passes(&Names, &history), good, "{what}");
    }
}

// --- objects ------------------------------------------------------------------------------------

type O = Operation<ObjectsInput, ObjectsOutput>;

fn create(value: &str) -> ObjectsInput {
    let (name, value) = ("web".to_owned(), value.to_owned());
    ObjectsInput::Create { name, value }
}

fn update(id: &str, expected: u64, value: &str) -> ObjectsInput {
    ObjectsInput::Update {
        name: "web".to_owned(),
        id: id.to_owned(),
        expected,
        value: value.to_owned(),
    }
}

fn remove(id: &str) -> ObjectsInput {
    let (name, id) = ("web".to_owned(), id.to_owned());
    ObjectsInput::Remove { name, id }
}

fn stored(id: &str, version: u64) -> ObjectsOutput {
    let id = id.to_owned();
    ObjectsOutput::Stored { id, version }
}

fn found(client: u64, from: u64, to: u64, seen: Option<(&str, u64, &str)>) -> O {
    let seen = seen.map(|(id, version, value)| Seen {
        id: id.to_owned(),
        version,
        value: value.to_owned(),
    });
    let input = ObjectsInput::Read {
        name: "web".to_owned(),
    };
    done(client, from, to, input, ObjectsOutput::Found(seen))
}

fn made(version: u64) -> O {
    done(1, 0, 1, create("v0"), stored("a", version))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn histories_of_versioned_objects_are_judged_as_they_are_known_to_be() {
    use ObjectsOutput::{Missing, Removed, Stale, Taken};
    // Whether it is possible if only clients raise versions, and if the cluster does too.
    let table: Vec<(&str, (bool, bool), Vec<O>)> = vec![
        (
            "created, updated, removed",
            (true, true),
            vec![
                made(3),
                done(1, 2, 3, update("a", 3, "v1"), stored("a", 4)),
                found(2, 4, 5, Some(("a", 4, "v1"))),
                done(1, 6, 7, remove("a"), Removed),
                found(2, 8, 9, None),
            ],
        ),
        (
            "two updates of one version",
            (false, false),
            vec![
                made(3),
                done(1, 2, 9, update("a", 3, "v1"), stored("a", 4)),
                done(2, 2, 9, update("a", 3, "v2"), stored("a", 5)),
            ],
        ),
        (
            "an acknowledged update is gone",
            (false, false),
            vec![
                made(3),
                done(1, 2, 3, update("a", 3, "v1"), stored("a", 4)),
                found(2, 4, 5, Some(("a", 3, "v0"))),
            ],
        ),
        (
            "a read goes back",
            (false, false),
            vec![
                made(3),
                done(1, 2, 20, update("a", 3, "v1"), stored("a", 4)),
                found(2, 4, 5, Some(("a", 4, "v1"))),
                found(3, 6, 7, Some(("a", 3, "v0"))),
            ],
        ),
        (
            "a name is given twice",
            (false, false),
            vec![
                done(1, 0, 5, create("v0"), stored("a", 3)),
                done(2, 0, 5, create("v1"), stored("b", 4)),
            ],
        ),
        (
            "refused because it is taken",
            (true, true),
            vec![made(3), done(2, 2, 3, create("v1"), Taken)],
        ),
        (
            "refused though it is free",
            (false, false),
            vec![done(2, 2, 3, create("v1"), Taken)],
        ),
        (
            "removed comes back",
            (false, false),
            vec![
                made(3),
                done(1, 2, 3, remove("a"), Removed),
                found(2, 4, 5, Some(("a", 3, "v0"))),
            ],
        ),
        (
            "a version is used again",
            (false, false),
            vec![
                made(3),
                done(1, 2, 3, remove("a"), Removed),
                done(1, 4, 5, create("v1"), stored("b", 3)),
            ],
        ),
        (
            "an unknown create is found with an id that nobody was told",
            (true, true),
            vec![
                lost(1, 0, create("v0")),
                found(2, 5, 6, Some(("a", 3, "v0"))),
                done(2, 7, 8, update("a", 3, "v1"), stored("a", 6)),
            ],
        ),
        (
            "an unknown create is found with two ids",
            (false, false),
            vec![
                lost(1, 0, create("v0")),
                found(2, 5, 6, Some(("a", 3, "v0"))),
                found(2, 7, 8, Some(("b", 3, "v0"))),
            ],
        ),
        (
            "an unknown update leaves a version that is not known",
            (true, true),
            vec![
                made(3),
                lost(1, 2, update("a", 3, "v1")),
                done(2, 4, 5, update("a", 3, "v2"), Stale),
                found(2, 6, 7, Some(("a", 9, "v1"))),
            ],
        ),
        (
            "an unknown update happens after a later one of the same version",
            (false, false),
            vec![
                made(3),
                lost(1, 2, update("a", 3, "v1")),
                done(2, 4, 5, update("a", 3, "v2"), stored("a", 4)),
                found(2, 6, 7, Some(("a", 9, "v1"))),
            ],
        ),
        (
            "an unknown remove of an object that was made again",
            (true, true),
            vec![
                made(3),
                lost(1, 2, remove("a")),
                done(2, 4, 5, create("v1"), stored("b", 7)),
                done(2, 6, 7, remove("a"), Missing),
                found(3, 8, 9, Some(("b", 7, "v1"))),
            ],
        ),
        (
            "missing though it is there",
            (false, false),
            vec![made(3), done(2, 2, 3, remove("a"), Missing)],
        ),
        (
            "a refusal that only the cluster can have caused",
            (false, true),
            vec![made(3), done(2, 2, 3, update("a", 3, "v1"), Stale)],
        ),
        (
            "a version that only the cluster can have made",
            (false, true),
            vec![made(3), found(2, 2, 3, Some(("a", 5, "v0")))],
        ),
    ];
    for (what, (clients, cluster), history) in table {
        let judge = |touch| passes(&Objects { touch }, &history);
        assert_eq!(judge(Touch::OnlyClients), clients, "{what}");
        assert_eq!(judge(Touch::ClusterToo), cluster, "{what}, cluster too");
    }
}
