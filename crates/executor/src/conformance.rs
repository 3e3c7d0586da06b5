//! What every executor must do, as one test that each of them runs against itself.
//!
//! Panics with the rule that was broken; meant for tests only. It never sleeps for a result: it
//! waits for conditions, each with a deadline.

use std::sync::Arc;
use std::time::Duration;

use types::{NodeId, TaskId};

use crate::{
    BoxFuture, ExecError, Executor, Exit, ExitCause, FoundState, LogChunk, LogOptions, Output,
    Started, TaskRun,
};

/// Longest any single call may take; far above what a busy machine needs.
const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// Exit code of a task that was killed: 128 + SIGKILL.
const KILLED_CODE: i32 = 137;

/// What a task of the suite does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// Runs until its stop signal and then ends.
    Run,
    /// Runs and ignores its stop signal; its grace period is a second.
    IgnoreStop,
    /// Writes `out 1` and `out 2` to standard output, then ends with this exit code.
    Exit(i32),
    /// Cannot be honoured.
    Impossible,
}

/// An executor under test with the node it works for.
pub trait Subject: Sync {
    /// A new executor over the same node, as after a restart of the agent.
    fn open(&self) -> BoxFuture<'_, Arc<dyn Executor>>;
    /// The node.
    fn node(&self) -> NodeId;
    /// A new task that does what the script says.
    fn run(&self, script: Script) -> TaskRun;
}

/// Runs every rule.
pub async fn check(subject: &dyn Subject) {
    let executor = subject.open().await;
    describes_a_usable_node(&*executor).await;
    unknown_tasks_are_not_found_and_already_ended(subject, &*executor).await;
    calls_may_be_repeated(subject, &*executor).await;
    exit_codes_and_output_are_kept(subject, &*executor).await;
    a_dropped_start_is_finished_by_the_next(subject, &*executor).await;
    stop_kills_after_the_grace_period(subject, &*executor).await;
    impossible_specs_are_rejected(subject, &*executor).await;
    tasks_outlive_the_executor(subject, executor).await;
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(CALL_DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took longer than {CALL_DEADLINE:?}"))
}

async fn describes_a_usable_node(executor: &dyn Executor) {
    let description = within("describe", executor.describe()).await;
    let description = description.expect("a node can be described");
    assert!(!description.hostname.is_empty(), "a host name");
    assert!(!description.platform.os.is_empty(), "an operating system");
    assert!(
        !description.platform.architecture.is_empty(),
        "an architecture"
    );
    assert!(description.resources.nano_cpus > 0, "cpus");
    assert!(description.resources.memory_bytes > 0, "memory");
}

async fn unknown_tasks_are_not_found_and_already_ended(subject: &dyn Subject, e: &dyn Executor) {
    let run = subject.run(Script::Run);
    let id = run.id();
    let not_found = ExecError::NotFound(id);
    assert_eq!(
        within("start", e.start(&run)).await,
        Err(not_found.clone()),
        "start unprepared"
    );
    assert_eq!(
        within("wait", e.wait(id)).await,
        Err(not_found.clone()),
        "wait for nothing"
    );
    let logs = within("logs", e.logs(id, LogOptions::default())).await;
    assert_eq!(logs.err(), Some(not_found), "logs of nothing");
    assert_eq!(within("stop", e.stop(id)).await, Ok(()), "stop nothing");
    assert_eq!(within("kill", e.kill(id)).await, Ok(()), "kill nothing");
    assert_eq!(
        within("remove", e.remove(id)).await,
        Ok(()),
        "remove nothing"
    );
}

async fn started(executor: &dyn Executor, run: &TaskRun) -> Started {
    within("prepare", executor.prepare(run))
        .await
        .expect("a good spec can be prepared");
    within("start", executor.start(run))
        .await
        .expect("a prepared task starts")
}

async fn ended(executor: &dyn Executor, task: TaskId) -> Exit {
    within("wait", executor.wait(task))
        .await
        .expect("the end of a started task is seen")
}

async fn found(executor: &dyn Executor, node: NodeId, task: TaskId) -> Option<FoundState> {
    let all = within("adopt", executor.adopt(node))
        .await
        .expect("what is there can be listed");
    all.into_iter().find(|f| f.task_id == task).map(|f| f.state)
}

async fn calls_may_be_repeated(subject: &dyn Subject, e: &dyn Executor) {
    let run = subject.run(Script::Run);
    let id = run.id();
    for _ in 0..2 {
        within("prepare", e.prepare(&run))
            .await
            .expect("prepare may be repeated");
    }
    assert_eq!(
        found(e, subject.node(), id).await,
        Some(FoundState::Prepared)
    );
    let first = started(e, &run).await;
    let second = started(e, &run).await;
    assert_eq!(
        first, second,
        "a second start finds what the first one started"
    );
    for _ in 0..2 {
        assert_eq!(
            within("stop", e.stop(id)).await,
            Ok(()),
            "stop may be repeated"
        );
    }
    let exit = ended(e, id).await;
    assert_eq!(ended(e, id).await, exit, "an end long ago reads the same");
    assert_ne!(
        exit.cause,
        ExitCause::Lost,
        "the end of a stopped task is known"
    );
    let again = within("start", e.start(&run)).await;
    assert!(
        matches!(again, Err(ExecError::Exited(_))),
        "what ended never runs again: {again:?}"
    );
    for _ in 0..2 {
        assert_eq!(
            within("remove", e.remove(id)).await,
            Ok(()),
            "remove may be repeated"
        );
    }
    assert_eq!(
        found(e, subject.node(), id).await,
        None,
        "a removed task is gone"
    );
    assert_eq!(
        within("wait", e.wait(id)).await,
        Err(ExecError::NotFound(id))
    );
}

async fn exit_codes_and_output_are_kept(subject: &dyn Subject, e: &dyn Executor) {
    let run = subject.run(Script::Exit(3));
    let id = run.id();
    within("prepare", e.prepare(&run))
        .await
        .expect("a good spec can be prepared");
    match within("start", e.start(&run)).await {
        Ok(_) | Err(ExecError::Exited(_)) => {}
        Err(error) => panic!("a task that ends at once still starts: {error}"),
    }
    let exit = ended(e, id).await;
    assert_eq!(
        (exit.code, exit.cause),
        (3, ExitCause::Ended),
        "the exit code is kept"
    );
    assert!(!exit.is_success());
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    assert_eq!(
        lines(e, id, follow).await,
        ["out 1\n", "out 2\n"],
        "a follower sees all, then ends"
    );
    let tail = LogOptions {
        tail: Some(1),
        ..LogOptions::default()
    };
    assert_eq!(lines(e, id, tail).await, ["out 2\n"], "the last line");
    let errors_only = LogOptions {
        stdout: false,
        ..LogOptions::default()
    };
    assert!(
        lines(e, id, errors_only).await.is_empty(),
        "standard output was not asked for"
    );
    let since = chunks(e, id, LogOptions::default()).await[1].timestamp;
    let since = LogOptions {
        since,
        ..LogOptions::default()
    };
    assert_eq!(
        lines(e, id, since).await.last().map(String::as_str),
        Some("out 2\n"),
        "since"
    );
    assert_eq!(within("remove", e.remove(id)).await, Ok(()));

    let run = subject.run(Script::Exit(0));
    within("prepare", e.prepare(&run))
        .await
        .expect("a good spec can be prepared");
    let _ = within("start", e.start(&run)).await;
    assert!(
        ended(e, run.id()).await.is_success(),
        "exit code 0 is success"
    );
    assert_eq!(within("remove", e.remove(run.id())).await, Ok(()));
}

async fn chunks(e: &dyn Executor, task: TaskId, options: LogOptions) -> Vec<LogChunk> {
    let mut stream = within("logs", e.logs(task, options))
        .await
        .expect("output can be read");
    let mut chunks = Vec::new();
    while let Some(chunk) = within("next log chunk", stream.next()).await {
        chunks.push(chunk.expect("output reads to its end"));
    }
    for chunk in &chunks {
        assert!(chunk.timestamp.is_set(), "output carries its time");
        assert_eq!(
            chunk.output,
            Output::Stdout,
            "the suite writes to standard output only"
        );
    }
    chunks
}

async fn lines(e: &dyn Executor, task: TaskId, options: LogOptions) -> Vec<String> {
    let chunks = chunks(e, task, options).await;
    let text = |chunk: LogChunk| String::from_utf8_lossy(&chunk.data).into_owned();
    chunks.into_iter().map(text).collect()
}

async fn a_dropped_start_is_finished_by_the_next(subject: &dyn Subject, e: &dyn Executor) {
    let run = subject.run(Script::Run);
    within("prepare", e.prepare(&run))
        .await
        .expect("a good spec can be prepared");
    // One poll begins the start, then the future is dropped.
    tokio::select! {
        biased;
        _ = e.start(&run) => {}
        () = std::future::ready(()) => {}
    }
    let first = started(e, &run).await;
    assert_eq!(
        started(e, &run).await,
        first,
        "a dropped start did not double the task"
    );
    assert_eq!(
        within("remove", e.remove(run.id())).await,
        Ok(()),
        "remove ends what runs"
    );
    assert_eq!(found(e, subject.node(), run.id()).await, None);
}

async fn stop_kills_after_the_grace_period(subject: &dyn Subject, e: &dyn Executor) {
    let run = subject.run(Script::IgnoreStop);
    started(e, &run).await;
    let (exit, stopped) = tokio::join!(ended(e, run.id()), within("stop", e.stop(run.id())));
    assert_eq!(stopped, Ok(()));
    assert_eq!(
        exit.code, KILLED_CODE,
        "a task that ignores its stop signal is killed"
    );
    assert_eq!(within("remove", e.remove(run.id())).await, Ok(()));
}

async fn impossible_specs_are_rejected(subject: &dyn Subject, e: &dyn Executor) {
    let run = subject.run(Script::Impossible);
    match within("prepare", e.prepare(&run)).await {
        Err(ExecError::Rejected(reason)) => assert!(!reason.is_empty(), "a reason is given"),
        other => panic!("a spec that cannot be honoured is rejected, not {other:?}"),
    }
    assert_eq!(within("remove", e.remove(run.id())).await, Ok(()));
}

async fn tasks_outlive_the_executor(subject: &dyn Subject, executor: Arc<dyn Executor>) {
    let run = subject.run(Script::Run);
    let before = started(&*executor, &run).await;
    drop(executor);
    let executor = subject.open().await;
    let state = found(&*executor, subject.node(), run.id()).await;
    assert_eq!(
        state,
        Some(FoundState::Running(before.clone())),
        "it runs on and is found"
    );
    assert_eq!(
        started(&*executor, &run).await,
        before,
        "a start after the restart adopts it"
    );
    let wait = ended(&*executor, run.id());
    let kill = within("kill", executor.kill(run.id()));
    let (exit, killed) = tokio::join!(wait, kill);
    assert_eq!(killed, Ok(()));
    assert_eq!(
        exit.code, KILLED_CODE,
        "the end of an adopted task is seen with its exit code"
    );
    drop(executor);
    let executor = subject.open().await;
    let state = found(&*executor, subject.node(), run.id()).await;
    assert!(
        matches!(&state, Some(FoundState::Exited(exit)) if exit.code == KILLED_CODE),
        "the exit code outlives the executor: {state:?}"
    );
    assert_eq!(within("remove", executor.remove(run.id())).await, Ok(()));
}
