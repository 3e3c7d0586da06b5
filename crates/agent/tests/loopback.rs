//! Whole agents with simulated executors against a fake manager on loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail")]

mod fake;

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::{Agent, AgentState, Config, Connect, ConnectError, Fleet, Peer, SessionFacts};
use executor::{
    BoxFuture, ExecError, Executor, Exit, Found, FoundState, LogOptions, LogStream, Started,
    TaskRun,
};
use executor_sim::{SimConfig, SimEngine, SimExecutor};
use fake::{Manager, Plain, remove, update};
use storage::LocalDb;
use tonic::transport::Channel;
use types::node::{EXECUTOR_TROUBLE_LABEL, NodeDescription, OWN_AGENT_LABEL};
use types::{NodeId, Task, TaskId, TaskState};
use wire::api;

struct Node {
    id: NodeId,
    manager: Manager,
    engine: Arc<SimEngine>,
    dir: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let id = executor::testing::node_id();
        Self {
            id,
            manager: Manager::start(id).await,
            engine: Arc::new(SimEngine::new(SimConfig::default())),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn config(&self) -> Config {
        let (database, _) = LocalDb::open(&self.dir.path().join("db")).unwrap();
        Config {
            node: self.id,
            executor: Arc::new(SimExecutor::attach(self.engine.clone())),
            database: Some(database),
            connect: Arc::new(Plain),
            managers: vec![self.manager.peer()],
            amend: Arc::new(|_| {}),
        }
    }

    fn start(&self) -> Agent {
        Agent::start(self.config()).unwrap()
    }

    /// Assigns tasks that the manager knows before the node asks.
    fn assign(&self, count: usize) -> Vec<TaskId> {
        let tasks: Vec<Task> = (0..count).map(|_| self.task()).collect();
        let ids = tasks.iter().map(|t| t.id).collect();
        self.manager
            .with(|s| s.tasks.extend(tasks.into_iter().map(|t| (t.id, t))));
        ids
    }

    fn task(&self) -> Task {
        let mut task = executor::testing::task("web", |spec| {
            spec.labels.insert("sim.log".into(), "hello\nworld".into());
        });
        task.node_id = Some(self.id);
        task.status.state = TaskState::Assigned;
        task
    }

    /// Process ids of what runs: another start would show as another id.
    async fn pids(&self) -> BTreeMap<TaskId, i32> {
        let executor = SimExecutor::attach(self.engine.clone());
        let found = executor.adopt(self.id).await.unwrap();
        let running = found.into_iter().filter_map(|f| match f.state {
            FoundState::Running(started) => Some((f.task_id, started.container.pid)),
            _ => None,
        });
        running.collect()
    }
}

#[tokio::test]
async fn assigned_tasks_run_and_are_reported_and_the_node_is_described() {
    let node = Node::new().await;
    let ids = node.assign(20);
    let agent = node.start();
    node.manager.until_all(TaskState::Running).await;
    assert_eq!(node.engine.running_count(), ids.len());
    let labels = node.manager.with(|s| {
        let engine = s.description.clone().unwrap().engine.unwrap();
        engine.labels
    });
    assert!(labels.contains_key(OWN_AGENT_LABEL));
    node.manager
        .until("heartbeats come", |s| s.heartbeats > 3)
        .await;
    let mut facts = agent.facts();
    let facts = facts.wait_for(Option::is_some).await.unwrap().clone();
    let SessionFacts {
        node: record,
        managers,
        root_ca,
        ..
    } = facts.unwrap();
    assert_eq!((record.id, root_ca.as_slice()), (node.id, &b"root"[..]));
    assert_eq!(managers[0].0, node.manager.peer());
    agent.stop().await;
    assert_eq!(
        node.engine.running_count(),
        ids.len(),
        "stopping leaves tasks running"
    );
}

#[tokio::test]
async fn a_lost_session_costs_no_task_and_changes_follow_on_the_next() {
    let node = Node::new().await;
    let ids = node.assign(5);
    let agent = node.start();
    node.manager.until_all(TaskState::Running).await;
    let before = node.pids().await;
    node.manager.drop_session().await;
    node.manager.with(|s| s.tasks.remove(&ids[0]));
    node.manager
        .until("a second session", |s| s.sessions == 2)
        .await;
    let extra = node.assign(1)[0];
    node.manager
        .until("assignments are open again", |s| s.assignment_streams >= 2)
        .await;
    let change = node.manager.with(|s| update(&s.tasks[&extra]));
    node.manager.send(vec![change]).await;
    node.manager.until_all(TaskState::Running).await;
    let after = node.pids().await;
    assert!(ids[1..].iter().all(|id| before[id] == after[id]));
    assert!(!after.contains_key(&ids[0]) && after.contains_key(&extra));
    agent.stop().await;
}

#[tokio::test]
async fn a_restarted_agent_takes_its_tasks_up_without_a_manager_and_starts_nothing_anew() {
    let node = Node::new().await;
    let ids = node.assign(5);
    let agent = node.start();
    node.manager.until_all(TaskState::Running).await;
    let before = node.pids().await;
    agent.stop().await;

    // Without a manager: the end of a task is noticed and kept for later.
    let mut config = node.config();
    config.managers.clear();
    let alone = Agent::start(config).unwrap();
    let executor = SimExecutor::attach(node.engine.clone());
    executor.kill(ids[0]).await.unwrap();
    alone.stop().await;

    let agent = node.start();
    node.manager
        .until("the end is reported", |s| {
            s.statuses[&ids[0]].state == TaskState::Failed
        })
        .await;
    let after = node.pids().await;
    assert!(ids[1..].iter().all(|id| before[id] == after[id]));
    agent.stop().await;
}

#[tokio::test]
async fn what_a_lost_database_forgot_is_adopted_or_removed() {
    let node = Node::new().await;
    let ids = node.assign(4);
    let agent = node.start();
    node.manager.until_all(TaskState::Running).await;
    let before = node.pids().await;
    agent.stop().await;
    node.manager.with(|s| s.tasks.remove(&ids[0]));
    let mut config = node.config();
    config.database = None;
    let agent = Agent::start(config).unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while node.engine.running_count() != 3 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "remains were not removed"
        );
        tokio::task::yield_now().await;
    }
    let after = node.pids().await;
    assert!(ids[1..].iter().all(|id| before[id] == after[id]));
    agent.stop().await;
}

#[tokio::test]
async fn a_gap_in_the_chain_makes_the_agent_ask_for_everything() {
    let node = Node::new().await;
    node.assign(1);
    let agent = node.start();
    node.manager.until_all(TaskState::Running).await;
    node.manager.lose_message();
    let extra = node.assign(1)[0];
    node.manager.send(vec![remove(extra)]).await;
    node.manager
        .until("the stream is opened anew", |s| s.assignment_streams == 2)
        .await;
    node.manager.until_all(TaskState::Running).await;
    assert_eq!(node.manager.with(|s| s.sessions), 1, "the session goes on");
    agent.stop().await;
}

#[tokio::test]
async fn the_output_of_tasks_is_published_on_request() {
    let node = Node::new().await;
    let ids = node.assign(2);
    let agent = node.start();
    node.manager.until_all(TaskState::Running).await;
    let selector = api::LogSelector {
        task_ids: vec![ids[1].to_string()],
        ..api::LogSelector::default()
    };
    node.manager
        .subscribe(api::SubscriptionMessage {
            id: "s1".into(),
            selector: Some(selector),
            options: Some(api::LogSubscriptionOptions::default()),
            close: false,
        })
        .await;
    node.manager
        .until("the output is there", |s| s.logs_closed)
        .await;
    let text: String = node.manager.with(|s| {
        assert!(s.log_lines.iter().all(|(id, _)| *id == ids[1]));
        s.log_lines.iter().map(|(_, line)| line.as_str()).collect()
    });
    assert_eq!(text.replace('\n', ""), "helloworld");
    agent.stop().await;
}

/// Has a manager of its own besides those it reaches over the network.
struct WithOwnManager {
    own: Channel,
}

impl Connect for WithOwnManager {
    fn connect<'a>(&'a self, peer: &'a Peer) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        Plain.connect(peer)
    }

    fn local(&self) -> Option<Channel> {
        Some(self.own.clone())
    }
}

#[tokio::test]
async fn the_nodes_own_manager_comes_first_and_another_gets_a_turn_when_it_fails() {
    let node = Node::new().await;
    let own = Manager::start(node.id).await;
    let mut config = node.config();
    config.connect = Arc::new(WithOwnManager {
        own: Plain.connect(&own.peer()).await.unwrap(),
    });
    let agent = Agent::start(config).unwrap();
    own.until("the own manager has a session", |s| s.heartbeats > 0)
        .await;
    assert_eq!(node.manager.with(|s| s.sessions), 0);
    // The list that the own manager sent names itself alone; the agent goes there by network.
    own.drop_session().await;
    own.until("there is another session", |s| s.sessions == 2)
        .await;
    let mut state = agent.state();
    let addr = own.peer().addr;
    let by_network = |s: &AgentState| match s {
        AgentState::Connected { manager } => manager.as_ref() == Some(&addr),
        _ => false,
    };
    state.wait_for(by_network).await.unwrap();
    agent.stop().await;
}

#[tokio::test]
async fn a_manager_that_does_not_answer_is_left_for_another() {
    let node = Node::new().await;
    let mut config = node.config();
    let dead = Peer {
        node: None,
        addr: "127.0.0.1:1".into(),
    };
    config.managers.insert(0, dead.clone());
    let agent = Agent::start(config).unwrap();
    node.manager
        .until("there is a session", |s| s.heartbeats > 0)
        .await;
    agent.stop().await;

    let mut config = node.config();
    config.managers = vec![dead];
    let agent = Agent::start(config).unwrap();
    let mut state = agent.state();
    let failed = |s: &AgentState| matches!(s, AgentState::Connecting { last: Some(_) });
    let state = state.wait_for(failed).await.unwrap().clone();
    let AgentState::Connecting { last: Some(error) } = state else {
        panic!("it said that it failed");
    };
    assert_eq!(error.to_string(), "cannot connect to manager 127.0.0.1:1");
    agent.stop().await;
}

#[tokio::test]
async fn a_fleet_of_agents_shares_one_process() {
    let mut managers = Vec::new();
    let mut configs = Vec::new();
    for _ in 0..50 {
        let node = Node::new().await;
        node.assign(10);
        let mut config = node.config();
        config.database = None;
        configs.push(config);
        managers.push(node);
    }
    let fleet = Fleet::start(configs).unwrap();
    fleet.connected().await;
    for node in &managers {
        node.manager.until_all(TaskState::Running).await;
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_node_that_left_stops_and_removes_every_task_and_takes_no_more() {
    let node = Node::new().await;
    node.assign(5);
    let agent = node.start();
    node.manager.until_all(TaskState::Running).await;
    assert_eq!(agent.vacate(std::time::Duration::from_secs(20)).await, 0);
    assert_eq!(node.engine.running_count(), 0);
    let executor = SimExecutor::attach(node.engine.clone());
    assert_eq!(executor.adopt(node.id).await.unwrap(), []);
    agent.stop().await;
    // Nothing of it is in the database either: another agent takes nothing up.
    node.manager.with(|s| s.tasks.clear());
    let again = node.start();
    node.manager
        .until("a further session", |s| s.sessions >= 2)
        .await;
    assert_eq!(node.engine.running_count(), 0);
    again.stop().await;
}

/// An executor whose engine may be away.
struct Flaky {
    inner: SimExecutor,
    away: std::sync::atomic::AtomicBool,
}

impl Flaky {
    fn answer<'a, T>(
        &'a self,
        answer: BoxFuture<'a, Result<T, ExecError>>,
    ) -> BoxFuture<'a, Result<T, ExecError>> {
        match self.away.load(std::sync::atomic::Ordering::SeqCst) {
            true => Box::pin(async { Err(ExecError::retry("the engine is away")) }),
            false => answer,
        }
    }
}

impl Executor for Flaky {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription, ExecError>> {
        self.answer(self.inner.describe())
    }

    fn adopt(&self, node: NodeId) -> BoxFuture<'_, Result<Vec<Found>, ExecError>> {
        self.answer(self.inner.adopt(node))
    }

    fn prepare<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<(), ExecError>> {
        self.answer(self.inner.prepare(run))
    }

    fn start<'a>(&'a self, run: &'a TaskRun) -> BoxFuture<'a, Result<Started, ExecError>> {
        self.answer(self.inner.start(run))
    }

    fn wait(&self, task: TaskId) -> BoxFuture<'_, Result<Exit, ExecError>> {
        self.answer(self.inner.wait(task))
    }

    fn stop(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        self.answer(self.inner.stop(task))
    }

    fn kill(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        self.answer(self.inner.kill(task))
    }

    fn remove(&self, task: TaskId) -> BoxFuture<'_, Result<(), ExecError>> {
        self.answer(self.inner.remove(task))
    }

    fn logs(
        &self,
        task: TaskId,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<LogStream, ExecError>> {
        self.answer(self.inner.logs(task, options))
    }
}

fn trouble(state: &fake::State) -> Option<String> {
    let engine = state.description.clone()?.engine?;
    engine.labels.get(EXECUTOR_TROUBLE_LABEL).cloned()
}

#[tokio::test]
async fn a_node_whose_executor_is_away_says_why_and_goes_on_when_it_is_back() {
    let node = Node::new().await;
    node.assign(2);
    let executor = Arc::new(Flaky {
        inner: SimExecutor::attach(node.engine.clone()),
        away: true.into(),
    });
    let config = Config {
        executor: executor.clone(),
        ..node.config()
    };
    let agent = Agent::start(config).unwrap();
    node.manager
        .until("the reason is told", |s| {
            trouble(s).as_deref() == Some("the engine is away")
        })
        .await;
    assert!(matches!(
        &*agent.state().borrow(),
        AgentState::WaitsForExecutor { reason: Some(_) }
    ));
    executor
        .away
        .store(false, std::sync::atomic::Ordering::SeqCst);
    node.manager.until_all(TaskState::Running).await;
    assert_eq!(node.manager.with(|s| trouble(s)), None);
    agent.stop().await;
}
