//! Tests of the stage as a whole.

mod startup;

use std::sync::Arc;

use store::{Action, NewTask, Object, Plan, State, Transaction};
use types::entropy::SeededEntropy;
use types::service::{EndpointSpec, PortConfig, PublishMode};
use types::{Annotations, Service, ServiceId, ServiceSpec, Task, TaskId, TaskState, Timestamp};

use crate::Allocator;

struct Bench {
    state: State,
    stage: Allocator,
    entropy: SeededEntropy,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let state = State::default();
        Self {
            stage: Allocator::new(&state, Timestamp::ZERO),
            state,
            entropy: SeededEntropy::new(1),
            now: Timestamp::from_secs(2),
        }
    }

    fn apply(&mut self, actions: Vec<Action>) {
        let tx = Transaction {
            digest: None,
            version: self.state.version() + 1,
            at: Timestamp::from_secs(1),
            actions,
        };
        let commit = self.state.apply(&tx).unwrap();
        commit.changes.iter().for_each(|c| self.stage.observe(c));
    }

    fn plan(&mut self) -> Plan {
        let (view, now) = (self.state.clone(), self.now);
        self.stage.plan(&view, now, &mut self.entropy)
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            let plan = self.plan();
            if plan.steps.is_empty() {
                return;
            }
            for step in plan.steps {
                if step.guards.iter().all(|g| g.holds(&self.state)) {
                    self.apply(step.actions.into_vec());
                }
            }
        }
        panic!("the allocator does not settle");
    }

    fn service(&mut self, name: &str, ports: Vec<PortConfig>) -> ServiceId {
        self.declare(spec(name, ports))
    }

    fn declare(&mut self, spec: ServiceSpec) -> ServiceId {
        let id = ServiceId::random(&mut self.entropy);
        let service = Service {
            job_status: spec.mode.is_job().then(types::service::JobStatus::default),
            ..Service::new(id, spec)
        };
        self.apply(vec![Action::Create(Object::from(service))]);
        id
    }

    fn change_ports(&mut self, id: ServiceId, ports: Vec<PortConfig>) {
        let mut service = Service::clone(self.state.services().get(id).unwrap());
        let name = service.spec.annotations.name.clone();
        service.spec = Arc::new(spec(&name, ports));
        service.spec_version = service.meta.version;
        self.apply(vec![Action::Update(Object::from(service))]);
    }

    fn task(&mut self, service: ServiceId) -> TaskId {
        let id = TaskId::random(&mut self.entropy);
        let version = self.state.services().get(service).unwrap().spec_version;
        self.apply(vec![Action::NewTask(NewTask {
            id,
            service,
            spec_version: version,
            slot: 1,
            node: None,
            desired_state: TaskState::Running,
            job_iteration: None,
        })]);
        id
    }

    fn get(&self, id: TaskId) -> &Task {
        self.state.tasks().get(id).unwrap()
    }

    fn published(&self, id: ServiceId) -> Vec<u32> {
        let service = self.state.services().get(id).unwrap();
        let endpoint = service.endpoint.as_ref().unwrap();
        endpoint.ports.iter().map(|p| p.published_port).collect()
    }
}

fn spec(name: &str, ports: Vec<PortConfig>) -> ServiceSpec {
    ServiceSpec {
        annotations: Annotations::named(name),
        endpoint: Some(EndpointSpec {
            ports,
            ..EndpointSpec::default()
        }),
        ..ServiceSpec::default()
    }
}

fn port(target: u32, published: u32) -> PortConfig {
    PortConfig {
        target_port: target,
        published_port: published,
        ..PortConfig::default()
    }
}

fn host_port(target: u32, published: u32) -> PortConfig {
    PortConfig {
        publish_mode: PublishMode::Host,
        ..port(target, published)
    }
}

#[test]
fn a_task_without_ports_passes_at_once() {
    let mut bench = Bench::new();
    let service = bench.service("web", Vec::new());
    let task = bench.task(service);
    bench.settle();
    assert_eq!(bench.get(task).status.state, TaskState::Pending);
    assert!(
        bench
            .state
            .services()
            .get(service)
            .unwrap()
            .endpoint
            .is_none()
    );
    assert!(bench.stage.waiting.is_empty());
}

#[test]
fn a_task_gets_the_ports_that_its_service_was_given() {
    let mut bench = Bench::new();
    let ports = vec![
        port(80, 8080),
        port(81, 0),
        host_port(82, 0),
        host_port(83, 8080),
    ];
    let service = bench.service("web", ports);
    let task = bench.task(service);
    bench.settle();
    assert_eq!(bench.published(service), [8080, 30_000, 0, 8080]);
    let endpoint = bench.get(task).endpoint.clone().unwrap();
    assert_eq!(endpoint.ports[1].published_port, 30_000);
}

#[test]
fn upstream_services_made_at_the_same_time_publish_the_same_port() {
    let mut bench = Bench::new();
    let first = bench.service("first", vec![port(80, 8080)]);
    bench.settle();
    let second = bench.service("second", vec![port(80, 8080)]);
    let task = bench.task(second);
    bench.settle();
    assert_eq!(bench.get(task).status.state, TaskState::New);
    assert_eq!(
        &*bench.get(task).status.err,
        "port 8080/tcp is published by service first, choose another or remove that"
    );
    bench.change_ports(first, vec![port(80, 8081)]);
    bench.settle();
    assert_eq!(bench.get(task).status.state, TaskState::Pending);
    assert_eq!(bench.published(second), [8080]);
}

#[test]
fn a_port_that_is_given_up_goes_to_another_service_only_when_that_is_seen() {
    let mut bench = Bench::new();
    let mut ids = ["one", "two"].map(|name| bench.service(name, Vec::new()));
    ids.sort();
    let [first, second] = ids;
    bench.change_ports(first, vec![port(80, 8080)]);
    bench.settle();
    bench.change_ports(first, Vec::new());
    bench.change_ports(second, vec![port(80, 8080)]);
    let plan = bench.plan();
    // The operator is faster: the step that takes the port away has lost its ground.
    bench.change_ports(first, vec![port(80, 8080)]);
    for step in plan.steps {
        let of_first =
            |a: &Action| matches!(a, Action::Update(Object::Service(s)) if s.id == first);
        if !step.actions.iter().any(of_first) {
            bench.apply(step.actions.into_vec());
        }
    }
    bench.settle();
    assert_eq!(bench.published(first), [8080]);
    let has = bench.state.services().get(second).unwrap().endpoint.clone();
    assert_eq!(has, None, "the port belongs to one service");
    bench.change_ports(first, Vec::new());
    bench.settle();
    assert_eq!(bench.published(second), [8080]);
}

#[test]
fn a_chosen_port_stays_when_the_service_changes_and_the_leader_too() {
    let mut bench = Bench::new();
    bench.service("other", vec![port(1, 0)]);
    let service = bench.service("web", vec![port(80, 0)]);
    bench.settle();
    assert_eq!(bench.published(service), [30_001]);
    bench.stage = Allocator::new(&bench.state, Timestamp::ZERO);
    bench.change_ports(service, vec![port(80, 0), port(90, 0)]);
    bench.settle();
    assert_eq!(bench.published(service), [30_001, 30_002]);
}

#[test]
fn a_chosen_port_is_never_one_that_another_service_asks_for() {
    let mut bench = Bench::new();
    let chooser = bench.service("chooser", vec![port(80, 0)]);
    let asker = bench.service("asker", vec![port(80, 30_000)]);
    bench.settle();
    assert_eq!(bench.published(asker), [30_000]);
    assert_ne!(bench.published(chooser), [30_000]);
}

#[test]
fn a_service_finds_every_dynamic_port_and_then_says_that_none_is_left() {
    let mut bench = Bench::new();
    let all = DYNAMIC.map(|n| port(n, 0)).collect();
    let service = bench.service("all", all);
    let late = bench.service("late", vec![port(80, 0)]);
    let task = bench.task(late);
    bench.settle();
    let mut ports = bench.published(service);
    ports.sort_unstable();
    assert_eq!(ports, DYNAMIC.collect::<Vec<_>>());
    assert!(
        bench
            .get(task)
            .status
            .err
            .starts_with("no tcp port is left in 30000-32767")
    );
}

const DYNAMIC: std::ops::RangeInclusive<u32> = crate::DYNAMIC_PORTS;

#[test]
fn planning_on_the_planned_state_proposes_nothing_also_after_a_leader_change() {
    let mut bench = Bench::new();
    bench.service("a", vec![port(80, 80)]);
    let refused = bench.service("b", vec![port(80, 80), port(81, 0)]);
    bench.task(refused);
    bench.settle();
    assert!(bench.plan().steps.is_empty());
    bench.stage = Allocator::new(&bench.state, Timestamp::ZERO);
    assert!(bench.plan().steps.is_empty());
}
