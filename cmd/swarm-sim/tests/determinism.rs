//! One seed is one history, also in two processes: nothing of the machine shows in it.

use std::process::{Command, Output};

fn sim(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-sim"));
    command.args(args).output().expect("the simulator starts")
}

#[test]
fn one_seed_gives_the_same_rows_in_two_processes() {
    let done = sim(&["--twice", "--seed", "3", "--seeds", "2"]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}");
    assert_eq!(
        text.matches("the same in two processes").count(),
        2,
        "{text}"
    );
}

#[test]
fn what_the_command_line_does_not_know_is_refused_with_the_usage() {
    for args in [&["--colour"][..], &["--seed", "x"], &["--bug", "None"]] {
        let done = sim(args);
        assert_eq!(done.status.code(), Some(2), "{args:?}");
        assert!(
            String::from_utf8_lossy(&done.stderr).contains("usage: swarm-sim"),
            "{args:?}"
        );
    }
}

#[test]
fn a_seed_prints_as_a_scenario_that_has_the_same_history() {
    let dir = std::env::temp_dir().join(format!("sim-{}", std::process::id()));
    let printed = sim(&["--print", "--seed", "5"]);
    std::fs::write(&dir, &printed.stdout).expect("the file is written");
    let path = dir.to_string_lossy().into_owned();
    let (one, two) = (
        sim(&["--scenario", &path]),
        sim(&["--show", "--until", "0", "--seed", "5"]),
    );
    std::fs::remove_file(&dir).expect("the file is removed");
    let last = |o: &Output| {
        String::from_utf8_lossy(&o.stdout)
            .lines()
            .last()
            .map(str::to_owned)
    };
    assert!(one.status.success());
    assert_eq!(last(&one), last(&two));
}
