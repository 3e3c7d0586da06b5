//! Known disasters of clusters like this one, and failures that were found, each as a scenario that
//! must hold: every invariant at every step, and a cluster that comes to be as desired.

use sim::{Marks, Options, Scenario, run_scenario};

/// Scenarios in which an operator asks for what cannot be.
const REFUSED: &[&str] = &["a_port_goes_from_one_service_to_another"];

fn run(name: &str, text: &str) -> Marks {
    let scenario: Scenario = text.parse().unwrap_or_else(|why| panic!("{name}: {why}"));
    let result = run_scenario(&scenario, &Options::default(), None);
    let outcome = result.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    outcome.marks
}

/// A line that is refused by mistake would leave a scenario without what it is about.
fn holds(name: &str, text: &str) {
    let refused = run(name, text).contains_key("operator refused");
    assert_eq!(
        refused,
        REFUSED.contains(&name),
        "{name}: operators refused"
    );
}

macro_rules! scenario {
    ($name:ident) => {
        include_str!(concat!(
            "../../../crates/sim/scenarios/",
            stringify!($name),
            ".sim"
        ))
    };
}

/// Nothing is placed but what was asked for: no leader change and no sick leader moves a task.
#[test]
fn tasks_are_placed_once_whatever_happens_to_their_leaders() {
    let placed = [
        (scenario!(leader_changes_leave_tasks_and_ports_alone), 5),
        (scenario!(a_sick_leader_stops_nothing), 4),
        (scenario!(all_managers_restart_at_once), 4),
    ];
    for (text, tasks) in placed {
        assert_eq!(run(text, text).get("task assigned"), Some(&tasks));
    }
}

/// A job's slots run once each, an update replaces each slot once, whoever leads.
#[test]
fn leader_changes_repeat_no_slot_of_a_job_and_none_of_an_update() {
    let jobs = scenario!(jobs_run_as_often_as_asked_whoever_leads);
    let marks = run(jobs, jobs);
    let times = (marks.get("task assigned"), marks.get("task completes"));
    assert_eq!(times, (Some(&14), Some(&14)));
    let updates = scenario!(an_update_goes_on_over_leader_changes);
    let marks = run(updates, updates);
    let times = (marks.get("task assigned"), marks.get("update completes"));
    assert_eq!(times, (Some(&12), Some(&2)));
}

/// Histories shift with what takes part in them: each scenario must still reach its situation.
#[test]
fn scenarios_reach_what_they_are_about() {
    let situations: &[(&str, &[&str])] = &[
        (
            scenario!(a_leader_is_demoted_while_it_is_cut_off),
            &[
                "a manager crashes while it is demoted",
                "the leader is to be a worker",
                "a removed manager stops",
            ],
        ),
        (
            scenario!(a_demoted_manager_and_a_removed_worker_come_back),
            &["a demoted manager refused", "a removed node refused"],
        ),
        (
            scenario!(everything_is_rotated_while_machines_are_away),
            &[
                "tokens and all certificates rotated",
                "a join token refused",
            ],
        ),
        (
            scenario!(everything_is_drained_and_scaled_to_zero_and_comes_back),
            &["every node drained", "every service scaled to zero"],
        ),
        (
            scenario!(an_update_goes_on_over_leader_changes),
            &["leader change during an update"],
        ),
        (
            scenario!(every_node_is_drained_in_the_middle_of_an_update),
            &["every node drained", "update completes"],
        ),
        (
            scenario!(nodes_change_while_another_spec_holds),
            &["rollback completes", "task rejected"],
        ),
        (
            scenario!(a_global_service_changes_its_order_while_its_update_fails),
            &["container never healthy", "update completes"],
        ),
    ];
    for (text, marks) in situations {
        let reached = run(text, text);
        for mark in *marks {
            assert!(reached.contains_key(mark), "{mark}: {text}");
        }
    }
}

macro_rules! scenarios {
    ($($name:ident,)+) => {
        $(#[test]
        fn $name() {
            let text = scenario!($name);
            holds(stringify!($name), text);
        })+

        #[test]
        fn every_scenario_is_a_test() {
            let tests = [$(stringify!($name),)+];
            let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/sim/scenarios");
            for file in std::fs::read_dir(dir).expect("the directory is there") {
                let file = file.expect("an entry is read").file_name();
                let name = file.to_string_lossy().replace(".sim", "");
                assert!(tests.contains(&name.as_str()), "{name}");
            }
        }
    };
}

scenarios! {
    a_demoted_manager_and_a_removed_worker_come_back,
    a_full_disk_stops_writes_and_nothing_else,
    a_global_service_changes_its_order_while_its_update_fails,
    a_leader_is_demoted_while_it_is_cut_off,
    a_learner_is_removed_while_it_is_cut_off,
    a_manager_that_lost_its_log_joins_as_another_member,
    a_port_goes_from_one_service_to_another,
    a_sick_leader_stops_nothing,
    all_managers_restart_at_once,
    an_update_goes_on_over_leader_changes,
    an_update_that_cannot_run_is_rolled_back,
    containers_that_ignore_their_stop_are_waited_for,
    every_node_is_drained_in_the_middle_of_an_update,
    everything_is_drained_and_scaled_to_zero_and_comes_back,
    everything_is_rotated_while_machines_are_away,
    jobs_on_nodes_that_were_given_up_are_not_run_twice,
    jobs_run_as_often_as_asked_whoever_leads,
    leader_changes_leave_tasks_and_ports_alone,
    nodes_change_while_another_spec_holds,
    nothing_is_made_twice_when_no_node_fits,
    tasks_of_a_worker_that_was_cut_off_are_replaced_and_cleared_away,
    two_of_three_managers_are_away,
}
