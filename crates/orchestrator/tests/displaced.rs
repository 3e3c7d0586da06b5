//! What happens to a task that the scheduler displaces: its service replaces it as any other, and
//! the two stages come to rest.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use orchestrator::Orchestrator;
use scheduler::Scheduler;
use store::{Action, Draft, Plan, State};
use types::cluster::Cluster;
use types::entropy::SeededEntropy;
use types::node::{NodeDescription, NodeStatus};
use types::{
    Annotations, ClusterId, ClusterSpec, Node, NodeId, NodeSpec, NodeState, Resources, Service,
    ServiceId, ServiceMode, ServiceSpec, Task, TaskState, TaskStatus, Timestamp,
};

const CPU: i64 = 1_000_000_000;

struct Leader {
    state: State,
    orchestrator: Orchestrator,
    scheduler: Scheduler,
    now: Timestamp,
    entropy: SeededEntropy,
}

impl Leader {
    fn new() -> Self {
        let (state, now) = (State::default(), Timestamp::from_secs(1_000));
        Self {
            orchestrator: Orchestrator::new(&state, now),
            scheduler: Scheduler::new(&state, now),
            state,
            now,
            entropy: SeededEntropy::new(1),
        }
    }

    fn apply(&mut self, plan: Plan) -> bool {
        let is_idle = plan.steps.is_empty();
        let mut draft = Draft::new(&self.state, self.now);
        for step in plan.steps {
            draft.add(step).unwrap();
        }
        let (_, commit, state) = draft.finish();
        self.state = state;
        for change in &commit.changes {
            self.orchestrator.observe(change);
            self.scheduler.observe(change);
        }
        is_idle
    }

    fn act(&mut self, action: Action) {
        let steps = vec![store::Step::unguarded(action)];
        self.apply(Plan {
            steps,
            wake_at: None,
        });
    }

    /// Both stages, the allocator and agents that do at once what they are told, until none of
    /// them has anything to do.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.now = self.now.plus(std::time::Duration::from_millis(500));
            let plan = self
                .orchestrator
                .plan(&self.state, self.now, &mut self.entropy);
            let mut idle = self.apply(plan);
            let due: Vec<Action> = self.state.tasks().iter().filter_map(|t| due(t)).collect();
            idle &= due.is_empty();
            due.into_iter().for_each(|action| self.act(action));
            let plan = self
                .scheduler
                .plan(&self.state, self.now, &mut self.entropy);
            idle &= self.apply(plan);
            if idle {
                return;
            }
        }
        panic!("the stages do not come to rest");
    }

    fn service(&mut self, n: u128, priority: u8, replicas: u64) {
        let mut spec = ServiceSpec {
            annotations: Annotations::named(format!("service-{n}")),
            mode: ServiceMode::Replicated { replicas },
            ..ServiceSpec::default()
        };
        spec.options.priority = priority;
        spec.task.resources.reservations = Some(Resources {
            nano_cpus: 2 * CPU,
            ..Resources::default()
        });
        let service = Service::new(ServiceId::from_u128(n).unwrap(), spec);
        self.act(Action::Create(service.into()));
    }

    fn running(&self, n: u128) -> Vec<&Arc<Task>> {
        let tasks = self
            .state
            .tasks()
            .of_service(ServiceId::from_u128(n).unwrap());
        let runs = |t: &&Arc<Task>| t.status.state == TaskState::Running && t.is_runnable();
        tasks.filter(runs).collect()
    }
}

/// What the allocator or an agent does with a task now.
fn due(task: &Task) -> Option<Action> {
    let to = match task.status.state {
        TaskState::New if task.desired_state <= TaskState::Complete => {
            return Some(Action::Allocate { task: task.id });
        }
        state if state < TaskState::Assigned || state.is_terminal() => return None,
        _ if task.desired_state >= TaskState::Shutdown => TaskState::Shutdown,
        state if state < TaskState::Running && task.desired_state >= TaskState::Running => {
            TaskState::Running
        }
        _ => return None,
    };
    let status = TaskStatus {
        state: to,
        ..task.status.clone()
    };
    Some(Action::Report {
        task: task.id,
        status: Box::new(status),
    })
}

fn node(n: u128) -> Node {
    let description = NodeDescription {
        resources: Resources {
            nano_cpus: 4 * CPU,
            ..Resources::default()
        },
        ..NodeDescription::default()
    };
    Node {
        description: Some(Arc::new(description)),
        status: NodeStatus {
            state: NodeState::Ready,
            ..NodeStatus::default()
        },
        ..Node::new(NodeId::from_u128(n).unwrap(), NodeSpec::default())
    }
}

fn cluster() -> Cluster {
    let mut spec = ClusterSpec::default();
    spec.options.preemption = true;
    Cluster::new(ClusterId::MIN, spec)
}

#[test]
fn a_displaced_task_is_replaced_waits_for_its_turn_and_comes_back() {
    let mut leader = Leader::new();
    leader.act(Action::Create(cluster().into()));
    (1..=2).for_each(|n| leader.act(Action::Create(node(n).into())));
    leader.service(1, 10, 4);
    leader.settle();
    assert_eq!(leader.running(1).len(), 4, "the cluster is full");
    leader.service(2, 70, 2);
    leader.settle();
    assert_eq!((leader.running(1).len(), leader.running(2).len()), (2, 2));
    let waiting = leader.state.tasks().unplaced().filter(|t| t.is_runnable());
    assert_eq!(waiting.count(), 2, "each displaced slot has a successor");
    let all = || leader.state.tasks().iter();
    let displaced = all().filter(|t| t.status.err.starts_with("displaced by task "));
    assert_eq!(
        displaced.count(),
        2,
        "no more than needed, and no ping-pong"
    );
    leader.act(Action::Create(node(3).into()));
    leader.settle();
    assert_eq!((leader.running(1).len(), leader.running(2).len()), (4, 2));
}
