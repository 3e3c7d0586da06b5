//! A failing run is made small, and what is left fails by itself.

use std::time::Duration;

use sim::{Bug, Options, Scenario, run_scenario};
use swarm_sim::{Effort, shrink};

const EFFORT: Effort = Effort {
    runs: 400,
    time: Duration::from_secs(120),
};

/// Most of this has no part in a secret that is sent without need.
const WHOLE: &str = "seed 5
set managers 1
set agents 2
set combined 0
set chaos 60000000
5 create how=3
10 make-files how=5
15 kill-agent ms=2000
20 create how=9
25 update how=4
30 scale how=7
35 kill-agent who=1 ms=3000
40 drop-links how=3";

#[test]
fn a_run_with_a_planted_bug_shrinks_to_a_few_steps_that_break_the_same_rule() {
    let bug = Bug::SecretEarly;
    let whole: Scenario = WHOLE.parse().expect("it reads");
    let found = shrink(&whole, Some(bug), EFFORT).expect("the bug is seen");
    let steps = found.scenario.steps.len();
    assert!((1..=3).contains(&steps), "{}", found.scenario);

    let read: Scenario = found.scenario.to_string().parse().expect("it reads back");
    let options = Options {
        bug: Some(bug),
        ..Options::default()
    };
    let failure = run_scenario(&read, &options, None).expect_err("it fails by itself");
    assert_eq!(failure.at, found.failure.at);
    assert_eq!(failure.what, found.failure.what);
    assert_eq!(failure.rule(), "X1");
    run_scenario(&read, &Options::default(), None).expect("the bug is to blame");
}

#[test]
fn a_run_that_holds_has_nothing_to_shrink() {
    let quiet: Scenario = "seed 1\nset chaos 1000000".parse().expect("it reads");
    assert!(shrink(&quiet, None, EFFORT).is_none());
}

#[test]
fn shrinking_ends_when_its_effort_is_used_up() {
    let whole: Scenario = WHOLE.parse().expect("it reads");
    let little = Effort { runs: 3, ..EFFORT };
    let found = shrink(&whole, Some(Bug::SecretEarly), little).expect("the bug is seen");
    assert_eq!(found.runs, 3);
}
