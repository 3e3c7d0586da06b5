//! Flags against the fields that they set: each row is one claim.

use clap::Parser;
use wire::api::container_spec::Isolation;
use wire::api::restart_policy::RestartCondition;
use wire::api::service_spec::Mode;
use wire::api::task_spec::Runtime;
use wire::api::update_config::{FailureAction, UpdateOrder};
use wire::api::{ContainerSpec, ServiceSpec, TaskSpec};

use super::args::SpecArgs;
use super::build::{self, Changes, New};
use super::lists::{CreateLists, UpdateLists};
use super::policy::Policies;
use crate::error::Result;
use crate::parse::reference::Ids;

#[derive(Parser)]
struct CreateLine {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    lists: CreateLists,
    #[command(flatten)]
    policies: Policies,
}

#[derive(Parser)]
struct UpdateLine {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    lists: UpdateLists,
    #[command(flatten)]
    policies: Policies,
}

fn ids() -> Ids {
    let pair = |name: &str| [(name.to_owned(), format!("id-of-{name}"))].into();
    Ids {
        secrets: pair("key"),
        configs: pair("conf"),
        networks: pair("front"),
    }
}

fn create_mode(mode: &str, flags: &str) -> Result<ServiceSpec> {
    let words = crate::parse::words::split(flags).unwrap();
    let line = CreateLine::parse_from(["x".to_owned()].into_iter().chain(words));
    let new = New {
        name: "web",
        mode,
        image: "nginx",
        args: &["sh".to_owned()],
    };
    let ids = ids();
    let changes = Changes {
        spec: &line.spec,
        policies: &line.policies,
        edits: &line.lists.0,
        ids: &ids,
    };
    build::create(&new, &changes)
}

fn create(flags: &str) -> ServiceSpec {
    create_mode("replicated", flags).unwrap()
}

fn update(spec: &ServiceSpec, flags: &str) -> Result<ServiceSpec> {
    let words = crate::parse::words::split(flags).unwrap();
    let line = UpdateLine::parse_from(["x".to_owned()].into_iter().chain(words));
    let (mut spec, ids) = (spec.clone(), ids());
    let changes = Changes {
        spec: &line.spec,
        policies: &line.policies,
        edits: &line.lists.0,
        ids: &ids,
    };
    build::update(&mut spec, &changes).map(|()| spec)
}

fn task(spec: &ServiceSpec) -> &TaskSpec {
    spec.task.as_ref().unwrap()
}

fn container(spec: &ServiceSpec) -> &ContainerSpec {
    match &task(spec).runtime {
        Some(Runtime::Container(container)) => container,
        other => panic!("not a container: {other:?}"),
    }
}

/// A flag of `service create` and whether the spec has what it asks for.
type Claim = (&'static str, fn(&ServiceSpec) -> bool);

fn check(claims: &[Claim]) {
    for (flags, holds) in claims {
        let spec = create(flags);
        assert!(holds(&spec), "{flags} gave {spec:#?}");
    }
}

#[test]
fn each_container_flag_sets_its_field() {
    check(&[
        ("", |s| {
            container(s).image == "nginx" && container(s).args == ["sh"]
        }),
        ("--hostname h", |s| container(s).hostname == "h"),
        ("-u 1:2", |s| container(s).user == "1:2"),
        ("-w /srv", |s| container(s).dir == "/srv"),
        ("--entrypoint 'a \"b c\"'", |s| {
            container(s).command == ["a", "b c"]
        }),
        ("-t", |s| container(s).tty),
        ("--tty=false", |s| !container(s).tty),
        ("--init", |s| container(s).init == Some(true)),
        ("--read-only", |s| container(s).read_only),
        ("--stop-signal INT", |s| container(s).stop_signal == "INT"),
        ("--stop-grace-period 1m", |s| {
            container(s).stop_grace_period.unwrap().seconds == 60
        }),
        ("--isolation process", |s| {
            container(s).isolation() == Isolation::Process
        }),
        ("--oom-score-adj -500", |s| {
            container(s).oom_score_adj == -500
        }),
        ("--limit-pids 9", |s| container(s).pids_limit == 9),
        ("--log-driver x --log-opt a=b", |s| {
            let driver = task(s).log_driver.as_ref().unwrap();
            driver.name == "x" && driver.options["a"] == "b"
        }),
        ("--credential-spec config://conf", |s| {
            container(s).configs[0].config_id == "id-of-conf"
        }),
        ("--health-cmd 'curl x' --health-retries 3", |s| {
            let check = container(s).healthcheck.as_ref().unwrap();
            check.test == ["CMD-SHELL", "curl x"] && check.retries == 3
        }),
        ("--no-healthcheck", |s| {
            container(s).healthcheck.as_ref().unwrap().test == ["NONE"]
        }),
    ]);
}

#[test]
fn each_list_flag_sets_its_field() {
    check(&[
        ("-e A=1 --env B=2", |s| container(s).env == ["A=1", "B=2"]),
        ("-l a=b", |s| {
            s.annotations.as_ref().unwrap().labels["a"] == "b"
        }),
        ("--container-label a=b", |s| container(s).labels["a"] == "b"),
        ("--mount type=tmpfs,target=/t", |s| {
            container(s).mounts[0].target == "/t"
        }),
        ("-p 8080:80", |s| {
            s.endpoint.as_ref().unwrap().ports[0].published_port == 8080
        }),
        ("--constraint node.role==worker", |s| {
            task(s).placement.as_ref().unwrap().constraints == ["node.role==worker"]
        }),
        ("--placement-pref spread=node.labels.z", |s| {
            task(s).placement.as_ref().unwrap().preferences.len() == 1
        }),
        ("--generic-resource gpu=1", |s| {
            let reservations = task(s).resources.as_ref().unwrap().reservations.as_ref();
            reservations.unwrap().generic.len() == 1
        }),
        ("--secret key", |s| {
            container(s).secrets[0].secret_id == "id-of-key"
        }),
        ("--config source=conf,target=/c", |s| {
            container(s).configs[0].config_name == "conf"
        }),
        ("--network front", |s| {
            task(s).networks[0].target == "id-of-front"
        }),
        ("--host db:10.0.0.7", |s| {
            container(s).hosts == ["10.0.0.7 db"]
        }),
        ("--dns 1.1.1.1 --dns-search a --dns-option b", |s| {
            let dns = container(s).dns_config.as_ref().unwrap();
            dns.nameservers == ["1.1.1.1"] && dns.search == ["a"] && dns.options == ["b"]
        }),
        ("--group 33", |s| container(s).groups == ["33"]),
        ("--cap-add net_admin", |s| {
            container(s).capability_add == ["CAP_NET_ADMIN"]
        }),
        ("--cap-drop ALL", |s| {
            container(s).capability_drop == ["ALL"]
        }),
        ("--sysctl a.b=1", |s| container(s).sysctls["a.b"] == "1"),
        ("--ulimit nofile=1:2", |s| container(s).ulimits[0].hard == 2),
    ]);
}

#[test]
fn each_policy_flag_sets_its_field() {
    check(&[
        ("", |s| {
            s.update.is_none() && s.rollback.is_none() && task(s).restart.is_none()
        }),
        ("--limit-cpu 0.5 --reserve-memory 64m", |s| {
            let all = task(s).resources.as_ref().unwrap();
            all.limits.as_ref().unwrap().nano_cpus == 500_000_000
                && all.reservations.as_ref().unwrap().memory_bytes == 64 << 20
        }),
        ("--memory-swap -1", |s| {
            task(s).resources.as_ref().unwrap().swap_bytes == Some(-1)
        }),
        ("--replicas-max-per-node 2", |s| {
            task(s).placement.as_ref().unwrap().max_replicas == 2
        }),
        ("--restart-max-attempts 4", |s| {
            let policy = task(s).restart.as_ref().unwrap();
            policy.max_attempts == 4
                && policy.condition() == RestartCondition::Any
                && policy.delay.unwrap().seconds == 5
        }),
        ("--restart-condition none", |s| {
            task(s).restart.as_ref().unwrap().condition() == RestartCondition::None
        }),
        ("--update-order start-first", |s| {
            let policy = s.update.as_ref().unwrap();
            policy.order() == UpdateOrder::StartFirst && policy.parallelism == 1
        }),
        (
            "--update-parallelism 0 --update-failure-action rollback",
            |s| {
                let policy = s.update.as_ref().unwrap();
                policy.parallelism == 0 && policy.failure_action() == FailureAction::Rollback
            },
        ),
        ("--rollback-monitor 20s", |s| {
            s.rollback.as_ref().unwrap().monitor.unwrap().seconds == 20
        }),
        ("--endpoint-mode dnsrr", |s| {
            s.endpoint.as_ref().unwrap().mode == 1
        }),
    ]);
}

#[test]
fn modes_take_the_counts_they_have() {
    let mode = |mode, flags| create_mode(mode, flags).map(|s| s.mode.unwrap());
    assert!(
        matches!(mode("replicated", "--replicas 3"), Ok(Mode::Replicated(r)) if r.replicas == 3)
    );
    assert!(matches!(mode("global", ""), Ok(Mode::Global(_))));
    let job = mode("replicated-job", "--replicas 5 --max-concurrent 2");
    assert!(matches!(
        job,
        Ok(Mode::ReplicatedJob(j)) if j.total_completions == 5 && j.max_concurrent == 2
    ));
    assert!(matches!(
        mode("replicated-job", "--replicas 5"),
        Ok(Mode::ReplicatedJob(j)) if j.max_concurrent == 5
    ));
    assert_eq!(mode("global", "--replicas 2").unwrap_err().exit_code(), 2);
    assert_eq!(
        mode("replicated", "--max-concurrent 2")
            .unwrap_err()
            .exit_code(),
        2
    );
}

#[test]
fn an_update_adds_replaces_and_takes_away() {
    let old = create(
        "-e A=1 -e B=2 -l x=1 -p 8080:80 -p 53:53/udp --mount type=tmpfs,target=/t --secret key \
         --constraint a==b --cap-drop NET_ADMIN --ulimit nofile=1:2 --replicas 4",
    );
    let new = update(
        &old,
        "--env-add A=9 --env-rm B --label-add y=2 --label-rm x --publish-rm 80 \
         --publish-add 8081:81 --mount-rm /t --secret-rm key --constraint-rm a==b \
         --cap-add NET_ADMIN --ulimit-add nofile=5:6",
    )
    .unwrap();
    assert_eq!(container(&new).env, ["A=9"]);
    let labels = &new.annotations.as_ref().unwrap().labels;
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["y"]);
    let ports = &new.endpoint.as_ref().unwrap().ports;
    assert_eq!(
        ports.iter().map(|p| p.target_port).collect::<Vec<_>>(),
        [53, 81]
    );
    assert!(container(&new).mounts.is_empty() && container(&new).secrets.is_empty());
    assert!(task(&new).placement.is_none());
    assert_eq!(container(&new).capability_add, ["CAP_NET_ADMIN"]);
    assert!(container(&new).capability_drop.is_empty());
    assert_eq!(container(&new).ulimits[0].soft, 5);
    assert!(matches!(new.mode, Some(Mode::Replicated(r)) if r.replicas == 4));
}

#[test]
fn an_update_without_flags_changes_nothing() {
    let old = create("-e A=1 -p 80:80 --update-order start-first --health-cmd x --dns 1.1.1.1");
    assert_eq!(update(&old, "").unwrap(), old);
}

#[test]
fn a_bad_item_names_its_flag() {
    let error = create_mode("replicated", "--mount type=disk,target=/a").unwrap_err();
    assert!(
        error.to_string().contains("for --mount: type must be"),
        "{error}"
    );
    let error = update(&create(""), "--publish-add 80:x").unwrap_err();
    assert!(
        error.to_string().contains("for --publish-add: a port is"),
        "{error}"
    );
}

fn labels(spec: &ServiceSpec) -> Vec<(&str, &str)> {
    let labels = &spec.annotations.as_ref().unwrap().labels;
    let pairs = labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    pairs.collect()
}

#[test]
fn options_travel_as_labels_and_updates_change_one_at_a_time() {
    let spec = create(
        "--strategy binpack --priority 7 --affinity service==db --depends-on db \
         --rebalance auto --update-progress-deadline 90s --label tier=front",
    );
    let expected = [
        ("swarm.affinity", "service==db"),
        ("swarm.depends-on", "db:healthy"),
        ("swarm.priority", "7"),
        ("swarm.rebalance", "auto"),
        ("swarm.strategy", "binpack"),
        ("swarm.update.progress-deadline", "90000ms"),
        ("tier", "front"),
    ];
    assert_eq!(labels(&spec), expected);
    let spec = update(
        &spec,
        "--strategy default --priority 0 --affinity-rm service==db --affinity-add image!=~x \
         --depends-on-rm db --depends-on-add migrate:completed --rebalance manual",
    );
    let expected = [
        ("swarm.affinity", "image!=~x"),
        ("swarm.depends-on", "migrate:completed"),
        ("swarm.update.progress-deadline", "90000ms"),
        ("tier", "front"),
    ];
    assert_eq!(labels(&spec.unwrap()), expected);
}

#[test]
fn a_schedule_is_set_changed_and_taken_away() {
    let flags = "--schedule '*/5 * * * *' --schedule-timezone Europe/Berlin --schedule-history 1";
    let spec = create_mode("replicated-job", flags).unwrap();
    let value = |spec: &ServiceSpec, key: &str| {
        let key = format!("swarm.schedule{key}");
        labels(spec)
            .iter()
            .find(|(k, _)| *k == key)
            .map(|(_, v)| (*v).to_owned())
    };
    assert_eq!(value(&spec, "").as_deref(), Some("*/5 * * * *"));
    assert_eq!(value(&spec, ".time-zone").as_deref(), Some("Europe/Berlin"));
    let spec = update(
        &spec,
        "--schedule-concurrency replace --schedule-missed skip",
    )
    .unwrap();
    assert_eq!(value(&spec, "").as_deref(), Some("*/5 * * * *"));
    assert_eq!(value(&spec, ".concurrency").as_deref(), Some("replace"));
    assert_eq!(value(&spec, ".history").as_deref(), Some("1"));
    let spec = update(&spec, "--schedule none").unwrap();
    assert_eq!(labels(&spec), []);
}

#[test]
fn bad_options_are_refused_with_their_flag() {
    for (mode, flags, words) in [
        (
            "replicated",
            "--depends-on db:up",
            ["--depends-on", "healthy, completed"],
        ),
        (
            "replicated",
            "--depends-on a,b",
            ["--depends-on", "repeat the flag"],
        ),
        (
            "replicated",
            "--affinity ''",
            ["--affinity", "service==web"],
        ),
        (
            "replicated",
            "--schedule '* * * * *'",
            ["--schedule", "--mode replicated-job"],
        ),
        (
            "global-job",
            "--schedule-history 2",
            ["--schedule-history", "give --schedule too"],
        ),
        (
            "replicated",
            "--label swarm.strategy=fair",
            ["--label", "spread, binpack, random"],
        ),
        (
            "replicated",
            "--label swarm.stratgy=spread",
            ["--label", "no such option"],
        ),
    ] {
        let error = create_mode(mode, flags).unwrap_err();
        assert_eq!(error.exit_code(), crate::error::EXIT_USAGE);
        let text = error.to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{flags}: {text}");
    }
}
