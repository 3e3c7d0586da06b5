//! The container engine of a node, following a script: how a container behaves follows from its
//! image and from chance.

use sim_script::params::{MS, SEC};
use types::task::ContainerStatus;
use types::{ServiceId, SlotKey, Task, TaskId};
use worker::{Attempt, Command, Ended, Failure, Input, Outcome, Run, Started};

use crate::agent::Doing;
use crate::show::short;
use crate::world::{AgentEvent, Event, World};

/// How far a container got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Prepared,
    Running,
    Exited(i32),
}

/// A container on a node.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) stage: Stage,
    pub(crate) slot: Option<(ServiceId, SlotKey)>,
    pub(crate) since: u64,
    /// Counts starts.
    pub(crate) runs: u64,
    image: String,
    is_job: bool,
}

fn image(task: &Task) -> String {
    let container = task.spec().container();
    container.map_or_else(String::new, |c| c.image.clone())
}

/// Whether its container runs and is never healthy.
fn is_sick(task: &Task) -> bool {
    image(task) == "sick"
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

impl World {
    /// A command begins; an older one of the task is abandoned.
    pub(crate) fn launch(&mut self, at: usize, task: TaskId, new: Doing) {
        let had_effect = self.rng.chance(5_000);
        let (command, attempt) = (name(&new.command), new.attempt);
        self.note(("a", at), attempt.0, || {
            format!("{command} {}", short(task))
        });
        if matches!(new.command, Command::Stop | Command::Kill) {
            self.check_stop(at, task);
        }
        let lag = self.command_time(at, task, &new.command);
        let old = self.agents[at].doing.remove(&task);
        if let Some(old) = old.filter(|_| had_effect) {
            self.execute(at, task, &old.command);
        }
        self.agents[at].doing.insert(task, new);
        if let Some(lag) = lag {
            self.agent_later(at, lag, AgentEvent::Done(task, attempt));
        }
    }

    /// How long a command takes; `None` if it never ends by itself.
    fn command_time(&mut self, at: usize, task: TaskId, command: &Command) -> Option<u64> {
        let image = match command {
            Command::Prepare(run) | Command::Start(run) => image(&run.task),
            _ => {
                let thing = self.agents[at].things.get(&task);
                thing.map_or_else(String::new, |t| t.image.clone())
            }
        };
        let slow = image == "slow";
        let stubborn = image == "stubborn";
        let (low, high) = match command {
            Command::Prepare(_) if slow => (2 * SEC, 20 * SEC),
            Command::Prepare(_) => (10 * MS, 500 * MS),
            Command::Start(_) if slow => (SEC, 10 * SEC),
            Command::Start(_) if image == "sick" && !self.calm => (2 * SEC, 20 * SEC),
            Command::Start(_) => (10 * MS, 500 * MS),
            Command::Wait => (0, 5 * MS),
            // It ignores the signal, and the engine kills it after the grace period.
            Command::Stop if stubborn && self.rng.chance(8_000) => (10 * SEC, 11 * SEC),
            Command::Stop if stubborn && !self.calm => return None,
            Command::Stop => (5 * MS, 2 * SEC),
            Command::Kill | Command::Remove => (5 * MS, 300 * MS),
        };
        Some(self.rng.between(low, high))
    }

    /// A command has taken its time.
    pub(crate) fn done(&mut self, at: usize, task: TaskId, attempt: Attempt) {
        let agent = &mut self.agents[at];
        let is_current = agent.doing.get(&task).is_some_and(|d| d.attempt == attempt);
        if !is_current {
            return;
        }
        let Some(doing) = agent.doing.remove(&task) else {
            return;
        };
        let outcome = if agent.engine_down_until > self.now {
            let text = "the container engine does not answer";
            Some(Outcome::Failed(Failure::Retry(text.into())))
        } else {
            self.execute(at, task, &doing.command)
        };
        match outcome {
            Some(outcome) => self.work(
                at,
                Input::Done {
                    task,
                    attempt,
                    outcome,
                },
            ),
            None => drop(self.agents[at].doing.insert(task, doing)),
        }
    }

    /// What a command does to the node. `None`: it waits for the end of the container.
    pub(crate) fn execute(&mut self, at: usize, id: TaskId, command: &Command) -> Option<Outcome> {
        let stage = self.agents[at].things.get(&id).map(|t| t.stage);
        let lies = self.bug == Some(crate::bugs::Bug::LieAboutStop);
        let again = self.bug == Some(crate::bugs::Bug::StartAgain);
        let missing = || Outcome::Failed(Failure::Missing("no such container".into()));
        let outcome = match (command, stage) {
            (Command::Prepare(run), None) => {
                self.check_run(at, run);
                return Some(self.prepare(at, &run.task));
            }
            (Command::Prepare(_), _) => Outcome::Prepared,
            (Command::Start(run), Some(Stage::Prepared)) => {
                if is_sick(&run.task) && !self.calm {
                    self.mark("container never healthy");
                    return Some(Outcome::Failed(Failure::Fatal("it is not healthy".into())));
                }
                self.start(at, id);
                started(id)
            }
            (Command::Start(_), Some(Stage::Running)) => started(id),
            (Command::Start(_), Some(Stage::Exited(_))) if again => {
                self.start(at, id);
                started(id)
            }
            (Command::Start(_) | Command::Wait, Some(Stage::Exited(code))) => ended(id, code),
            (Command::Start(_) | Command::Wait, None) => missing(),
            (Command::Wait, _) => return None,
            (Command::Stop | Command::Kill, None) => missing(),
            (Command::Stop | Command::Kill, Some(Stage::Running)) if lies => Outcome::Stopped,
            (Command::Remove, Some(Stage::Running)) if lies => Outcome::Removed,
            (Command::Stop | Command::Kill, Some(_)) => {
                if let Some(thing) = self.agents[at].things.get_mut(&id)
                    && thing.stage == Stage::Running
                {
                    thing.stage = Stage::Exited(143);
                }
                Outcome::Stopped
            }
            (Command::Remove, _) => {
                self.agents[at].things.remove(&id);
                Outcome::Removed
            }
        };
        Some(outcome)
    }

    /// X1: a task is given its own secrets and configs, and no others.
    fn check_run(&mut self, at: usize, run: &Run) {
        let (mut secrets, mut configs) = (Vec::new(), Vec::new());
        if let Some(container) = run.task.spec().container() {
            secrets.extend(container.secrets.iter().map(|r| r.secret_id));
            configs.extend(container.configs.iter().map(|r| r.config_id));
        }
        self.mark_if(!secrets.is_empty(), "task with a secret prepared");
        self.mark_if(!configs.is_empty(), "task with a config prepared");
        let given_secrets = run.secrets.iter().map(|s| s.id);
        let given_configs = run.configs.iter().map(|c| c.id);
        if !given_secrets.eq(secrets) || !given_configs.eq(configs) {
            let text = format!(
                "a{at} gives task {} other secrets or configs than its own",
                run.task.id
            );
            self.violate("X1", text);
        }
    }

    fn prepare(&mut self, at: usize, task: &Task) -> Outcome {
        let image = image(task);
        let pulls = match image.as_str() {
            "missing" if !self.calm => {
                return Outcome::Failed(Failure::Fatal("no such image".into()));
            }
            "flaky" => self.calm || self.rng.chance(5_000),
            _ => true,
        };
        if !pulls {
            return Outcome::Failed(Failure::Retry("the registry does not answer".into()));
        }
        let thing = Thing {
            stage: Stage::Prepared,
            slot: task.service_id.map(|s| (s, SlotKey::of(task))),
            since: self.now,
            runs: 0,
            image,
            is_job: task.service_spec.mode.is_job(),
        };
        self.agents[at].things.insert(task.id, thing);
        Outcome::Prepared
    }

    fn start(&mut self, at: usize, id: TaskId) {
        let (now, trouble, calm) = (self.now, self.params.trouble, self.calm);
        let Some(thing) = self.agents[at].things.get_mut(&id) else {
            return;
        };
        thing.stage = Stage::Running;
        thing.since = now;
        thing.runs += 1;
        let (runs, is_job, image) = (thing.runs, thing.is_job, thing.image.clone());
        if runs > 1 {
            let text = format!("a{at} runs task {id} a second time");
            return self.violate("O1", text);
        }
        let fails = !calm && self.rng.chance(trouble);
        let (code, low, high) = match image.as_str() {
            _ if is_job => (i32::from(fails), 0, 8 * SEC),
            "crash" if !calm => (1, 0, 3 * SEC),
            "oneshot" if !calm => (0, 0, 5 * SEC),
            _ if fails => (1, 0, 60 * SEC),
            _ => return,
        };
        let lag = self.rng.between(low, high);
        self.after(lag, Event::Exit(at, id, runs, code));
    }

    /// A container ends by itself.
    pub(crate) fn exit(&mut self, at: usize, id: TaskId, run: u64, code: i32) {
        let things = &mut self.agents[at].things;
        let Some(thing) = things.get_mut(&id).filter(|t| t.runs == run) else {
            return;
        };
        if thing.stage == Stage::Running {
            thing.stage = Stage::Exited(code);
            self.note(("a", at), 21, || format!("{} exits with {code}", short(id)));
            self.wait_ends(at, id);
        }
    }

    /// Answers whoever waits for the end of a container.
    fn wait_ends(&mut self, at: usize, id: TaskId) {
        let doing = self.agents[at].doing.get(&id);
        let Some(doing) = doing.filter(|d| matches!(d.command, Command::Wait)) else {
            return;
        };
        let attempt = doing.attempt;
        let lag = self.rng.under(20 * MS);
        self.agent_later(at, lag, AgentEvent::Done(id, attempt));
    }

    /// Every container of a node ends, and the engine does not answer for a while.
    pub(crate) fn engine_restarts(&mut self, at: usize, down: u64) {
        let agent = &mut self.agents[at];
        agent.engine_down_until = self.now + down;
        let mut ended = Vec::new();
        for (id, thing) in &mut agent.things {
            if thing.stage == Stage::Running {
                thing.stage = Stage::Exited(137);
                ended.push(*id);
            }
        }
        self.note(("a", at), 22, || "its engine restarts".into());
        self.mark("engine restart");
        for id in ended {
            self.wait_ends(at, id);
        }
    }
}

fn container(id: TaskId, exit_code: i32) -> ContainerStatus {
    ContainerStatus {
        container_id: format!("c-{id}"),
        pid: 1,
        exit_code,
    }
}

fn started(id: TaskId) -> Outcome {
    Outcome::Started(Started {
        container: container(id, 0),
        ports: Vec::new(),
    })
}

fn ended(id: TaskId, code: i32) -> Outcome {
    Outcome::Ended(Ended {
        success: code == 0,
        reason: format!("task: non-zero exit ({code})"),
        container: container(id, code),
    })
}
