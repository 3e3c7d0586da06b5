//! What a user sees of whole commands: output, sentences, exit codes.

use tonic::Status;
use wire::api::service_spec::Mode;
use wire::api::task_spec::Runtime;
use wire::api::*;
use wire::swarm::v1::service_progress::Phase;
use wire::swarm::v1::{ServiceProgress, StatusRequest, StatusResponse, WatchServiceRequest};

use crate::fake::{Outcome, Script, ended, open, run, run_at, run_unread};

const CREATE: &str = "/docker.swarmkit.v1.Control/CreateService";
const UPDATE: &str = "/docker.swarmkit.v1.Control/UpdateService";
const LIST: &str = "/docker.swarmkit.v1.Control/ListServices";
const WATCH: &str = "/swarm.v1.Cluster/WatchService";
const STATUS: &str = "/swarm.v1.Cluster/Status";
const LOGS: &str = "/docker.swarmkit.v1.Logs/SubscribeLogs";
const ID: &str = "0123456789abcdefghijklmno";

fn version(index: u64) -> Option<Version> {
    Some(Version { index })
}

fn service(spec: Option<ServiceSpec>) -> Service {
    let meta = Some(Meta {
        version: version(10),
        ..Meta::default()
    });
    Service {
        id: ID.into(),
        meta,
        spec,
        ..Service::default()
    }
}

fn web() -> Service {
    let container = ContainerSpec {
        image: "nginx:1".into(),
        ..ContainerSpec::default()
    };
    service(Some(ServiceSpec {
        annotations: Some(Annotations {
            name: "web".into(),
            ..Annotations::default()
        }),
        task: Some(TaskSpec {
            runtime: Some(Runtime::Container(container)),
            ..TaskSpec::default()
        }),
        mode: Some(Mode::Replicated(ReplicatedService { replicas: 2 })),
        ..ServiceSpec::default()
    }))
}

fn creates() -> Script {
    Script::default().unary(CREATE, |request: CreateServiceRequest| {
        Ok(CreateServiceResponse {
            service: Some(service(request.spec)),
        })
    })
}

fn with_web(script: Script) -> Script {
    script.unary(LIST, |request: ListServicesRequest| {
        let named = request.filters.unwrap_or_default().names == ["web"];
        Ok(ListServicesResponse {
            services: named.then(web).into_iter().collect(),
        })
    })
}

fn progress(phase: Phase, running: u64) -> ServiceProgress {
    ServiceProgress {
        service_id: ID.into(),
        service_name: "web".into(),
        phase: phase.into(),
        tasks_desired: 2,
        tasks_running: running,
        version: version(11),
        monitor_ns: 50_000_000,
        ..ServiceProgress::default()
    }
}

#[tokio::test]
async fn create_waits_until_the_service_is_stable() {
    let script = creates().stream(WATCH, |request: WatchServiceRequest, _| {
        assert_eq!(request.service_id, ID);
        open(vec![
            progress(Phase::Converging, 1),
            progress(Phase::Converged, 2),
        ])
    });
    let Outcome {
        code,
        stdout,
        stderr,
    } = run(
        script,
        &[
            "service",
            "create",
            "--name",
            "web",
            "--replicas",
            "2",
            "nginx",
        ],
    )
    .await;
    assert_eq!((code, stdout.trim()), (0, ID), "{stderr}");
    assert_eq!(
        stderr,
        "web: 1/2 running\nweb: verify: 2/2 running\nweb: converged, 2/2 running\n"
    );
}

#[tokio::test]
async fn create_survives_a_manager_that_goes_away() {
    let script = creates().stream(WATCH, |_: WatchServiceRequest, call| match call {
        0 => ended(
            vec![progress(Phase::Converging, 1)],
            Status::unavailable("shutting down"),
        ),
        _ => open(vec![progress(Phase::Converged, 2)]),
    });
    let outcome = run(script, &["service", "create", "--name", "web", "nginx"]).await;
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[tokio::test]
async fn create_that_runs_out_of_time_says_what_it_waits_for() {
    let script = creates().stream(WATCH, |_: WatchServiceRequest, _| {
        let blocked_by = "no suitable node (insufficient memory on 2 nodes)".into();
        open(vec![ServiceProgress {
            blocked_by,
            ..progress(Phase::Converging, 0)
        }])
    });
    let line = [
        "service",
        "create",
        "--name",
        "web",
        "--timeout",
        "300ms",
        "nginx",
    ];
    let outcome = run(script, &line).await;
    assert_eq!(outcome.code, 3, "{outcome:?}");
    assert!(
        outcome.stderr.ends_with(
            "not converged within 300ms: service web (0/2 running, no suitable \
             node (insufficient memory on 2 nodes)); the operation goes on in \
             the background (`swarmctl service ps web` shows it)\n"
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn detach_does_not_wait() {
    let line = ["service", "create", "--detach", "--name", "web", "nginx"];
    let outcome = run(creates(), &line).await;
    assert_eq!(
        (outcome.code, outcome.stdout.trim()),
        (0, ID),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn without_leader_the_refusal_says_where_to_look() {
    let script = Script::default().unary(CREATE, |_: CreateServiceRequest| {
        Err::<CreateServiceResponse, _>(Status::unavailable("no manager leads the cluster"))
    });
    let outcome = run(script, &["service", "create", "--name", "web", "nginx"]).await;
    assert_eq!(outcome.code, 1);
    assert_eq!(
        outcome.stderr,
        "swarmctl: cannot create service web: no manager leads the cluster (`swarmctl cluster \
         status` shows the managers)\n"
    );
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_in_one_sentence() {
    let script = Script::default().unary(CREATE, |_: CreateServiceRequest| {
        let text = "name conflicts with an existing object: service web exists";
        Err::<CreateServiceResponse, _>(Status::already_exists(text))
    });
    let outcome = run(script, &["service", "create", "--name", "web", "nginx"]).await;
    assert_eq!(outcome.code, 1);
    assert_eq!(
        outcome.stderr,
        "swarmctl: cannot create service web: name conflicts with an existing object: service \
         web exists\n"
    );
}

#[tokio::test]
async fn an_update_that_is_paused_fails_with_its_reason() {
    let script = with_web(Script::default())
        .unary(UPDATE, |request: UpdateServiceRequest| {
            let spec = request.spec.clone().unwrap();
            let Some(Runtime::Container(container)) = spec.task.unwrap().runtime else {
                return Err(Status::invalid_argument("no container"));
            };
            if container.image != "nginx:2" || request.service_version != version(10) {
                return Err(Status::invalid_argument("another update was expected"));
            }
            Ok(UpdateServiceResponse {
                service: Some(service(request.spec)),
            })
        })
        .stream(WATCH, |_: WatchServiceRequest, _| {
            let failure = "task x failed: exit code 1".into();
            let paused = ServiceProgress {
                failure,
                ..progress(Phase::Paused, 1)
            };
            open(vec![progress(Phase::Updating, 2), paused])
        });
    let outcome = run(
        script,
        &["service", "update", "-q", "--image", "nginx:2", "web"],
    )
    .await;
    assert_eq!(outcome.code, 1);
    assert_eq!(
        outcome.stderr,
        "swarmctl: service web: the update is paused: task x failed: exit code 1\n"
    );
}

#[tokio::test]
async fn bad_values_are_refused_before_a_manager_is_contacted() {
    let nowhere = std::path::PathBuf::from("/nonexistent/control.sock");
    for (flag, value) in [
        ("--mount", "type=disk,target=/a"),
        ("--publish", "80:x"),
        ("--env", "=1"),
        ("--limit-memory", "1q"),
        ("--replicas", "-1"),
        ("--update-delay", "5"),
        ("--secret", "target=/x"),
    ] {
        let line = ["service", "create", &format!("{flag}={value}"), "nginx"];
        let outcome = run_at(&nowhere, &line).await;
        assert_eq!(outcome.code, 2, "{outcome:?}");
        assert!(outcome.stderr.contains(flag), "{outcome:?}");
    }
    let outcome = run_at(&nowhere, &["service", "ls"]).await;
    assert_eq!(outcome.code, 1);
    assert_eq!(
        outcome.stderr,
        "swarmctl: cannot reach swarmd at /nonexistent/control.sock: no such file: is swarmd \
         running on this machine? (set --socket or SWARM_SOCKET)\n"
    );
}

#[tokio::test]
async fn logs_are_joined_to_lines_and_missing_ones_are_a_warning() {
    let message = |stream: LogStream, data: &str| LogMessage {
        context: Some(LogContext {
            task_id: "t1".into(),
            ..LogContext::default()
        }),
        stream: stream.into(),
        data: data.as_bytes().to_vec().into(),
        ..LogMessage::default()
    };
    let script =
        with_web(Script::default()).stream(LOGS, move |request: SubscribeLogsRequest, _| {
            assert_eq!(request.options.unwrap().tail, -3);
            let messages = vec![
                message(LogStream::Stdout, "hel"),
                message(LogStream::Stderr, "oops\n"),
                message(LogStream::Stdout, "lo\n"),
            ];
            let text = "warning: incomplete log stream. some logs could not be retrieved for the \
                    following reasons: node b is not available";
            ended(
                vec![SubscribeLogsMessage { messages }],
                Status::unavailable(text),
            )
        });
    let outcome = run(script, &["service", "logs", "--raw", "--tail", "2", "web"]).await;
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "hello\n"),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr
            .starts_with("oops\nwarning: incomplete log stream"),
        "{outcome:?}"
    );
}

fn line(task: &str, secs: i64, data: &str) -> LogMessage {
    LogMessage {
        context: Some(LogContext {
            task_id: task.into(),
            ..LogContext::default()
        }),
        timestamp: Some(prost_types::Timestamp {
            seconds: 2_000_000_000 + secs,
            nanos: 0,
        }),
        stream: LogStream::Stdout.into(),
        data: data.as_bytes().to_vec().into(),
        ..LogMessage::default()
    }
}

#[tokio::test]
async fn a_follower_takes_a_broken_stream_up_again_and_repeats_nothing() {
    let script =
        with_web(Script::default()).stream(LOGS, move |request: SubscribeLogsRequest, call| {
            let options = request.options.unwrap();
            assert!(options.follow);
            let (messages, end) = match call {
                0 => {
                    assert_eq!((options.tail, options.since), (-3, None));
                    let messages = vec![line("a", 1, "1\n"), line("a", 2, "2\n")];
                    (messages, Status::aborted("another manager leads now"))
                }
                1 => {
                    assert_eq!(options.tail, 0);
                    assert_eq!(options.since.unwrap().seconds, 2_000_000_002);
                    (Vec::new(), Status::unavailable("the connection broke"))
                }
                _ => {
                    let messages = vec![line("a", 2, "2\n"), line("a", 2, "3\n")];
                    (messages, Status::not_found("the service was removed"))
                }
            };
            ended(vec![SubscribeLogsMessage { messages }], end)
        });
    let command = ["service", "logs", "-f", "--raw", "--tail", "2", "web"];
    let outcome = run(script, &command).await;
    assert_eq!(outcome.stdout, "1\n2\n3\n", "{outcome:?}");
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("the service was removed"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_command_whose_output_nobody_reads_ends_silently() {
    let logs = with_web(Script::default()).stream(LOGS, move |_: SubscribeLogsRequest, _| {
        let messages = vec![line("a", 1, "1\n"), line("a", 2, "2\n")];
        open(vec![SubscribeLogsMessage { messages }; 3])
    });
    for (script, command) in [
        (logs, &["service", "logs", "-f", "--raw", "web"][..]),
        (with_web(Script::default()), &["service", "inspect", "web"]),
        (Script::default(), &["completion", "bash"]),
        (Script::default(), &["service", "create", "--help"]),
    ] {
        let outcome = run_unread(script, command).await;
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (0, ""),
            "{command:?}"
        );
    }
}

#[tokio::test]
async fn scaling_a_service_that_does_not_exist_leaves_the_others_scaled() {
    let script = with_web(Script::default())
        .unary(UPDATE, |request: UpdateServiceRequest| {
            Ok(UpdateServiceResponse {
                service: Some(service(request.spec)),
            })
        })
        .stream(WATCH, |_: WatchServiceRequest, _| {
            open(vec![progress(Phase::Converged, 2)])
        });
    let outcome = run(script, &["service", "scale", "-q", "web=5", "nope=1"]).await;
    assert_eq!(outcome.code, 1);
    assert_eq!(outcome.stdout, "web scaled to 5\n");
    assert_eq!(outcome.stderr, "swarmctl: no such service: nope\n");
}

#[tokio::test]
async fn the_version_of_the_manager_is_shown() {
    let script = Script::default().unary(STATUS, |_: StatusRequest| {
        Ok(StatusResponse {
            version: "9.8.7".into(),
            ..StatusResponse::default()
        })
    });
    let outcome = run(script, &["version", "--format", "{{.Server.Version}}"]).await;
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "9.8.7\n"),
        "{outcome:?}"
    );
}
