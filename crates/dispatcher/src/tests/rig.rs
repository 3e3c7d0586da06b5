//! A cluster around one dispatcher: applies what it proposes and plays the shell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use store::{Action, Draft, Key, Object, Plan, State, Step};
use types::container::{FileTarget, SecretReference};
use types::entropy::SeededEntropy;
use types::node::{NodeDescription, NodeStatus};
use types::task::message;
use types::{
    Annotations, Meta, Node, NodeId, NodeState, Runtime, Secret, SecretId, SecretSpec, ServiceSpec,
    Task, TaskId, TaskSpec, TaskState, TaskStatus, Timestamp,
};

use crate::*;

pub struct Rig {
    pub state: State,
    pub dispatcher: Dispatcher,
    pub now: Timestamp,
    pub entropy: SeededEntropy,
    /// Everything the dispatcher wanted, in order.
    pub effects: Vec<Effect>,
    /// Whether batches are committed as soon as they are proposed.
    pub commits: bool,
    pub proposed: Vec<(BatchId, Plan)>,
    pub agents: BTreeMap<StreamId, AgentView>,
    next: u64,
}

/// What an agent knows from one assignments stream.
#[derive(Default)]
pub struct AgentView {
    pub sequence: u64,
    pub tasks: BTreeMap<TaskId, Arc<Task>>,
    pub secrets: BTreeSet<SecretId>,
}

pub fn node_id(n: u128) -> NodeId {
    NodeId::from_u128(n + 1).unwrap()
}

pub fn task_id(n: u128) -> TaskId {
    TaskId::from_u128(n + 1).unwrap()
}

pub fn secret_id(n: u128) -> SecretId {
    SecretId::from_u128(n + 1).unwrap()
}

pub fn status(state: TaskState, text: &'static str) -> TaskStatus {
    TaskStatus {
        state,
        message: message(text),
        ..TaskStatus::default()
    }
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn leadership(term: u64) -> Leadership {
    let manager = Manager {
        node: node_id(900),
        addr: "10.0.0.1:2377".into(),
        weight: limits::MANAGER_WEIGHT,
    };
    Leadership {
        term,
        node: node_id(900),
        managers: [manager].into(),
    }
}

impl Rig {
    /// `nodes` nodes in a state, and a leader that took over at second 1000.
    pub fn new(nodes: u128, state: NodeState) -> Self {
        let now = Timestamp::from_secs(1000);
        let mut tables = State::default();
        let actions = (0..nodes).map(|n| {
            let node = Node {
                status: NodeStatus {
                    state,
                    ..NodeStatus::default()
                },
                ..Node::new(node_id(n), Default::default())
            };
            Action::Create(Object::from(node))
        });
        let mut draft = Draft::new(&tables, now);
        for action in actions {
            draft.add(Step::unguarded(action)).unwrap();
        }
        tables = draft.finish().2;
        let dispatcher = Dispatcher::new(leadership(1), &tables, now);
        Self {
            state: tables,
            dispatcher,
            now,
            entropy: SeededEntropy::new(1),
            effects: Vec::new(),
            commits: true,
            proposed: Vec::new(),
            agents: BTreeMap::new(),
            next: 0,
        }
    }

    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Another leader takes over from committed state.
    pub fn new_leader(&mut self, term: u64) {
        self.dispatcher = Dispatcher::new(leadership(term), &self.state, self.now);
        self.proposed.clear();
        self.agents.clear();
        self.input(Input::Tick);
    }

    /// Feeds an input and plays the shell until nothing more follows.
    pub fn input(&mut self, input: Input) {
        let mut queue = vec![input];
        while let Some(input) = queue.pop() {
            let state = self.state.clone();
            let effects = self
                .dispatcher
                .handle(input, &state, self.now, &mut self.entropy);
            for effect in effects {
                self.effects.push(effect.clone());
                match effect {
                    Effect::Propose { batch, plan } if self.commits => {
                        self.commit_batch(batch, plan);
                    }
                    Effect::Propose { batch, plan } => self.proposed.push((batch, plan)),
                    Effect::SendSession { stream, .. } => {
                        queue.push(Input::StreamReady { stream });
                    }
                    Effect::SendAssignments { stream, message } => {
                        self.agents.entry(stream).or_default().apply(&message);
                        queue.push(Input::StreamReady { stream });
                    }
                    Effect::Close { stream, .. } => {
                        self.agents.remove(&stream);
                    }
                    Effect::Answer { .. } => {}
                }
            }
        }
    }

    pub fn commit_batch(&mut self, batch: BatchId, plan: Plan) {
        self.commit(plan);
        self.input(Input::Settled {
            batch,
            outcome: Outcome::Committed,
        });
    }

    /// Commits a plan as the leader's shell would: steps that do not fit are dropped.
    pub fn commit(&mut self, plan: Plan) {
        let mut draft = Draft::new(&self.state, self.now);
        for step in plan.steps {
            let _ = draft.add(step);
        }
        if draft.is_empty() {
            return;
        }
        let (_, commit, state) = draft.finish();
        self.state = state;
        self.input(Input::Committed(Arc::new(commit)));
    }

    pub fn act(&mut self, action: Action) {
        let mut plan = Plan::default();
        plan.push(Step::unguarded(action));
        self.commit(plan);
    }

    /// Lets time pass, with a tick whenever the dispatcher asks for one.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while let Some(at) = self.dispatcher.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    pub fn open(&mut self, node: NodeId, session: &str) -> StreamId {
        let description = NodeDescription {
            hostname: "host".into(),
            ..NodeDescription::default()
        };
        self.open_as(node, session, description)
    }

    /// A node says that its executor does not answer.
    pub fn knock(&mut self, node: NodeId, trouble: &str) -> StreamId {
        let mut description = NodeDescription::default();
        let label = types::node::EXECUTOR_TROUBLE_LABEL.to_owned();
        description.engine.labels.insert(label, trouble.to_owned());
        self.open_as(node, "", description)
    }

    fn open_as(&mut self, node: NodeId, session: &str, description: NodeDescription) -> StreamId {
        let stream = StreamId(self.fresh());
        self.input(Input::OpenSession(OpenSession {
            stream,
            node,
            description: Some(Arc::new(description)),
            session: session.into(),
            addr: "10.0.0.9".into(),
        }));
        stream
    }

    /// Opens a session and returns its id.
    pub fn register(&mut self, node: NodeId) -> String {
        let stream = self.open(node, "");
        self.pass(limits::BATCH_PACE);
        self.session_of(stream).expect("the session was announced")
    }

    pub fn session_of(&self, stream: StreamId) -> Option<String> {
        self.effects.iter().rev().find_map(|e| match e {
            Effect::SendSession { stream: s, message } if *s == stream => {
                Some(message.session.to_string())
            }
            _ => None,
        })
    }

    pub fn assignments(&mut self, node: NodeId, session: &str) -> StreamId {
        let stream = StreamId(self.fresh());
        self.input(Input::OpenAssignments {
            stream,
            node,
            session: session.into(),
        });
        stream
    }

    pub fn heartbeat(&mut self, node: NodeId, session: &str) -> Result<Answer, CallError> {
        let call = CallId(self.fresh());
        self.input(Input::Heartbeat {
            call,
            node,
            session: session.into(),
        });
        self.answer(call).expect("heartbeats are answered at once")
    }

    pub fn report(
        &mut self,
        node: NodeId,
        session: &str,
        updates: Vec<(TaskId, TaskStatus)>,
    ) -> CallId {
        let call = CallId(self.fresh());
        self.input(Input::UpdateStatus {
            call,
            node,
            session: session.into(),
            updates,
        });
        call
    }

    pub fn answer(&self, call: CallId) -> Option<Result<Answer, CallError>> {
        self.effects.iter().find_map(|e| match e {
            Effect::Answer { call: c, result } if *c == call => Some(result.clone()),
            _ => None,
        })
    }

    pub fn closed(&self, stream: StreamId) -> Option<CallError> {
        self.effects.iter().find_map(|e| match e {
            Effect::Close { stream: s, error } if *s == stream => Some(error.clone()),
            _ => None,
        })
    }

    pub fn proposals(&self) -> usize {
        let is_proposal = |e: &&Effect| matches!(e, Effect::Propose { .. });
        self.effects.iter().filter(is_proposal).count()
    }

    pub fn node(&self, id: NodeId) -> &Node {
        self.state.nodes().get(id).unwrap()
    }

    pub fn task_state(&self, id: TaskId) -> TaskState {
        self.state.tasks().get(id).unwrap().status.state
    }

    /// Adds a task that is assigned to a node and may read some secrets.
    pub fn add_task(&mut self, id: TaskId, node: NodeId, secrets: &[SecretId]) {
        for secret in secrets {
            self.add_secret(*secret);
        }
        let mut spec = TaskSpec {
            runtime: Runtime::Container(Box::default()),
            ..TaskSpec::default()
        };
        let references = secrets.iter().map(|id| SecretReference {
            secret_id: *id,
            secret_name: id.to_string(),
            file: Some(FileTarget::named("s")),
        });
        spec.container_mut().unwrap().secrets = references.collect();
        let task = Task {
            node_id: Some(node),
            status: status(TaskState::Assigned, "scheduler assigned task to node"),
            ..Task::new(
                id,
                ServiceSpec {
                    task: spec,
                    ..ServiceSpec::default()
                },
            )
        };
        self.act(Action::Create(Object::from(task)));
    }

    fn add_secret(&mut self, id: SecretId) {
        if self.state.secrets().contains(id) {
            return;
        }
        let secret = Secret {
            id,
            meta: Meta::default(),
            spec: SecretSpec {
                annotations: Annotations::named(id.to_string()),
                ..SecretSpec::default()
            },
            internal: false,
        };
        self.act(Action::Create(Object::from(secret)));
    }

    pub fn remove_task(&mut self, id: TaskId) {
        self.act(Action::Remove(Key::Task(id)));
    }
}

impl AgentView {
    /// Applies a message as an agent does, checking the chain and the order of changes.
    fn apply(&mut self, message: &Assignments) {
        if message.kind == AssignmentKind::Complete {
            assert_eq!(message.applies_to, 0, "a complete set builds on nothing");
            *self = Self::default();
        }
        assert_eq!(message.applies_to, self.sequence, "the chain is unbroken");
        self.sequence = message.results_in;
        for change in &message.changes {
            match change {
                AssignmentChange::Update(Item::Secret(s)) => {
                    self.secrets.insert(s.id);
                }
                AssignmentChange::Update(Item::Task(t)) => {
                    let spec = t.spec().container().unwrap();
                    let has = |id| self.secrets.contains(id);
                    let live = t.status.state <= TaskState::Running;
                    let complete = spec.secrets.iter().all(|s| has(&s.secret_id));
                    assert!(!live || complete, "secrets come before the task");
                    self.tasks.insert(t.id, t.clone());
                }
                AssignmentChange::Remove(ItemId::Task(id)) => {
                    assert!(self.tasks.remove(id).is_some(), "removed twice");
                }
                AssignmentChange::Remove(ItemId::Secret(id)) => {
                    assert!(self.secrets.remove(id), "removed twice");
                }
                _ => panic!("no configs in these tests"),
            }
        }
    }
}
