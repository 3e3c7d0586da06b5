//! The checker against another one, on the 102 published histories of a real store that were
//! recorded with partitions: Porcupine (`anishathalye/porcupine`, `test_data/jepsen`) says which of
//! them are linearizable. The files are not ours, so they are looked for at `ETCD_HISTORIES`.

#![expect(clippy::unwrap_used, reason = "tests may fail")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use linearizability::models::{Register, RegisterInput, RegisterOutput};
use linearizability::{CONFIGURATIONS_MAX, Failure, Operation, Outcome, check};

/// Those that the other checker accepts. There is no history 95.
const LINEARIZABLE: [u32; 23] = [
    2, 5, 7, 18, 25, 31, 38, 45, 48, 49, 51, 53, 56, 67, 75, 76, 80, 87, 92, 98, 100, 101, 102,
];

#[test]
#[ignore = "needs the published histories at ETCD_HISTORIES"]
fn published_histories_are_judged_as_by_another_checker() {
    let dir: PathBuf = std::env::var_os("ETCD_HISTORIES").unwrap().into();
    for number in (0..=102).filter(|number| *number != 95) {
        let file = dir.join(format!("etcd_{number:03}.log"));
        let history = read(&std::fs::read_to_string(&file).unwrap());
        let ours = match check(&Register, &history, CONFIGURATIONS_MAX) {
            Ok(_) => true,
            Err(Failure::Violation(_)) => false,
            Err(other) => panic!("{number}: {other}"),
        };
        assert_eq!(ours, LINEARIZABLE.contains(&number), "history {number}");
    }
}

/// A line is `… - CLIENT :invoke|:ok|:fail|:info :read|:write|:cas VALUE`; its time is its number.
fn read(text: &str) -> Vec<Operation<RegisterInput, RegisterOutput>> {
    let mut open: BTreeMap<u64, Operation<RegisterInput, RegisterOutput>> = BTreeMap::new();
    let mut all = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((_, said)) = line.split_once(" - ") else {
            continue;
        };
        let fields: Vec<&str> = said.split('\t').collect();
        let [client, kind, what, value] = fields[..] else {
            continue;
        };
        let Ok(client) = client.trim().parse() else {
            continue;
        };
        let at = at as u64;
        if kind == ":invoke" {
            let input = input(what, value);
            let outcome = Outcome::Unknown;
            open.insert(
                client,
                Operation {
                    client,
                    invoked: at,
                    input,
                    outcome,
                },
            );
            continue;
        }
        let mut operation = open.remove(&client).unwrap();
        let output = match (kind, what) {
            (":ok", ":read") => Some(RegisterOutput::Value(value.parse().ok())),
            (":ok", _) => Some(RegisterOutput::Done),
            (":fail", ":cas") => Some(RegisterOutput::Mismatch),
            _ => None,
        };
        if let Some(output) = output {
            operation.outcome = Outcome::Returned { at, output };
        }
        all.push(operation);
    }
    all.extend(open.into_values());
    all.retain(|o| o.output().is_some() || !matches!(o.input, RegisterInput::Read { .. }));
    all
}

fn input(what: &str, value: &str) -> RegisterInput {
    let key = "register".to_owned();
    let numbers = |c: char| !c.is_ascii_digit();
    let values: Vec<u64> = value
        .split(numbers)
        .filter_map(|n| n.parse().ok())
        .collect();
    match (what, &values[..]) {
        (":write", [value]) => RegisterInput::Write { key, value: *value },
        (":cas", [expected, value]) => RegisterInput::CompareAndSet {
            key,
            expected: *expected,
            value: *value,
        },
        _ => RegisterInput::Read { key },
    }
}
