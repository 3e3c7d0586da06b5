//! Tests of the rules, as tables.

mod timing;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use store::{Action, Object, State, Transaction};
use types::container::{
    ConfigReference, ConfigTarget, FileTarget, Healthcheck, Mount, MountKind, SecretReference,
};
use types::entropy::SeededEntropy;
use types::network::{IpamConfig, IpamOptions, NetworkAttachmentConfig};
use types::service::{
    EndpointSpec, FailureAction, PortConfig, PublishMode, ResolutionMode, UpdateConfig, UpdateOrder,
};
use types::task::{Placement, PlacementPreference, RestartPolicy};
use types::{
    Annotations, ClusterSpec, ConfigId, ConfigSpec, ContainerSpec, GenericResource, Meta,
    NetworkSpec, Resources, Runtime, Secret, SecretBytes, SecretId, SecretSpec, Service, ServiceId,
    ServiceMode, ServiceSpec, Timestamp,
};

use crate::*;

fn good() -> ServiceSpec {
    let mut spec = ServiceSpec {
        annotations: Annotations::named("web-1"),
        ..ServiceSpec::default()
    };
    spec.task.runtime = Runtime::Container(Box::new(ContainerSpec {
        image: "nginx:1.27".to_owned(),
        ..ContainerSpec::default()
    }));
    spec
}

fn container(edit: impl FnOnce(&mut ContainerSpec)) -> ServiceSpec {
    let mut spec = good();
    edit(spec.task.container_mut().unwrap());
    spec
}

fn with(edit: impl FnOnce(&mut ServiceSpec)) -> ServiceSpec {
    let mut spec = good();
    edit(&mut spec);
    spec
}

fn paths(result: Result<(), Invalid>) -> Vec<String> {
    let problems = result.err().map(|e| e.problems).unwrap_or_default();
    problems.into_iter().map(|p| p.path).collect()
}

fn file(name: &str) -> FileTarget {
    FileTarget {
        name: name.to_owned(),
        uid: String::new(),
        gid: String::new(),
        mode: 0o444,
    }
}

fn secret_ref(name: &str, target: &str) -> SecretReference {
    SecretReference {
        secret_id: SecretId::MAX,
        secret_name: name.to_owned(),
        file: Some(file(target)),
    }
}

fn mount(kind: MountKind, source: &str, target: &str) -> Mount {
    Mount {
        kind,
        source: source.to_owned(),
        target: target.to_owned(),
        ..Mount::default()
    }
}

fn port(target: u32, published: u32, publish_mode: PublishMode) -> PortConfig {
    PortConfig {
        target_port: target,
        published_port: published,
        publish_mode,
        ..PortConfig::default()
    }
}

fn ports(ports: Vec<PortConfig>) -> ServiceSpec {
    with(|s| {
        s.endpoint = Some(EndpointSpec {
            ports,
            ..EndpointSpec::default()
        });
    })
}

fn resources(nano_cpus: i64, memory_bytes: i64, generic: Vec<GenericResource>) -> ServiceSpec {
    with(|s| {
        s.task.resources.reservations = Some(Resources {
            nano_cpus,
            memory_bytes,
            generic,
        });
    })
}

fn discrete(kind: &str, value: i64) -> GenericResource {
    GenericResource::Discrete {
        kind: kind.to_owned(),
        value,
    }
}

fn placement(edit: impl FnOnce(&mut Placement)) -> ServiceSpec {
    let mut placement = Placement::default();
    edit(&mut placement);
    with(|s| s.task.placement = Some(placement))
}

fn refused(spec: &ServiceSpec, path: &str) {
    let found = paths(service(spec));
    assert_eq!(found, [path], "{:?}", service(spec));
}

#[test]
fn a_good_service_passes() {
    assert_eq!(service(&good()), Ok(()));
    let both = ports(vec![
        port(80, 8080, PublishMode::Ingress),
        port(81, 0, PublishMode::Ingress),
        port(82, 0, PublishMode::Ingress),
    ]);
    assert_eq!(service(&both), Ok(()));
    let full = container(|c| {
        c.env = vec![
            "A=1".to_owned(),
            "NODE={{.Node.Hostname}}".to_owned(),
            "B".to_owned(),
        ];
        c.mounts = vec![
            mount(MountKind::Bind, "/data", "/data"),
            mount(MountKind::Volume, "vol-{{.Task.Slot}}", "/vol"),
            mount(MountKind::Tmpfs, "", "/tmp"),
        ];
        c.secrets = vec![secret_ref("a", "x"), secret_ref("a", "y")];
    });
    assert_eq!(service(&full), Ok(()));
}

#[test]
fn names_follow_swarmkits_grammar() {
    let long = "a".repeat(64);
    for bad in ["", "-a", "a-", "a b", "a.b", "ä", "_a", long.as_str()] {
        refused(
            &with(|s| s.annotations.name = bad.to_owned()),
            "annotations.name",
        );
    }
    for name in ["a", "A-_b", "0", &"a".repeat(63)] {
        assert_eq!(
            service(&with(|s| s.annotations.name = name.to_owned())),
            Ok(())
        );
    }
}

#[test]
fn image_references_are_read_as_docker_reads_them() {
    let hex = "0123456789abcdef".repeat(4);
    let good = [
        "nginx",
        "nginx:1.27",
        "library/nginx",
        "localhost/x",
        "localhost:5000/x/y:z",
        "registry.example.com:5000/a/b_c/d__e/f--g.h:v1.0-x_y",
        "Registry.example.com/x",
        "[::1]:5000/x",
        &format!("nginx@sha256:{hex}"),
        &format!("nginx:1@sha256:{hex}"),
    ];
    for image in good {
        assert_eq!(parse_image(image), Ok(()), "{image}");
    }
    let bad = [
        "",
        ":tag",
        "Nginx",
        "a/B",
        "a b",
        "a//b",
        "/a",
        "a/",
        "-a",
        "a___b",
        "a..b",
        "a:",
        "a:.x",
        "a:b c",
        "a@sha256:12",
        "a@:12",
        "registry.:x/a",
        "registry.example.com:port/a",
        "[::x]/a",
        hex.as_str(),
        &format!("a:{}", "x".repeat(129)),
        &"a/".repeat(200),
        &format!("{}a", "a/".repeat(130)),
    ];
    for image in bad {
        assert!(parse_image(image).is_err(), "{image}");
    }
    refused(&container(|c| c.image.clear()), "task.container.image");
}

#[test]
fn every_container_field_is_named_by_its_path() {
    let health =
        |edit: fn(&mut Healthcheck)| container(|c| edit(c.healthcheck.get_or_insert_default()));
    let cases = [
        (container(|c| c.env = vec!["=x".to_owned()]), "env[0]"),
        (container(|c| c.env = vec!["A B=x".to_owned()]), "env[0]"),
        (
            container(|c| c.env = vec!["A={{.Node".to_owned()]),
            "env[0]",
        ),
        (container(|c| c.hostname = "{{}}".to_owned()), "hostname"),
        (
            container(|c| c.mounts = vec![mount(MountKind::Bind, "/a", "b")]),
            "mounts[0].target",
        ),
        (
            container(|c| c.mounts = vec![mount(MountKind::Bind, "a", "/b")]),
            "mounts[0].source",
        ),
        (
            container(|c| c.mounts = vec![mount(MountKind::Tmpfs, "a", "/b")]),
            "mounts[0].source",
        ),
        (
            container(|c| c.mounts = vec![mount(MountKind::Volume, "a", "/b"); 2]),
            "mounts[1].target",
        ),
        (
            health(|h| h.interval = Some(Duration::from_micros(1))),
            "healthcheck.interval",
        ),
        (
            health(|h| h.test = vec!["curl".to_owned()]),
            "healthcheck.test",
        ),
        (
            container(|c| c.secrets = vec![secret_ref("", "x")]),
            "secrets[0].name",
        ),
        (
            container(|c| c.secrets = vec![secret_ref("a", "")]),
            "secrets[0].file",
        ),
        (
            container(|c| c.secrets = vec![secret_ref("a", "x"); 2]),
            "secrets[1].file",
        ),
        (container(|c| c.hosts = vec!["db".to_owned()]), "hosts[0]"),
        (
            container(|c| c.stop_signal = "kill it".to_owned()),
            "stop_signal",
        ),
        (container(|c| c.oom_score_adj = 2000), "oom_score_adj"),
        (container(|c| c.pids_limit = -2), "pids_limit"),
    ];
    for (spec, field) in cases {
        refused(&spec, &format!("task.container.{field}"));
    }
}

#[test]
fn a_credential_spec_needs_its_config_among_the_configs() {
    let spec = |listed: bool| {
        container(|c| {
            let privileges = c.privileges.get_or_insert_default();
            let id = ConfigId::MAX;
            privileges.credential_spec =
                Some(types::container::CredentialSpec::Config(id.to_string()));
            if listed {
                c.configs.push(ConfigReference {
                    config_id: id,
                    config_name: "cred".to_owned(),
                    target: ConfigTarget::Runtime,
                });
            }
        })
    };
    assert_eq!(service(&spec(true)), Ok(()));
    refused(&spec(false), "task.container.privileges.credential_spec");
}

#[test]
fn resources_keep_swarmkits_least_amounts() {
    let path = |field: &str| format!("task.resources.reservations.{field}");
    assert_eq!(
        service(&resources(1_000_000, 4 << 20, vec![discrete("gpu", 1)])),
        Ok(())
    );
    refused(&resources(999_999, 0, vec![]), &path("nano_cpus"));
    refused(&resources(-1, 0, vec![]), &path("nano_cpus"));
    refused(&resources(0, (4 << 20) - 1, vec![]), &path("memory_bytes"));
}

#[test]
fn upstream_ignores_what_is_wrong_with_generic_resources() {
    let path = |field: &str| format!("task.resources.reservations.{field}");
    refused(
        &resources(0, 0, vec![discrete("gpu", 0)]),
        &path("generic[0].value"),
    );
    refused(
        &resources(0, 0, vec![discrete("", 1)]),
        &path("generic[0].kind"),
    );
    let twice = vec![discrete("gpu", 1), discrete("gpu", 1)];
    refused(&resources(0, 0, twice), &path("generic[1].kind"));
    let named = GenericResource::Named {
        kind: "gpu".to_owned(),
        value: "UUID1".to_owned(),
    };
    refused(&resources(0, 0, vec![named]), &path("generic[0].value"));
}

#[test]
fn constraints_are_refused_with_the_nearest_key() {
    let spec = placement(|p| p.constraints = vec!["node.lables.zone==a".to_owned()]);
    let error = service(&spec).unwrap_err();
    assert_eq!(error.problems[0].path, "task.placement.constraints[0]");
    assert!(error.problems[0].text.contains("node.labels"), "{error}");
    let spread = |descriptor: &str| {
        placement(|p| {
            p.preferences = vec![PlacementPreference::Spread {
                descriptor: descriptor.to_owned(),
            }];
        })
    };
    assert_eq!(service(&spread("node.labels.rack")), Ok(()));
    refused(&spread("node.labels."), "task.placement.preferences[0]");
    refused(&spread("rack"), "task.placement.preferences[0]");
}

#[test]
fn affinities_and_priority_are_named_by_path_with_what_was_meant() {
    let options = |priority, affinities: &[&str]| {
        with(|s| {
            s.options.priority = priority;
            s.options.affinities = affinities.iter().map(|a| (*a).to_owned()).collect();
        })
    };
    assert_eq!(
        service(&options(100, &["service==~web-1", "image!=/redis:[67]/"])),
        Ok(())
    );
    refused(&options(101, &[]), "options.priority");
    refused(
        &options(0, &["image==x", "service=web"]),
        "options.affinities[1]",
    );
    refused(&options(0, &["service==web-1"]), "options.affinities[0]");
    refused(
        &options(0, &["task==x", "task==x"]),
        "options.affinities[1]",
    );
    let error = service(&options(0, &["img==redis"]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("did you mean \"image\""), "{error}");
    let many: Vec<String> = (0..33).map(|n| format!("task==t{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    refused(&options(0, &many), "options.affinities");
}

#[test]
fn a_costly_regular_expression_and_too_many_constraints_are_refused() {
    let constraints = |all: Vec<String>| {
        with(|s| {
            s.task.placement = Some(Placement {
                constraints: all,
                ..Placement::default()
            });
        })
    };
    let costly = "node.hostname==/((x{99}){99}){99}/".to_owned();
    let error = service(&constraints(vec![costly])).unwrap_err().to_string();
    assert!(error.contains("task.placement.constraints[0]"), "{error}");
    assert!(error.contains("write a simpler one"), "{error}");
    let many = (0..65).map(|n| format!("node.hostname!=h{n}")).collect();
    refused(&constraints(many), "task.placement.constraints");
}

#[test]
fn a_kind_of_generic_resource_has_a_name_that_can_be_handed_on() {
    let of = |kind: &str| {
        let kind = kind.to_owned();
        resources(0, 0, vec![GenericResource::Discrete { kind, value: 1 }])
    };
    assert_eq!(service(&of("nvidia.com/gpu-a100")), Ok(()));
    for kind in ["", "g p u", "gpu=", "käse", &"x".repeat(65)] {
        refused(&of(kind), "task.resources.reservations.generic[0].kind");
    }
}

#[test]
fn upstream_checks_update_policies_and_no_rollback_policies() {
    for ratio in [-0.1, 1.1, f32::NAN] {
        let config = Some(UpdateConfig {
            max_failure_ratio: ratio,
            ..UpdateConfig::default()
        });
        refused(&with(|s| s.update = config), "update.max_failure_ratio");
        refused(&with(|s| s.rollback = config), "rollback.max_failure_ratio");
    }
    let rollback = Some(UpdateConfig {
        failure_action: FailureAction::Rollback,
        ..UpdateConfig::default()
    });
    assert_eq!(service(&with(|s| s.update = rollback)), Ok(()));
    refused(&with(|s| s.rollback = rollback), "rollback.failure_action");
}

#[test]
fn modes_are_bounded_and_jobs_carry_no_update() {
    let replicas = |replicas| with(|s| s.mode = ServiceMode::Replicated { replicas });
    assert_eq!(service(&replicas(0)), Ok(()));
    assert_eq!(service(&replicas(REPLICAS_MAX)), Ok(()));
    refused(&replicas(REPLICAS_MAX + 1), "mode.replicated.replicas");
    refused(&replicas(u64::MAX), "mode.replicated.replicas");
    let job = |max_concurrent, total_completions| {
        with(|s| {
            s.mode = ServiceMode::ReplicatedJob {
                max_concurrent,
                total_completions,
            };
        })
    };
    assert_eq!(service(&job(1, 5)), Ok(()));
    refused(&job(0, 5), "mode.replicated_job.max_concurrent");
    let updated = ServiceSpec {
        update: Some(UpdateConfig::default()),
        ..job(1, 1)
    };
    refused(&updated, "update");
    let attempts = RestartPolicy {
        max_attempts: RESTART_ATTEMPTS_MAX + 1,
        ..RestartPolicy::default()
    };
    refused(
        &with(|s| s.task.restart = Some(attempts)),
        "task.restart.max_attempts",
    );
}

#[test]
fn ports_are_numbers_published_once_and_need_a_virtual_address_in_the_mesh() {
    use PublishMode::{Host, Ingress};
    let at = |field: &str| format!("endpoint.ports[0].{field}");
    refused(&ports(vec![port(0, 80, Ingress)]), &at("target_port"));
    refused(&ports(vec![port(65_536, 80, Ingress)]), &at("target_port"));
    refused(
        &ports(vec![port(80, 65_536, Ingress)]),
        &at("published_port"),
    );
    let twice = vec![port(80, 8080, Ingress), port(81, 8080, Host)];
    refused(&ports(twice), "endpoint.ports[1].published_port");
    let mut spec = ports(vec![port(80, 8080, Ingress)]);
    spec.endpoint.as_mut().unwrap().mode = ResolutionMode::DnsRoundRobin;
    refused(&spec, &at("publish_mode"));
}

#[test]
fn start_first_with_a_fixed_host_port_is_warned_about() {
    let mut spec = ports(vec![port(80, 8080, PublishMode::Host)]);
    assert!(service_warnings(&spec).is_empty());
    spec.update = Some(UpdateConfig {
        order: UpdateOrder::StartFirst,
        ..UpdateConfig::default()
    });
    assert_eq!(service_warnings(&spec)[0].path, "update.order");
}

#[test]
fn every_problem_is_reported_not_only_the_first() {
    let mut spec = container(|c| {
        c.image.clear();
        c.env = vec![String::new()];
    });
    spec.annotations.name.clear();
    let found = paths(service(&spec));
    assert_eq!(
        found,
        [
            "annotations.name",
            "task.container.image",
            "task.container.env[0]"
        ]
    );
    let text = service(&spec).unwrap_err().to_string();
    assert!(text.starts_with("annotations.name: a name is required; task.container.image: "));
}

#[test]
fn secrets_and_configs_have_bounded_content_and_their_own_names() {
    let sized = |len: usize| SecretSpec {
        annotations: Annotations::named("db.password"),
        data: SecretBytes::new(vec![1u8; len]),
        ..SecretSpec::default()
    };
    for (len, holds) in [(0, false), (1, true), (511_999, true), (512_000, false)] {
        assert_eq!(secret(&sized(len)).is_ok(), holds, "{len}");
    }
    let sized = |len: usize| ConfigSpec {
        annotations: Annotations::named("app.conf"),
        data: Arc::from(vec![1u8; len]),
        ..ConfigSpec::default()
    };
    for (len, holds) in [(0, false), (1, true), (1_023_999, true), (1_024_000, false)] {
        assert_eq!(config(&sized(len)).is_ok(), holds, "{len}");
    }
    let mut named = sized(1);
    named.annotations.name = "a/b".to_owned();
    assert_eq!(paths(config(&named)), ["annotations.name"]);
}

#[test]
fn a_cluster_keeps_its_name_and_certificates_live_an_hour() {
    let mut spec = ClusterSpec {
        annotations: Annotations::named("default"),
        ..ClusterSpec::default()
    };
    assert_eq!(cluster(&spec), Ok(()));
    spec.ca.node_cert_expiry = Some(Duration::from_secs(3599));
    spec.annotations.name = "other".to_owned();
    spec.heartbeat_period = Some(Duration::ZERO);
    let expected = [
        "annotations.name",
        "heartbeat_period",
        "ca.node_cert_expiry",
    ];
    assert_eq!(paths(cluster(&spec)), expected);
}

#[test]
fn subnets_hold_their_range_and_gateway() {
    let spec = |subnet: &str, range: &str, gateway: &str| NetworkSpec {
        annotations: Annotations::named("net"),
        ipam: Some(IpamOptions {
            configs: vec![IpamConfig {
                subnet: subnet.to_owned(),
                range: range.to_owned(),
                gateway: gateway.to_owned(),
                ..IpamConfig::default()
            }],
            ..IpamOptions::default()
        }),
        ..NetworkSpec::default()
    };
    assert_eq!(
        network(&spec("10.1.0.0/16", "10.1.2.0/24", "10.1.0.1")),
        Ok(())
    );
    assert_eq!(network(&spec("fd00::/64", "", "fd00::1")), Ok(()));
    for (subnet, range, gateway, field) in [
        ("10.1.0.0", "", "", "subnet"),
        ("10.1.0.0/33", "", "", "subnet"),
        ("10.1.0.0/16", "10.2.0.0/24", "", "range"),
        ("10.1.0.0/16", "10.0.0.0/8", "", "range"),
        ("10.1.0.0/16", "", "10.2.0.1", "gateway"),
        ("10.1.0.0/16", "", "fd00::1", "gateway"),
    ] {
        let found = paths(network(&spec(subnet, range, gateway)));
        assert_eq!(found, [format!("ipam.configs[0].{field}")]);
    }
}

fn table(actions: Vec<Action>) -> State {
    let mut state = State::default();
    let tx = Transaction {
        digest: None,
        version: 1,
        at: Timestamp::from_secs(1),
        actions,
    };
    state.apply(&tx).unwrap();
    state
}

fn stored(spec: ServiceSpec) -> (ServiceId, Action) {
    let id = ServiceId::random(&mut SeededEntropy::new(1));
    let service = Service::new(id, spec);
    (id, Action::Create(Object::from(service)))
}

#[test]
fn ports_of_other_services_are_taken_but_host_mode_ones_may_meet() {
    use PublishMode::{Host, Ingress};
    for (theirs, ours, free) in [
        (Ingress, Ingress, false),
        (Ingress, Host, false),
        (Host, Ingress, false),
        (Host, Host, true),
    ] {
        let (id, create) = stored(ports(vec![port(80, 8080, theirs)]));
        let view = table(vec![create]);
        let spec = ports(vec![port(90, 8080, ours)]);
        assert_eq!(
            service_refs(&view, None, &spec).is_ok(),
            free,
            "{theirs:?} {ours:?}"
        );
        assert_eq!(service_refs(&view, Some(id), &spec), Ok(()), "its own port");
    }
}

#[test]
fn secrets_must_exist_under_the_name_of_the_reference() {
    let id = SecretId::MAX;
    let secret = Secret {
        id,
        meta: Meta::default(),
        spec: SecretSpec {
            annotations: Annotations::named("db"),
            ..SecretSpec::default()
        },
        internal: false,
    };
    let view = table(vec![Action::Create(Object::from(secret))]);
    let spec = |name: &str| container(|c| c.secrets = vec![secret_ref(name, "x")]);
    assert_eq!(service_refs(&view, None, &spec("db")), Ok(()));
    let found = service_refs(&view, None, &spec("other"));
    assert!(
        found
            .clone()
            .unwrap_err()
            .to_string()
            .contains("secret not found: other")
    );
    assert_eq!(paths(found), ["task.container.secrets[0]"]);
}

#[test]
fn upstream_accepts_networks_that_do_not_exist() {
    let spec = |target: &str| {
        with(|s| {
            s.task.networks = vec![NetworkAttachmentConfig {
                target: target.to_owned(),
                ..NetworkAttachmentConfig::default()
            }];
        })
    };
    let view = State::default();
    for name in ["bridge", "host", "none"] {
        assert_eq!(service_refs(&view, None, &spec(name)), Ok(()));
    }
    let found = service_refs(&view, None, &spec("backend"));
    assert!(
        found
            .clone()
            .unwrap_err()
            .to_string()
            .contains("not supported yet")
    );
    assert_eq!(paths(found), ["task.networks[0].target"]);
}

#[test]
fn an_update_changes_neither_name_nor_mode() {
    let renamed = with(|s| s.annotations.name = "other".to_owned());
    assert_eq!(
        paths(service_update(&good(), &renamed)),
        ["annotations.name"]
    );
    let global = with(|s| s.mode = ServiceMode::Global);
    assert_eq!(paths(service_update(&good(), &global)), ["mode"]);
    let scaled = with(|s| s.mode = ServiceMode::Replicated { replicas: 9 });
    assert_eq!(service_update(&good(), &scaled), Ok(()));
}

proptest! {
    #[test]
    fn no_text_makes_the_image_parser_panic(text in "\\PC{0,40}") {
        let _ = parse_image(&text);
    }

    #[test]
    fn references_built_by_the_grammar_are_accepted(
        domain in prop::option::of("[a-z]{1,5}\\.[a-z]{2,3}(:[0-9]{1,5})?"),
        path in prop::collection::vec("[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}", 1..4),
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        digest in prop::option::of("[0-9a-f]{64}"),
    ) {
        let mut text = domain.unwrap_or_else(|| "library".to_owned()) + "/" + &path.join("/");
        if let Some(tag) = tag {
            text += &format!(":{tag}");
        }
        if let Some(digest) = digest {
            text += &format!("@sha256:{digest}");
        }
        prop_assert_eq!(parse_image(&text), Ok(()), "{}", text);
    }
}
