//! Random transactions: what holds after any of them.

use proptest::prelude::*;
use types::{Entropy, TaskState, TaskStatus};

use super::Fixture;
use crate::{Action, Image, Key, State};

/// Applies a random action; refused ones are part of the test.
fn random_step(f: &mut Fixture, services: &mut Vec<types::ServiceId>, dice: u64) {
    let pick = |list: &[types::ServiceId], n: u64| list[(n % list.len() as u64) as usize];
    let task = f
        .state
        .tasks()
        .iter()
        .nth((dice as usize / 7) % 8)
        .map(|t| t.id);
    match (dice % 7, task) {
        (0, _) => {
            let name = format!("s{}", f.entropy.below(6));
            let service = f.service(&name);
            let id = service.id;
            if f.apply(vec![Action::Create(service.into())]).is_ok() {
                services.push(id);
            }
        }
        (1 | 2, _) if !services.is_empty() => {
            let new = f.new_task(pick(services, dice), dice % 4);
            let _refused = f.apply(vec![Action::NewTask(new)]);
        }
        (3, Some(task)) => drop(f.apply(vec![Action::Allocate { task }])),
        (4, Some(task)) => {
            let status = TaskStatus {
                state: TaskState::Running,
                ..TaskStatus::default()
            };
            drop(f.apply(vec![Action::Report {
                task,
                status: Box::new(status),
            }]));
        }
        (5, Some(task)) => drop(f.apply(vec![Action::Remove(Key::Task(task))])),
        (6, _) if !services.is_empty() => {
            let id = pick(services, dice / 3);
            drop(f.apply(vec![Action::Remove(Key::Service(id))]));
        }
        _ => {}
    }
}

fn check(state: &State) {
    let all = state.tasks().iter().count();
    assert_eq!(all, state.tasks().len());
    let counted: usize = types::state::ALL_STATES
        .iter()
        .map(|s| state.tasks().count(*s))
        .sum();
    assert_eq!(counted, all, "every task is counted in exactly one state");
    for task in state.tasks().iter() {
        let (service, version) = (task.service_id.unwrap(), task.spec_version.unwrap());
        assert!(
            state
                .tasks()
                .of_slot(service, task.slot)
                .any(|t| t.id == task.id)
        );
        assert!(state.revision(service, version).unwrap().tasks > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn indexes_and_revisions_agree_with_the_rows(
        dice in prop::collection::vec(any::<u64>(), 1..120),
    ) {
        let mut f = Fixture::new();
        let mut services = Vec::new();
        for d in dice {
            random_step(&mut f, &mut services, d);
            check(&f.state);
        }
        let mut image = Image::new();
        for item in f.state.image() {
            image.add(item).unwrap();
        }
        let back = image.finish(f.state.version());
        check(&back);
        prop_assert_eq!(back.tasks().len(), f.state.tasks().len());
    }
}
