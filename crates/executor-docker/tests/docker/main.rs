//! The Docker executor against the machine's own engine. Skipped, with the reason printed, where
//! there is none; a failure there if `CI` is set.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use executor::conformance::{self, Script, Subject};
use executor::{
    BoxFuture, ExecError, Executor, ExitCause, FileKind, FoundState, TaskFile, TaskRun,
};
use executor_docker::{ConnectError, DockerConfig, DockerExecutor, EngineAddress, PullPolicy};
use support::{Relay, TestNode, docker, engine_is_there, output, shell};
use types::container::{FileTarget, Healthcheck, Mount, MountKind, TmpfsOptions, Ulimit};
use types::service::{EndpointSpec, PortConfig, PublishMode};
use types::{NodeId, Resources, SecretBytes};

const DEADLINE: Duration = Duration::from_secs(60);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

async fn run_to_end(executor: &DockerExecutor, run: &TaskRun) -> (i32, String) {
    within(executor.prepare(run)).await.unwrap();
    within(executor.start(run)).await.unwrap();
    let exit = within(executor.wait(run.id())).await.unwrap();
    let text = within(output(executor, run)).await;
    within(executor.remove(run.id())).await.unwrap();
    (exit.code, text)
}

struct Docker(TestNode);

impl Subject for Docker {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Executor>> {
        Box::pin(async { self.0.open().await as Arc<dyn Executor> })
    }

    fn node(&self) -> NodeId {
        self.0.id
    }

    fn run(&self, script: Script) -> TaskRun {
        self.0.run(|spec| match script {
            Script::Run => spec.command = shell("trap 'exit 0' TERM; while :; do sleep 0.1; done"),
            Script::IgnoreStop => spec.command = shell("trap '' TERM; while :; do sleep 1; done"),
            Script::Exit(code) => {
                spec.command = shell(&format!("echo out 1; echo out 2; exit {code}"));
            }
            Script::Impossible => spec.stop_signal = "SIGNOPE".into(),
        })
    }
}

#[tokio::test]
async fn it_keeps_the_rules_of_every_executor() {
    if engine_is_there() {
        conformance::check(&Docker(TestNode::new())).await;
    }
}

#[tokio::test]
async fn the_container_sees_what_the_spec_says() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let executor = node.open().await;
    let script = "echo $A $PWD; hostname; id -u; id -G; cat /etc/hosts | grep extra; \
                  ulimit -n; touch /ro 2>&1 | wc -l; ls -d /scratch; cat /proc/sys/kernel/msgmax";
    let run = node.run_of(|service| {
        service.task.resources.limits = Some(Resources {
            nano_cpus: 500_000_000,
            memory_bytes: 32 << 20,
            generic: vec![],
        });
        let spec = service.task.container_mut().unwrap();
        spec.command = shell(script);
        spec.env = vec!["A={{.Node.Hostname}}".into()];
        spec.dir = "/tmp".into();
        spec.hostname = "h-{{.Task.Slot}}".into();
        spec.user = "7:8".into();
        spec.groups = vec!["9".into()];
        spec.hosts = vec!["10.1.2.3 extra".into()];
        spec.read_only = true;
        spec.init = Some(true);
        spec.capability_drop = vec!["ALL".into()];
        spec.sysctls.insert("kernel.msgmax".into(), "4096".into());
        spec.ulimits = vec![Ulimit {
            name: "nofile".into(),
            soft: 64,
            hard: 64,
        }];
        spec.mounts = vec![Mount {
            kind: MountKind::Tmpfs,
            target: "/scratch".into(),
            tmpfs: Some(TmpfsOptions {
                size_bytes: 65536,
                mode: 0o1777,
                options: "noexec".into(),
            }),
            ..Mount::default()
        }];
    });
    let (code, text) = run_to_end(&executor, &run).await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..4], ["n1 /tmp", "h-1", "7", "8 9"], "{text}");
    assert!(lines[4].starts_with("10.1.2.3"), "{text}");
    assert_eq!(lines[5..], ["64", "1", "/scratch", "4096"], "{text}");
    assert_eq!(code, 0);
}

#[tokio::test]
async fn a_task_with_a_health_check_starts_when_it_is_healthy_and_ends_when_it_is_not() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let executor = node.open().await;
    let check = |test: &str| Healthcheck {
        test: vec!["CMD-SHELL".into(), test.into()],
        interval: Some(Duration::from_millis(200)),
        timeout: Some(Duration::from_secs(10)),
        retries: 2,
        ..Healthcheck::default()
    };
    let ready = node.run(|spec| {
        spec.command = shell("sleep 0.5; echo > /tmp/ready; exec sleep 1000");
        spec.healthcheck = Some(Healthcheck {
            // On a busy machine the first checks may come before the file.
            start_period: Some(DEADLINE),
            ..check("cat /tmp/ready")
        });
        spec.stop_signal = "SIGKILL".into();
    });
    within(executor.prepare(&ready)).await.unwrap();
    let started = within(executor.start(&ready)).await.unwrap();
    let files = docker(&["exec", &started.container.container_id, "ls", "/tmp"]).unwrap();
    assert_eq!(files, "ready", "start returned when the check said yes");
    docker(&[
        "exec",
        &started.container.container_id,
        "busybox",
        "rm",
        "/tmp/ready",
    ])
    .unwrap();
    let exit = within(executor.wait(ready.id())).await.unwrap();
    assert_eq!(exit.cause, ExitCause::Unhealthy, "{exit}");

    let never = node.run(|spec| {
        spec.command = shell("exec sleep 1000");
        spec.healthcheck = Some(check("false"));
        spec.stop_signal = "SIGKILL".into();
    });
    within(executor.prepare(&never)).await.unwrap();
    match within(executor.start(&never)).await {
        Err(ExecError::Exited(exit)) => assert_eq!(exit.cause, ExitCause::Unhealthy),
        other => panic!("a task that never gets healthy does not start: {other:?}"),
    }
}

#[tokio::test]
async fn secrets_arrive_in_memory_also_with_a_read_only_root() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let executor = node.open().await;
    let mut run = node.run(|spec| {
        spec.command = shell(
            "cat /run/secrets/password /conf; stat -c %u:%g:%a /run/secrets/password; \
             (echo x >> /run/secrets/password) 2>/dev/null || echo refused",
        );
        spec.read_only = true;
    });
    let file = |kind, name: &str, content: &str, uid: &str| TaskFile {
        kind,
        name: name.into(),
        target: FileTarget {
            name: name.into(),
            uid: uid.into(),
            gid: "0".into(),
            mode: 0o400,
        },
        content: SecretBytes::new(content.as_bytes().to_vec()),
    };
    run.files = vec![
        file(FileKind::Secret, "password", "hunter2\n", "5"),
        file(FileKind::Config, "conf", "setting\n", "0"),
    ];
    let (code, text) = run_to_end(&executor, &run).await;
    assert_eq!(text, "hunter2\nsetting\n5:0:400\nrefused\n");
    assert_eq!(code, 0);
    assert!(
        !node.files_dir.join(run.id().to_string()).exists(),
        "files go with the task"
    );
}

#[tokio::test]
async fn a_port_left_to_the_engine_is_reported_with_its_number() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let executor = node.open().await;
    let run = node.run_of(|service| {
        service.task.container_mut().unwrap().command = shell("exec sleep 1000");
        service.endpoint = Some(EndpointSpec {
            ports: vec![PortConfig {
                target_port: 80,
                publish_mode: PublishMode::Host,
                ..PortConfig::default()
            }],
            ..EndpointSpec::default()
        });
    });
    within(executor.prepare(&run)).await.unwrap();
    let started = within(executor.start(&run)).await.unwrap();
    assert_eq!(started.ports.len(), 1, "{:?}", started.ports);
    assert_eq!(started.ports[0].target_port, 80);
    assert!(started.ports[0].published_port > 0);
    within(executor.remove(run.id())).await.unwrap();
}

#[tokio::test]
async fn failures_are_told_in_one_sentence() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let executor = node.open().await;
    let missing = node.run(|spec| spec.image = "127.0.0.1:1/missing:1".into());
    let error = within(executor.prepare(&missing)).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ExecError::Rejected(_)));
    assert!(
        text.starts_with("image \"127.0.0.1:1/missing:1\" is not on this node"),
        "{text}"
    );

    let source = node.run(|spec| {
        spec.mounts = vec![Mount {
            source: "/no/such/source".into(),
            target: "/a".into(),
            ..Mount::default()
        }];
    });
    let error = within(executor.prepare(&source)).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/source"), "{error}");

    let command = node.run(|spec| spec.command = vec!["/no/such/command".into()]);
    within(executor.prepare(&command)).await.unwrap();
    let error = within(executor.start(&command)).await.unwrap_err();
    assert!(matches!(&error, ExecError::Rejected(why) if why.contains("/no/such/command")));
}

#[tokio::test]
async fn an_unreachable_registry_does_not_stop_an_image_that_is_on_the_node() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let config = DockerConfig {
        pull: PullPolicy::Always,
        ..node.config()
    };
    let executor = DockerExecutor::connect(config).await.unwrap();
    // Nothing listens on that registry's port.
    let image = "127.0.0.1:1/swarmd-test/busybox:1";
    docker(&["tag", support::IMAGE, image]).unwrap();
    let run = node.run(|spec| {
        spec.image = image.into();
        spec.command = shell("exit 4");
    });
    let (code, _) = run_to_end(&executor, &run).await;
    docker(&["rmi", image]).unwrap();
    assert_eq!(code, 4);
}

#[tokio::test]
async fn a_name_taken_by_a_stranger_is_refused_and_the_stranger_left_alone() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let executor = node.open().await;
    let run = node.run(|spec| spec.command = shell("exec sleep 1000"));
    let name = types::naming::task_name(&run.task);
    let stranger = docker(&["create", "--name", &name, support::IMAGE, "/bin/true"]).unwrap();
    let error = within(executor.prepare(&run)).await.unwrap_err();
    within(executor.remove(run.id())).await.unwrap();
    let still_there = docker(&["rm", "-f", &stranger]);
    assert!(error.to_string().contains(&name), "{error}");
    assert!(still_there.is_ok(), "{still_there:?}");
}

#[tokio::test]
async fn a_container_removed_behind_our_back_is_lost() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let executor = node.open().await;
    let run = node.run(|spec| spec.command = shell("exec sleep 1000"));
    within(executor.prepare(&run)).await.unwrap();
    let started = within(executor.start(&run)).await.unwrap();
    let wait = tokio::spawn({
        let (executor, id) = (Arc::clone(&executor), run.id());
        async move { executor.wait(id).await }
    });
    let found = within(executor.adopt(node.id)).await.unwrap();
    assert!(matches!(found[0].state, FoundState::Running(_)));
    docker(&["rm", "-f", &started.container.container_id]).unwrap();
    let exit = within(wait).await.unwrap().unwrap();
    // The engine kills first; whoever looks between kill and removal sees the kill.
    assert!(exit.cause == ExitCause::Lost || exit.code == 137, "{exit}");
}

#[tokio::test]
async fn many_starts_at_once_all_succeed() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let executor = node.open().await;
    let runs: Vec<_> = (0..12)
        .map(|_| node.run(|spec| spec.command = shell("exec sleep 1000")))
        .collect();
    let mut group = tokio::task::JoinSet::new();
    for run in &runs {
        let (executor, run) = (Arc::clone(&executor), run.clone());
        group.spawn(async move {
            executor.prepare(&run).await?;
            executor.start(&run).await
        });
    }
    while let Some(result) = within(group.join_next()).await {
        result.unwrap().unwrap();
    }
    assert_eq!(
        within(executor.adopt(node.id)).await.unwrap().len(),
        runs.len()
    );
}

#[tokio::test]
async fn an_end_while_the_engine_was_out_of_reach_is_seen_when_it_is_back() {
    if !engine_is_there() {
        return;
    }
    let node = TestNode::new();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let relay = Relay::open(&socket);
    let config = DockerConfig {
        address: EngineAddress::Unix(socket.clone()),
        ..node.config()
    };
    let executor = Arc::new(DockerExecutor::connect(config).await.unwrap());
    let run = node.run(|spec| spec.command = shell("exec sleep 1000"));
    within(executor.prepare(&run)).await.unwrap();
    let started = within(executor.start(&run)).await.unwrap();
    let mut wait = tokio::spawn({
        let (executor, id) = (Arc::clone(&executor), run.id());
        async move { executor.wait(id).await }
    });
    relay.cut();
    let error = within(executor.describe()).await.unwrap_err();
    assert!(
        error.is_temporary() && error.to_string().contains("does not answer"),
        "{error}"
    );
    docker(&["kill", &started.container.container_id]).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), &mut wait).await;
    assert!(early.is_err(), "nobody can know yet");
    let _relay = Relay::open(&socket);
    let exit = within(wait).await.unwrap().unwrap();
    assert_eq!((exit.code, exit.cause), (137, ExitCause::Ended));
}

#[tokio::test]
async fn an_engine_that_is_not_there_gives_one_clear_sentence() {
    for address in ["unix:///no/such/docker.sock", "tcp://127.0.0.1:1"] {
        let config = DockerConfig {
            address: address.parse::<EngineAddress>().unwrap(),
            ..DockerConfig::default()
        };
        let error = within(DockerExecutor::connect(config)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { .. }));
        let text = error.to_string();
        assert!(
            text.contains(address) && text.contains("--executor process"),
            "{text}"
        );
    }
}
