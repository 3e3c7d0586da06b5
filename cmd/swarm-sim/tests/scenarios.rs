//! Known disasters of clusters like this one, and failures that were found, each as a scenario that
//! must hold: every invariant at every step, and a cluster that comes to be as desired.

use sim::{Marks, Options, Scenario, run_scenario};

fn holds(name: &str, text: &str) -> Marks {
    let scenario: Scenario = text.parse().unwrap_or_else(|why| panic!("{name}: {why}"));
    let result = run_scenario(&scenario, &Options::default(), None);
    let outcome = result.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    outcome.marks
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
        assert_eq!(holds(text, text).get("task assigned"), Some(&tasks));
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
    a_full_disk_stops_writes_and_nothing_else,
    a_leader_is_demoted_while_it_is_cut_off,
    a_manager_that_lost_its_log_joins_as_another_member,
    a_sick_leader_stops_nothing,
    all_managers_restart_at_once,
    an_update_that_cannot_run_is_rolled_back,
    leader_changes_leave_tasks_and_ports_alone,
    nothing_is_made_twice_when_no_node_fits,
    tasks_of_a_worker_that_was_cut_off_are_replaced_and_cleared_away,
    two_of_three_managers_are_away,
}
