//! The process executor with real processes and real shims.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use executor::conformance::{self, Script, Subject};
use executor::{
    BoxFuture, ExecError, Executor, ExitCause, FoundState, LogOptions, NodeFacts, TaskRun, testing,
};
use executor_process::{ProcessConfig, ProcessExecutor};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use types::{ContainerSpec, Driver, NodeId};

const DEADLINE: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

/// Waits for a condition that nothing announces.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} takes too long");
        tokio::task::yield_now().await;
    }
}

struct Node {
    dir: TempDir,
    id: NodeId,
}

impl Node {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            id: testing::node_id(),
        }
    }

    fn open(&self) -> Arc<ProcessExecutor> {
        let config = ProcessConfig {
            shim: vec![env!("CARGO_BIN_EXE_task-shim").to_owned()],
            ..ProcessConfig::new(self.dir.path().join("tasks"))
        };
        Arc::new(ProcessExecutor::open(config).unwrap())
    }

    fn run(&self, fill: impl FnOnce(&mut ContainerSpec)) -> TaskRun {
        self.own(testing::task("web", |spec| {
            spec.stop_grace_period = Some(Duration::from_secs(1));
            fill(spec);
        }))
    }

    fn own(&self, task: types::Task) -> TaskRun {
        let facts = NodeFacts {
            id: Some(self.id),
            ..NodeFacts::default()
        };
        TaskRun::new(Arc::new(task), facts)
    }

    fn task_dir(&self, run: &TaskRun) -> std::path::PathBuf {
        self.dir.path().join("tasks").join(run.id().to_string())
    }

    fn shim_pid(&self, run: &TaskRun) -> Pid {
        let text = fs::read_to_string(self.task_dir(run).join("begun.json")).unwrap();
        let digits: String = text
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        Pid::from_raw(digits.parse().unwrap())
    }
}

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

async fn output(executor: &dyn Executor, run: &TaskRun) -> String {
    let options = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let mut stream = within(executor.logs(run.id(), options)).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = within(stream.next()).await {
        text.push_str(&String::from_utf8_lossy(&chunk.unwrap().data));
    }
    text
}

async fn started(executor: &dyn Executor, run: &TaskRun) -> i32 {
    within(executor.prepare(run)).await.unwrap();
    within(executor.start(run)).await.unwrap().container.pid
}

impl Subject for Node {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Executor>> {
        let executor: Arc<dyn Executor> = self.open();
        Box::pin(std::future::ready(executor))
    }

    fn node(&self) -> NodeId {
        self.id
    }

    fn run(&self, script: Script) -> TaskRun {
        self.run(|spec| match script {
            Script::Run => spec.command = shell("exec sleep 1000"),
            Script::IgnoreStop => {
                spec.command = shell("trap '' TERM; while :; do sleep 1000; done");
            }
            Script::Exit(code) => {
                spec.command = shell(&format!("echo out 1; echo out 2; exit {code}"));
            }
            Script::Impossible => spec.image = "nginx".into(),
        })
    }
}

#[tokio::test]
async fn it_keeps_the_rules_of_every_executor() {
    conformance::check(&Node::new()).await;
}

#[tokio::test]
async fn the_command_sees_its_own_environment_directory_and_limits() {
    let (node, home) = (Node::new(), tempfile::tempdir().unwrap());
    let executor = node.open();
    let run = node.run(|spec| {
        spec.command = shell("env; pwd; ulimit -n; ps -o sid= -p $$ 2>/dev/null; echo $$ >&2");
        spec.env = vec!["A={{.Task.Slot}}".into()];
        spec.dir = home.path().display().to_string();
        spec.ulimits = vec![types::container::Ulimit {
            name: "nofile".into(),
            soft: 33,
            hard: 33,
        }];
    });
    let pid = started(&*executor, &run).await;
    assert!(within(executor.wait(run.id())).await.unwrap().is_success());
    let text = output(&*executor, &run).await;
    let has = |line: &str| text.lines().any(|l| l.trim() == line);
    assert!(has("A=1") && has("33") && has(&pid.to_string()), "{text}");
    assert!(has(&home.path().display().to_string()), "{text}");
    assert!(
        !text.contains("CARGO") && !text.contains("SWARM_"),
        "only its own: {text}"
    );
}

#[tokio::test]
async fn the_command_runs_as_its_user() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let node = Node::new();
    let executor = node.open();
    let run = node.run(|spec| {
        spec.command = shell("id -u; id -g; id -G; cat /proc/self/oom_score_adj");
        spec.user = "12:34".into();
        spec.groups = vec!["56".into()];
        spec.oom_score_adj = 77;
    });
    started(&*executor, &run).await;
    assert!(within(executor.wait(run.id())).await.unwrap().is_success());
    assert_eq!(output(&*executor, &run).await, "12\n34\n34 56\n77\n");
}

#[tokio::test]
async fn nothing_a_command_leaves_behind_outlives_it() {
    let node = Node::new();
    let executor = node.open();
    let run = node.run(|spec| {
        // One in the group, one that left the session and its parent.
        spec.command = shell(
            "sleep 1000 & echo $!; (setsid sh -c 'echo $$; exec sleep 1000' &) ; \
             read -t 0.3 x < /dev/zero; exit 5",
        );
        spec.command[0] = "/bin/bash".into();
    });
    if !Path::new("/bin/bash").exists() {
        println!("skipped: needs bash");
        return;
    }
    started(&*executor, &run).await;
    let exit = within(executor.wait(run.id())).await.unwrap();
    assert_eq!(exit.code, 5);
    let text = output(&*executor, &run).await;
    let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(pids.len(), 2, "{text}");
    for pid in pids {
        until("the end of a leftover", || !is_running(pid)).await;
    }
}

#[tokio::test]
async fn an_exit_while_no_agent_was_there_is_known_afterwards() {
    let node = Node::new();
    let gate = node.dir.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = node.run(|spec| {
        spec.command = shell(&format!(
            "echo before; cat {}; echo after; exit 9",
            gate.display()
        ));
    });
    let executor = node.open();
    let pid = started(&*executor, &run).await;
    drop(executor);
    fs::write(&gate, "").unwrap();
    until("the end of the command", || !is_running(pid)).await;
    let executor = node.open();
    let exit = within(executor.wait(run.id())).await.unwrap();
    assert_eq!((exit.code, exit.cause), (9, ExitCause::Ended));
    assert_eq!(output(&*executor, &run).await, "before\nafter\n");
}

#[tokio::test]
async fn a_killed_shim_loses_the_exit_code_and_never_the_task() {
    let node = Node::new();
    let executor = node.open();
    let run = node.run(|spec| spec.command = shell("exec sleep 1000"));
    let pid = started(&*executor, &run).await;
    let shim = node.shim_pid(&run);
    kill(shim, Signal::SIGKILL).unwrap();
    until("the end of the shim", || !is_running(shim.as_raw())).await;
    assert!(is_running(pid), "the command runs on");
    let found = within(executor.adopt(node.id)).await.unwrap();
    assert!(
        matches!(found[0].state, FoundState::Running(_)),
        "{found:?}"
    );
    assert_eq!(
        within(executor.start(&run)).await.unwrap().container.pid,
        pid,
        "not doubled"
    );
    within(executor.stop(run.id())).await.unwrap();
    assert!(!is_running(pid));
    assert_eq!(
        within(executor.wait(run.id())).await.unwrap().cause,
        ExitCause::Lost
    );
    let again = within(executor.start(&run)).await;
    assert!(
        matches!(again, Err(ExecError::Exited(_))),
        "what was lost never runs again"
    );
}

#[tokio::test]
async fn a_command_that_cannot_be_run_says_why() {
    let node = Node::new();
    let executor = node.open();
    let run = node.run(|spec| {
        spec.command = shell("true");
        spec.dir = "/no/such/directory".into();
    });
    within(executor.prepare(&run)).await.unwrap();
    let error = within(executor.start(&run)).await.unwrap_err();
    assert!(matches!(&error, ExecError::Rejected(why) if why.contains("/no/such/directory")));
    let again = within(executor.start(&run)).await.unwrap_err();
    assert!(again.to_string().contains("/no/such/directory"), "{again}");
}

#[tokio::test]
async fn a_command_that_cannot_be_written_down_does_not_run() {
    let node = Node::new();
    let executor = node.open();
    let mark = node.dir.path().join("ran");
    let script = format!("sleep 1; touch {}; sleep 900", mark.display());
    let run = node.run(|spec| spec.command = shell(&script));
    within(executor.prepare(&run)).await.unwrap();
    // The file that says which process it is cannot be made, as on a full disk.
    fs::create_dir(node.task_dir(&run).join("child.json")).unwrap();
    let error = within(executor.start(&run)).await.unwrap_err();
    assert!(matches!(error, ExecError::Rejected(_)), "{error}");
    let shim = node.task_dir(&run).display().to_string();
    let of_task = |pid: &str| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains(&shim) || line.contains(&mark.display().to_string())
    };
    let is_left = || {
        let mut all = fs::read_dir("/proc").unwrap().flatten();
        all.any(|entry| entry.file_name().to_str().is_some_and(of_task))
    };
    until("the end of command and shim", || !is_left()).await;
    assert!(!mark.exists(), "it ran");
}

#[tokio::test]
async fn a_command_gets_nothing_that_the_agents_starter_had_open() {
    let node = Node::new();
    let executor = node.open();
    let path = node.dir.path().join("lock");
    // Open for this process and, unlike what Rust opens, for all that it starts.
    let flags = nix::fcntl::OFlag::O_CREAT | nix::fcntl::OFlag::O_RDWR;
    let _held = nix::fcntl::open(&path, flags, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let run = node.run(|spec| spec.command = shell("sleep 900"));
    within(executor.prepare(&run)).await.unwrap();
    let pid = started(executor.as_ref(), &run).await;
    for process in [pid, node.shim_pid(&run).as_raw()] {
        let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let files: Vec<_> = open.map(|e| fs::read_link(e.unwrap().path())).collect();
        assert!(
            !files.iter().flatten().any(|file| *file == path),
            "{files:?}"
        );
    }
    within(executor.remove(run.id())).await.unwrap();
}

#[tokio::test]
async fn output_is_kept_within_its_bounds() {
    let node = Node::new();
    let executor = node.open();
    let task = testing::task_of("web", |spec| {
        let container = spec.task.container_mut().unwrap();
        container.command = shell("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done");
        let options = [("max-size", "4k"), ("max-file", "2")];
        spec.task.log_driver = Some(Driver {
            name: "json-file".into(),
            options: options.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        });
    });
    let run = node.own(task);
    started(&*executor, &run).await;
    within(executor.wait(run.id())).await.unwrap();
    let files = fs::read_dir(node.task_dir(&run).join("logs")).unwrap();
    let sizes: Vec<_> = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .collect();
    assert!(
        sizes.len() <= 2 && sizes.iter().all(|size| *size <= 5000),
        "{sizes:?}"
    );
    assert!(output(&*executor, &run).await.ends_with("line 1999\n"));
}
