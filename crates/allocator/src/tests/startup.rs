//! Start order between services.

use std::time::Duration;

use store::{Action, Key, NewTask, Object};
use types::options::Schedule;
use types::task::TaskStatus;
use types::{
    Annotations, NodeId, Service, ServiceId, ServiceMode, ServiceSpec, TaskId, TaskState, Timestamp,
};

use super::Bench;
use crate::Allocator;

fn depending(name: &str, on: &[&str]) -> ServiceSpec {
    let mut spec = with_mode(name, ServiceMode::default());
    spec.options.depends_on = on.iter().map(|d| d.parse().unwrap()).collect();
    spec
}

fn with_mode(name: &str, mode: ServiceMode) -> ServiceSpec {
    ServiceSpec {
        annotations: Annotations::named(name),
        mode,
        ..ServiceSpec::default()
    }
}

fn replicas(name: &str, replicas: u64) -> ServiceSpec {
    with_mode(name, ServiceMode::Replicated { replicas })
}

fn job(name: &str, total_completions: u64) -> ServiceSpec {
    let mode = ServiceMode::ReplicatedJob {
        max_concurrent: 1,
        total_completions,
    };
    with_mode(name, mode)
}

impl Bench {
    fn slot_task(&mut self, service: ServiceId, slot: u64, node: Option<NodeId>) -> TaskId {
        let id = TaskId::random(&mut self.entropy);
        let declared = self.state.services().get(service).unwrap();
        let (spec_version, job) = (declared.spec_version, declared.job_status);
        self.apply(vec![Action::NewTask(NewTask {
            id,
            service,
            spec_version,
            slot,
            node,
            desired_state: if job.is_some() {
                TaskState::Complete
            } else {
                TaskState::Running
            },
            job_iteration: job.map(|j| j.iteration),
        })]);
        id
    }

    fn report(&mut self, task: TaskId, state: TaskState, err: &str) {
        let status = TaskStatus {
            state,
            err: err.into(),
            timestamp: self.now,
            applied_at: self.now,
            ..TaskStatus::default()
        };
        self.apply(vec![Action::Report {
            task,
            status: Box::new(status),
        }]);
    }

    fn desire(&mut self, task: TaskId, state: TaskState) {
        self.apply(vec![Action::Desire { task, state }]);
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.settle();
    }

    fn err(&self, task: TaskId) -> String {
        assert_eq!(self.get(task).status.state, TaskState::New);
        self.get(task).status.err.to_string()
    }

    fn passes(&mut self, task: TaskId) -> bool {
        self.settle();
        self.get(task).status.state == TaskState::Pending
    }

    fn new_leader(&mut self) {
        self.stage = Allocator::new(&self.state, Timestamp::ZERO);
    }
}

const A_WHILE: Duration = Duration::from_secs(6);

#[test]
fn a_task_waits_until_every_task_of_the_other_service_runs_and_says_which_is_missing() {
    let mut bench = Bench::new();
    let web = bench.declare(depending("web", &["db"]));
    let task = bench.slot_task(web, 1, None);
    bench.settle();
    assert_eq!(
        bench.err(task),
        "waits for service db, which does not exist"
    );
    let db = bench.declare(replicas("db", 2));
    bench.wait(A_WHILE);
    assert_eq!(
        bench.err(task),
        "waits for service db to be healthy: 0 of 2 tasks are"
    );
    let (one, two) = (bench.slot_task(db, 1, None), bench.slot_task(db, 2, None));
    bench.settle();
    bench.report(one, TaskState::Running, "");
    bench.report(two, TaskState::Pending, "no suitable node");
    bench.new_leader();
    bench.wait(A_WHILE);
    assert_eq!(
        bench.err(task),
        "waits for service db to be healthy: 1 of 2 tasks are, db.2 is pending: no suitable node"
    );
    bench.report(two, TaskState::Running, "");
    assert!(bench.passes(task));
}

#[test]
fn a_slot_that_was_let_through_is_not_held_again_and_a_new_slot_is() {
    let mut bench = Bench::new();
    let db = bench.declare(replicas("db", 1));
    let up = bench.slot_task(db, 1, None);
    bench.settle();
    bench.report(up, TaskState::Running, "");
    let web = bench.declare(depending("web", &["db"]));
    let first = bench.slot_task(web, 1, None);
    assert!(bench.passes(first));
    bench.report(up, TaskState::Failed, "exit code 1");
    bench.desire(up, TaskState::Shutdown);
    bench.report(first, TaskState::Failed, "");
    let next = bench.slot_task(web, 1, None);
    let other_slot = bench.slot_task(web, 2, None);
    bench.new_leader();
    assert!(bench.passes(next));
    assert!(!bench.passes(other_slot));
}

#[test]
fn a_task_that_was_stopped_while_it_waited_lets_nobody_through() {
    let mut bench = Bench::new();
    let web = bench.declare(depending("web", &["db"]));
    let first = bench.slot_task(web, 1, None);
    bench.settle();
    bench.desire(first, TaskState::Shutdown);
    bench.apply(vec![Action::Report {
        task: first,
        status: Box::new(TaskStatus {
            state: TaskState::Shutdown,
            ..TaskStatus::default()
        }),
    }]);
    let next = bench.slot_task(web, 1, None);
    assert!(!bench.passes(next));
}

#[test]
fn a_job_that_is_waited_for_must_complete_in_its_present_run() {
    let mut bench = Bench::new();
    let migrate = bench.declare(job("migrate", 2));
    let web = bench.declare(depending("web", &["migrate:completed"]));
    let task = bench.slot_task(web, 1, None);
    let (zero, one) = (
        bench.slot_task(migrate, 0, None),
        bench.slot_task(migrate, 1, None),
    );
    bench.settle();
    bench.report(zero, TaskState::Complete, "");
    bench.report(one, TaskState::Failed, "exit code 1");
    bench.desire(one, TaskState::Shutdown);
    bench.wait(A_WHILE);
    assert_eq!(
        bench.err(task),
        "waits for service migrate to be completed: 1 of 2 tasks are, migrate.1 is failed: \
         exit code 1"
    );
    let again = bench.slot_task(migrate, 1, None);
    bench.settle();
    bench.report(again, TaskState::Complete, "");
    assert!(bench.passes(task));
}

#[test]
fn a_global_service_is_healthy_when_it_runs_on_each_of_its_nodes() {
    let mut bench = Bench::new();
    let agent = bench.declare(with_mode("agent", ServiceMode::Global));
    let web = bench.declare(depending("web", &["agent"]));
    let task = bench.slot_task(web, 1, None);
    bench.settle();
    assert_eq!(
        bench.err(task),
        "waits for service agent to be healthy: it has no task yet"
    );
    let nodes = [0, 1].map(|_| NodeId::random(&mut bench.entropy));
    let tasks = nodes.map(|node| bench.slot_task(agent, 0, Some(node)));
    bench.settle();
    bench.report(tasks[0], TaskState::Running, "");
    assert!(!bench.passes(task));
    bench.report(tasks[1], TaskState::Running, "");
    assert!(bench.passes(task));
}

#[test]
fn a_global_job_of_which_one_node_failed_for_good_is_not_completed() {
    let mut bench = Bench::new();
    let prepare = bench.declare(with_mode("prepare", ServiceMode::GlobalJob));
    let web = bench.declare(depending("web", &["prepare:completed"]));
    let task = bench.slot_task(web, 1, None);
    let nodes = [0, 1].map(|_| NodeId::random(&mut bench.entropy));
    let tasks = nodes.map(|node| bench.slot_task(prepare, 0, Some(node)));
    bench.settle();
    bench.report(tasks[0], TaskState::Complete, "");
    bench.report(tasks[1], TaskState::Failed, "");
    bench.desire(tasks[1], TaskState::Shutdown);
    bench.wait(A_WHILE);
    let (node, text) = (nodes[1], bench.err(task));
    assert!(
        text.ends_with(&format!("1 of 2 tasks are, prepare.{node} is failed")),
        "{text}"
    );
}

#[test]
fn a_condition_that_the_mode_cannot_meet_says_which_one_can() {
    let mut bench = Bench::new();
    bench.declare(job("migrate", 1));
    bench.declare(replicas("db", 1));
    let web = bench.declare(depending("web", &["migrate", "db:completed", "gone"]));
    let task = bench.slot_task(web, 1, None);
    bench.settle();
    assert_eq!(
        bench.err(task),
        "waits for service migrate to be healthy, but it is a job: depend on migrate:completed \
         (and for 2 other services)"
    );
    let other = bench.declare(depending("other", &["db:completed"]));
    let task = bench.slot_task(other, 1, None);
    bench.settle();
    assert!(
        bench
            .err(task)
            .ends_with("but it is not a job: depend on db:healthy")
    );
}

#[test]
fn a_scheduled_job_is_waited_for_until_its_first_run_and_waits_itself_in_each_run() {
    let mut bench = Bench::new();
    let mut nightly = job("nightly", 1);
    nightly.options.schedule = Some(Schedule::of("0 3 * * *"));
    let nightly = bench.declare(nightly);
    let web = bench.declare(depending("web", &["nightly:completed"]));
    let task = bench.slot_task(web, 1, None);
    bench.settle();
    assert!(bench.err(task).ends_with("its schedule has not run it yet"));

    let mut report = depending("report", &["db"]);
    report.mode = job("report", 1).mode;
    let report = bench.declare(report);
    let db = bench.declare(replicas("db", 1));
    let up = bench.slot_task(db, 1, None);
    bench.settle();
    bench.report(up, TaskState::Running, "");
    let first_run = bench.slot_task(report, 0, None);
    assert!(bench.passes(first_run));
    bench.desire(up, TaskState::Shutdown);
    for id in [report, nightly] {
        let mut service = Service::clone(bench.state.services().get(id).unwrap());
        service.job_status.as_mut().unwrap().iteration += 1;
        bench.apply(vec![Action::Update(Object::from(service))]);
    }
    let second_run = bench.slot_task(report, 0, None);
    assert!(!bench.passes(second_run));
}

#[test]
fn taking_the_dependency_out_of_the_spec_lets_the_tasks_go() {
    let mut bench = Bench::new();
    let web = bench.declare(depending("web", &["db"]));
    let task = bench.slot_task(web, 1, None);
    assert!(!bench.passes(task));
    let mut service = Service::clone(bench.state.services().get(web).unwrap());
    service.spec = depending("web", &[]).into();
    service.spec_version = service.meta.version;
    bench.apply(vec![Action::Update(Object::from(service))]);
    assert!(bench.passes(task));
}

#[test]
fn a_service_that_is_removed_and_made_again_is_waited_for_anew() {
    let mut bench = Bench::new();
    let db = bench.declare(replicas("db", 1));
    let web = bench.declare(depending("web", &["DB"]));
    let task = bench.slot_task(web, 1, None);
    assert!(!bench.passes(task));
    bench.apply(vec![Action::Remove(Key::Service(db))]);
    bench.wait(A_WHILE);
    assert_eq!(
        bench.err(task),
        "waits for service DB, which does not exist"
    );
    let db = bench.declare(replicas("db", 1));
    let up = bench.slot_task(db, 1, None);
    bench.settle();
    bench.report(up, TaskState::Running, "");
    assert!(bench.passes(task));
}

#[test]
fn what_waiting_tasks_say_is_not_rewritten_with_every_step_of_the_other_service() {
    let mut bench = Bench::new();
    let db = bench.declare(replicas("db", 50));
    let web = bench.declare(depending("web", &["db"]));
    let waiting: Vec<_> = (1..=10).map(|n| bench.slot_task(web, n, None)).collect();
    bench.settle();
    let written = bench.get(waiting[0]).meta.version;
    for n in 1..50 {
        let task = bench.slot_task(db, n, None);
        bench.settle();
        bench.report(task, TaskState::Running, "");
        bench.settle();
    }
    assert_eq!(bench.get(waiting[0]).meta.version, written);
    let plan = bench.plan();
    assert!(plan.steps.is_empty());
    assert!(
        plan.wake_at.is_some_and(|at| at > bench.now),
        "it will be, a little later"
    );
    bench.wait(A_WHILE);
    assert!(bench.err(waiting[9]).ends_with("49 of 50 tasks are"));
    assert!(bench.plan().steps.is_empty());
    bench.new_leader();
    assert!(bench.plan().steps.is_empty());
}
