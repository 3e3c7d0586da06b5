//! A node around one worker: a scripted executor that outlives crashes, a database that may lose
//! its latest writes, and a manager.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use types::container::{FileTarget, SecretReference};
use types::task::{ContainerStatus, message};
use types::{
    Annotations, Meta, Runtime, Secret, SecretId, SecretSpec, ServiceSpec, Task, TaskId, TaskSpec,
    TaskState, TaskStatus, Timestamp,
};

use crate::*;

/// How far the executor got with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    Prepared,
    Running,
    Exited(i32),
}

pub struct UnderWay {
    pub attempt: Attempt,
    pub command: Command,
}

pub struct Rig {
    pub worker: Worker,
    pub now: Timestamp,
    /// What is on the node, whoever runs there.
    pub things: BTreeMap<TaskId, Thing>,
    /// How often each task was started, ever.
    pub starts: BTreeMap<TaskId, u32>,
    pub under_way: BTreeMap<TaskId, UnderWay>,
    pub writes: Vec<Write>,
    pub reports: Vec<(u64, Vec<(TaskId, TaskStatus)>)>,
    /// What the managers know, and what they assign.
    pub tasks: BTreeMap<TaskId, Arc<Task>>,
    /// Number of the last assignments message.
    pub sequence: u64,
    pub is_connected: bool,
    pub resyncs: u32,
    /// Answers of abandoned commands, still to come.
    pub late: Vec<(TaskId, Attempt, Outcome)>,
    /// All commands ever, by name.
    pub commands: Vec<(TaskId, &'static str)>,
}

pub fn task_id(n: u128) -> TaskId {
    TaskId::from_u128(n + 1).unwrap()
}

pub fn secret_id(n: u128) -> SecretId {
    SecretId::from_u128(n + 1).unwrap()
}

pub fn secret(n: u128) -> Arc<Secret> {
    Arc::new(Secret {
        id: secret_id(n),
        meta: Meta::default(),
        spec: SecretSpec {
            annotations: Annotations::named(format!("s{n}")),
            ..SecretSpec::default()
        },
        internal: false,
    })
}

pub fn task(id: TaskId, secrets: &[u128]) -> Task {
    let mut spec = TaskSpec {
        runtime: Runtime::Container(Box::default()),
        ..TaskSpec::default()
    };
    let references = secrets.iter().map(|n| SecretReference {
        secret_id: secret_id(*n),
        secret_name: format!("s{n}"),
        file: Some(FileTarget::named("s")),
    });
    spec.container_mut().unwrap().secrets = references.collect();
    Task {
        status: TaskStatus {
            state: TaskState::Assigned,
            message: message("scheduler assigned task to node"),
            ..TaskStatus::default()
        },
        ..Task::new(
            id,
            ServiceSpec {
                task: spec,
                ..ServiceSpec::default()
            },
        )
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Prepare(_) => "prepare",
        Command::Start(_) => "start",
        Command::Wait => "wait",
        Command::Stop => "stop",
        Command::Kill => "kill",
        Command::Remove => "remove",
    }
}

impl Rig {
    pub fn new() -> Self {
        let mut rig = Self {
            worker: Worker::default(),
            now: Timestamp::from_secs(1000),
            things: BTreeMap::new(),
            starts: BTreeMap::new(),
            under_way: BTreeMap::new(),
            writes: Vec::new(),
            reports: Vec::new(),
            tasks: BTreeMap::new(),
            sequence: 0,
            is_connected: false,
            resyncs: 0,
            late: Vec::new(),
            commands: Vec::new(),
        };
        rig.boot();
        rig
    }

    /// Starts the agent anew from what the database and the node kept.
    pub fn boot(&mut self) {
        self.worker = Worker::new(stored(&self.writes));
        self.late.clear();
        self.is_connected = false;
        self.reports.clear();
        self.input(Input::Tick);
        self.input(Input::Found(self.things.keys().copied().collect()));
    }

    /// The agent dies: commands under way took effect or not, the latest writes are lost.
    pub fn crash(&mut self, lost_writes: usize, applied: bool) {
        for (id, doing) in std::mem::take(&mut self.under_way) {
            if applied {
                self.execute(id, &doing.command);
            }
        }
        let kept = self.writes.len().saturating_sub(lost_writes);
        self.writes.truncate(kept);
        self.boot();
    }

    pub fn input(&mut self, input: Input) {
        for effect in self.worker.handle(input, self.now) {
            match effect {
                Effect::Execute {
                    task,
                    attempt,
                    command,
                } => self.launch(task, UnderWay { attempt, command }),
                Effect::Persist(write) => self.writes.push(write),
                Effect::Report { report, statuses } => self.reports.push((report, statuses)),
                Effect::Resync => {
                    self.resyncs += 1;
                    self.sequence = 0;
                }
            }
        }
    }

    fn launch(&mut self, task: TaskId, new: UnderWay) {
        self.commands.push((task, name(&new.command)));
        if let Command::Prepare(run) | Command::Start(run) = &new.command {
            let spec = run.task.spec().container().unwrap();
            let allowed: BTreeSet<_> = spec.secrets.iter().map(|s| s.secret_id).collect();
            let given: BTreeSet<_> = run.secrets.iter().map(|s| s.id).collect();
            assert_eq!(allowed, given, "a task gets what it references and no more");
        }
        // An abandoned command may have had its effect, and its answer may come late.
        if let Some(old) = self.under_way.insert(task, new)
            && self.now.0.is_multiple_of(2)
            && let Some(outcome) = self.execute(task, &old.command)
        {
            self.late.push((task, old.attempt, outcome));
        }
    }

    /// What a command does to the node, under the rules of executors.
    fn execute(&mut self, id: TaskId, command: &Command) -> Option<Outcome> {
        let thing = self.things.get(&id).copied();
        Some(match (command, thing) {
            (Command::Prepare(_), _) => {
                self.things.entry(id).or_insert(Thing::Prepared);
                Outcome::Prepared
            }
            (Command::Start(_), Some(Thing::Prepared)) => {
                *self.starts.entry(id).or_default() += 1;
                self.things.insert(id, Thing::Running);
                started()
            }
            (Command::Start(_), Some(Thing::Running)) => started(),
            (Command::Start(_) | Command::Wait, Some(Thing::Exited(code))) => ended(code),
            (Command::Start(_) | Command::Wait, None) => {
                Outcome::Failed(Failure::Missing("nothing of it is here".into()))
            }
            (Command::Wait, _) => return None,
            (Command::Stop | Command::Kill, thing) => {
                if thing == Some(Thing::Running) {
                    self.things.insert(id, Thing::Exited(143));
                }
                Outcome::Stopped
            }
            (Command::Remove, _) => {
                self.things.remove(&id);
                Outcome::Removed
            }
        })
    }

    /// Lets the command of a task finish; false if there is none or it waits.
    pub fn finish(&mut self, id: TaskId) -> bool {
        let Some(doing) = self.under_way.remove(&id) else {
            return false;
        };
        match self.execute(id, &doing.command) {
            Some(outcome) => self.answer(id, doing.attempt, outcome),
            None => {
                self.under_way.insert(id, doing);
                return false;
            }
        }
        true
    }

    pub fn fail(&mut self, id: TaskId, failure: Failure) {
        if let Some(doing) = self.under_way.remove(&id) {
            self.answer(id, doing.attempt, Outcome::Failed(failure));
        }
    }

    pub fn answer(&mut self, task: TaskId, attempt: Attempt, outcome: Outcome) {
        self.input(Input::Done {
            task,
            attempt,
            outcome,
        });
    }

    /// A running task ends by itself.
    pub fn exit(&mut self, id: TaskId, code: i32) {
        if self.things.get(&id) == Some(&Thing::Running) {
            self.things.insert(id, Thing::Exited(code));
        }
    }

    pub fn pass(&mut self, time: Duration) {
        for (task, attempt, outcome) in std::mem::take(&mut self.late) {
            self.answer(task, attempt, outcome);
        }
        let end = self.now.plus(time);
        while let Some(at) = self.worker.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    pub fn connect(&mut self) {
        self.is_connected = true;
        self.sequence = 0;
        self.input(Input::Connected);
        self.complete();
    }

    pub fn disconnect(&mut self) {
        self.is_connected = false;
        self.reports.clear();
        self.input(Input::Disconnected);
    }

    pub fn complete(&mut self) {
        let secrets = (0..4).map(|n| Change::UpdateSecret(secret(n)));
        let tasks: Vec<_> = self
            .tasks
            .values()
            .cloned()
            .map(Change::UpdateTask)
            .collect();
        // Tasks first: the worker must not depend on the order.
        let changes = tasks.into_iter().chain(secrets).collect();
        self.sequence = 1;
        self.send(true, "", changes);
    }

    /// Sends changes on top of what was sent, or nothing while there is no session.
    pub fn increment(&mut self, changes: Vec<Change>) {
        if !self.is_connected {
            return;
        }
        if self.sequence == 0 {
            return self.complete();
        }
        let applies_to = self.sequence.to_string();
        self.sequence += 1;
        self.send(false, &applies_to, changes);
    }

    fn send(&mut self, complete: bool, applies_to: &str, changes: Vec<Change>) {
        self.input(Input::Assignments(Assignments {
            complete,
            applies_to: applies_to.into(),
            results_in: self.sequence.to_string(),
            changes,
        }));
    }

    pub fn assign(&mut self, task: Task) {
        let task = Arc::new(task);
        self.tasks.insert(task.id, task.clone());
        self.increment(vec![Change::UpdateTask(task)]);
    }

    pub fn desire(&mut self, id: TaskId, state: TaskState) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let mut task = Task::clone(task);
        task.desired_state = task.desired_state.max(state);
        self.assign(task);
    }

    pub fn remove(&mut self, id: TaskId) {
        if self.tasks.remove(&id).is_some() {
            self.increment(vec![Change::RemoveTask(id)]);
        }
    }

    /// The manager takes the oldest report.
    pub fn take_report(&mut self) -> bool {
        if self.reports.is_empty() {
            return false;
        }
        let (report, statuses) = self.reports.remove(0);
        for (id, status) in statuses {
            let Some(task) = self.tasks.get(&id) else {
                continue;
            };
            if status.state < task.status.state || task.status.state.is_terminal() {
                continue;
            }
            let mut task = Task::clone(task);
            task.status = status;
            self.tasks.insert(id, Arc::new(task));
        }
        self.input(Input::Reported {
            report,
            accepted: true,
        });
        true
    }

    /// Everything goes well until nothing more happens.
    pub fn settle(&mut self) {
        for _ in 0..200 {
            let busy: Vec<_> = self.under_way.keys().copied().collect();
            let mut moved = false;
            for id in busy {
                moved |= self.finish(id);
            }
            while self.take_report() {
                moved = true;
            }
            if !moved && self.worker.wake_at().is_none() {
                return;
            }
            self.pass(Duration::from_secs(31));
        }
        panic!("the node does not come to rest");
    }

    pub fn state(&self, id: TaskId) -> TaskState {
        self.status(id).state
    }

    pub fn status(&self, id: TaskId) -> TaskStatus {
        let mut tasks = self.worker.tasks();
        tasks.find(|(t, _)| t.id == id).unwrap().1.clone()
    }
}

fn started() -> Outcome {
    Outcome::Started(Started {
        container: ContainerStatus {
            container_id: "c".into(),
            pid: 1,
            exit_code: 0,
        },
        ports: Vec::new(),
    })
}

fn ended(code: i32) -> Outcome {
    Outcome::Ended(Ended {
        success: code == 0,
        reason: format!("task: non-zero exit ({code})"),
        container: ContainerStatus {
            container_id: "c".into(),
            pid: 1,
            exit_code: code,
        },
    })
}

/// What a database that got these writes gives back.
fn stored(writes: &[Write]) -> Vec<StoredTask> {
    let mut tasks: BTreeMap<TaskId, StoredTask> = BTreeMap::new();
    for write in writes {
        match write {
            Write::Task { task, assigned } => {
                let status = tasks.remove(&task.id).and_then(|t| t.status);
                let stored = StoredTask {
                    task: task.clone(),
                    status,
                    assigned: *assigned,
                    incomplete: false,
                };
                tasks.insert(task.id, stored);
            }
            Write::Status { task, status } => {
                if let Some(stored) = tasks.get_mut(task) {
                    stored.status = Some(status.clone());
                }
            }
            Write::Forget(task) => drop(tasks.remove(task)),
        }
    }
    tasks.into_values().collect()
}
