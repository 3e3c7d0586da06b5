//! The simulated executor keeps every executor's rules and its own script.

use std::sync::Arc;
use std::time::Duration;

use executor::conformance::{self, Script as Wanted, Subject};
use executor::testing;
use executor::{BoxFuture, ExecError, Executor, ExitCause, NodeFacts, TaskRun};
use executor_sim::{Script, SimConfig, SimEngine, SimExecutor};
use types::{NodeId, Task};

struct Sim {
    engine: Arc<SimEngine>,
    node: NodeId,
}

impl Subject for Sim {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Executor>> {
        let executor: Arc<dyn Executor> = Arc::new(SimExecutor::attach(Arc::clone(&self.engine)));
        Box::pin(std::future::ready(executor))
    }

    fn node(&self) -> NodeId {
        self.node
    }

    fn run(&self, script: Wanted) -> TaskRun {
        let labels: &[(&str, &str)] = match script {
            Wanted::Run => &[("sim.start-delay-ms", "5")],
            Wanted::IgnoreStop => &[("sim.stop-delay-ms", "3600000")],
            Wanted::Exit(0) => &[("sim.run-ms", "1"), ("sim.log", "out 1\nout 2")],
            Wanted::Exit(_) => &[
                ("sim.run-ms", "1"),
                ("sim.exit-code", "3"),
                ("sim.log", "out 1\nout 2"),
            ],
            Wanted::Impossible => &[("sim.fail-prepare", "no such image")],
        };
        run(self.node, labels)
    }
}

fn task(labels: &[(&str, &str)]) -> Task {
    testing::task_of("web", |spec| {
        let owned = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        spec.annotations.labels = owned.collect();
    })
}

fn run(node: NodeId, labels: &[(&str, &str)]) -> TaskRun {
    let facts = NodeFacts {
        id: Some(node),
        ..NodeFacts::default()
    };
    TaskRun::new(Arc::new(task(labels)), facts)
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_rules_of_every_executor() {
    let subject = Sim {
        engine: Arc::new(SimEngine::new(SimConfig::default())),
        node: testing::node_id(),
    };
    conformance::check(&subject).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_takes_the_times_its_labels_say() {
    let executor = SimExecutor::new(SimConfig::default());
    let labels = [
        ("sim.prepare-delay-ms", "100"),
        ("sim.start-delay-ms", "200"),
        ("sim.run-ms", "300"),
    ];
    let run = run(testing::node_id(), &labels);
    let begin = tokio::time::Instant::now();
    executor.prepare(&run).await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(100));
    executor.start(&run).await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(300));
    let exit = executor.wait(run.id()).await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(600));
    assert!(exit.is_success());
}

#[tokio::test(start_paused = true)]
async fn the_failure_rate_follows_from_the_seed() {
    let node = testing::node_id();
    let runs: Vec<_> = (0..200).map(|_| run(node, &[])).collect();
    let failures = async |seed| {
        let script = Script {
            fail_rate: 0.25,
            ..Script::default()
        };
        let executor = SimExecutor::new(SimConfig {
            seed,
            script,
            ..SimConfig::default()
        });
        let mut failed = Vec::new();
        for run in &runs {
            executor.prepare(run).await.unwrap();
            failed.push(executor.start(run).await.is_err());
        }
        failed
    };
    let first = failures(1).await;
    assert_eq!(first, failures(1).await);
    assert_ne!(first, failures(2).await);
    let count = first.iter().filter(|failed| **failed).count();
    assert!(
        (20..=80).contains(&count),
        "about a quarter of 200 fail, not {count}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_ends_everything_and_says_it_was_lost() {
    let executor = SimExecutor::new(SimConfig::default());
    let node = testing::node_id();
    let runs: Vec<_> = (0..10_000).map(|_| run(node, &[])).collect();
    for run in &runs {
        executor.prepare(run).await.unwrap();
        executor.start(run).await.unwrap();
    }
    assert_eq!(executor.engine().running_count(), 10_000);
    executor.engine().power_cut();
    assert_eq!(executor.engine().running_count(), 0);
    let exit = executor.wait(runs[0].id()).await.unwrap();
    assert_eq!(exit.cause, ExitCause::Lost);
}

#[tokio::test]
async fn a_label_that_cannot_be_understood_is_rejected() {
    let executor = SimExecutor::new(SimConfig::default());
    for labels in [
        [("sim.run-ms", "soon")],
        [("sim.fail-rate", "2")],
        [("sim.nope", "1")],
    ] {
        let error = executor
            .prepare(&run(testing::node_id(), &labels))
            .await
            .unwrap_err();
        assert!(matches!(error, ExecError::Rejected(_)), "{error}");
    }
}
