//! Each field of a spec, and where it ends up in the create request.

use std::sync::Arc;
use std::time::Duration;

use bollard::models::{HostConfig, MountBindOptionsPropagationEnum, MountType};
use executor::{NodeFacts, TaskRun, testing};
use types::container::{
    BindOptions, CredentialSpec, DnsConfig, Isolation, Mount, MountKind, Privileges, Propagation,
    Seccomp, SelinuxContext, TmpfsOptions, Ulimit, VolumeOptions,
};
use types::network::NetworkAttachmentConfig;
use types::resources::ResourceRequirements;
use types::service::{EndpointSpec, PortConfig, Protocol, PublishMode, ServiceSpec};
use types::{Driver, Resources};

use super::*;

const API: ApiVersion = ApiVersion(1, 41);

fn run_of(fill: impl FnOnce(&mut ServiceSpec)) -> TaskRun {
    let task = testing::task_of("web", |spec| {
        spec.task.container_mut().unwrap().image = "busybox:1".into();
        fill(spec);
    });
    TaskRun::new(Arc::new(task), NodeFacts::default())
}

fn try_body(fill: impl FnOnce(&mut ServiceSpec)) -> Result<ContainerCreateBody, ExecError> {
    let run = run_of(fill);
    let spec = executor::expand(&run)?;
    create_body(&run, &spec, &[], API)
}

fn body(fill: impl FnOnce(&mut ContainerSpec)) -> ContainerCreateBody {
    try_body(|spec| fill(spec.task.container_mut().unwrap())).unwrap()
}

fn host(fill: impl FnOnce(&mut ContainerSpec)) -> HostConfig {
    body(fill).host_config.unwrap()
}

fn refusal(fill: impl FnOnce(&mut ContainerSpec)) -> String {
    match try_body(|spec| fill(spec.task.container_mut().unwrap())) {
        Err(ExecError::Rejected(reason)) => reason,
        other => panic!("expected a rejection, got {other:?}"),
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn an_empty_spec_leaves_all_to_the_image() {
    let body = body(|_| {});
    assert_eq!(body.image.as_deref(), Some("busybox:1"));
    assert_eq!(body.entrypoint, None);
    assert_eq!(body.cmd, None);
    assert_eq!(body.env, None);
    assert_eq!(body.user, None);
    assert_eq!(body.working_dir, None);
    assert_eq!(body.hostname, None);
    assert_eq!(body.stop_signal, None);
    assert_eq!(body.healthcheck, None);
    assert_eq!(body.stop_timeout, Some(10), "the default grace period");
    let host = body.host_config.unwrap();
    assert_eq!(
        (host.memory, host.nano_cpus, host.pids_limit),
        (None, None, None)
    );
    assert_eq!(
        (host.mounts, host.port_bindings, host.network_mode),
        (None, None, None)
    );
    assert_eq!(host.restart_policy, None, "restarts are the cluster's");
}

#[test]
fn process_settings() {
    let body = body(|spec| {
        spec.command = texts(&["/bin/sh"]);
        spec.args = texts(&["-c", "true"]);
        spec.env = texts(&["A=1"]);
        spec.dir = "/srv".into();
        spec.user = "1000:100".into();
        spec.hostname = "{{.Service.Name}}-1".into();
        spec.tty = true;
        spec.open_stdin = true;
        spec.stop_signal = "SIGINT".into();
        spec.stop_grace_period = Some(Duration::from_millis(1500));
        spec.labels.insert("a".into(), "b".into());
    });
    assert_eq!(body.entrypoint, Some(texts(&["/bin/sh"])));
    assert_eq!(body.cmd, Some(texts(&["-c", "true"])));
    assert_eq!(body.env, Some(texts(&["A=1"])));
    assert_eq!(body.working_dir.as_deref(), Some("/srv"));
    assert_eq!(body.user.as_deref(), Some("1000:100"));
    assert_eq!(body.hostname.as_deref(), Some("web-1"));
    assert_eq!((body.tty, body.open_stdin), (Some(true), Some(true)));
    assert_eq!(body.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(
        body.stop_timeout,
        Some(2),
        "fractions of a second are rounded up"
    );
    let labels = body.labels.unwrap();
    assert_eq!(labels["a"], "b");
    assert_eq!(labels["com.docker.swarm.service.name"], "web");
}

#[test]
fn health_check() {
    let check = body(|spec| {
        spec.healthcheck = Some(Healthcheck {
            test: texts(&["CMD", "true"]),
            interval: Some(Duration::from_secs(1)),
            timeout: Some(Duration::from_millis(2)),
            retries: 3,
            start_period: Some(Duration::from_secs(4)),
            start_interval: None,
        });
    })
    .healthcheck
    .unwrap();
    assert_eq!(check.test, Some(texts(&["CMD", "true"])));
    assert_eq!(
        (check.interval, check.timeout),
        (Some(1_000_000_000), Some(2_000_000))
    );
    assert_eq!(
        (check.retries, check.start_period),
        (Some(3), Some(4_000_000_000))
    );
    assert_eq!(check.start_interval, None);
}

#[test]
fn resources() {
    let body = try_body(|spec| {
        spec.task.resources = ResourceRequirements {
            limits: Some(Resources {
                nano_cpus: 500_000_000,
                memory_bytes: 64 << 20,
                generic: vec![],
            }),
            reservations: Some(Resources {
                nano_cpus: 1,
                memory_bytes: 32 << 20,
                generic: vec![],
            }),
            swap_bytes: Some(16 << 20),
            memory_swappiness: Some(10),
        };
    });
    let host = body.unwrap().host_config.unwrap();
    assert_eq!(host.nano_cpus, Some(500_000_000));
    assert_eq!(
        (host.memory, host.memory_reservation),
        (Some(64 << 20), Some(32 << 20))
    );
    assert_eq!(
        host.memory_swap,
        Some(80 << 20),
        "the engine counts memory and swap together"
    );
    assert_eq!(host.memory_swappiness, Some(10));

    let swap_alone = try_body(|spec| spec.task.resources.swap_bytes = Some(1));
    assert!(matches!(swap_alone, Err(ExecError::Rejected(_))));
    let unlimited = try_body(|spec| spec.task.resources.swap_bytes = Some(-1)).unwrap();
    assert_eq!(unlimited.host_config.unwrap().memory_swap, Some(-1));
}

#[test]
fn kernel_settings() {
    let host = host(|spec| {
        spec.pids_limit = 9;
        spec.oom_score_adj = 100;
        spec.groups = texts(&["staff"]);
        spec.capability_add = texts(&["CAP_NET_ADMIN"]);
        spec.capability_drop = texts(&["ALL"]);
        spec.sysctls.insert("net.core.somaxconn".into(), "5".into());
        spec.init = Some(true);
        spec.read_only = true;
        spec.isolation = Isolation::Process;
        spec.ulimits = vec![Ulimit {
            name: "nofile".into(),
            soft: 1,
            hard: 2,
        }];
    });
    assert_eq!((host.pids_limit, host.oom_score_adj), (Some(9), Some(100)));
    assert_eq!(host.group_add, Some(texts(&["staff"])));
    assert_eq!(host.cap_add, Some(texts(&["CAP_NET_ADMIN"])));
    assert_eq!(host.cap_drop, Some(texts(&["ALL"])));
    assert_eq!(host.sysctls.unwrap()["net.core.somaxconn"], "5");
    assert_eq!((host.init, host.readonly_rootfs), (Some(true), Some(true)));
    assert!(host.isolation.is_some());
    let limit = host.ulimits.unwrap().remove(0);
    assert_eq!(
        (limit.name.as_deref(), limit.soft, limit.hard),
        (Some("nofile"), Some(1), Some(2))
    );
}

#[test]
fn names_and_hosts() {
    let host = host(|spec| {
        spec.hosts = texts(&["10.0.0.1 a b", "::1 six"]);
        spec.dns = Some(DnsConfig {
            nameservers: texts(&["9.9.9.9"]),
            search: texts(&["example"]),
            options: texts(&["ndots:2"]),
        });
    });
    assert_eq!(
        host.extra_hosts,
        Some(texts(&["a:10.0.0.1", "b:10.0.0.1", "six:::1"]))
    );
    assert_eq!(host.dns, Some(texts(&["9.9.9.9"])));
    assert_eq!(host.dns_search, Some(texts(&["example"])));
    assert_eq!(host.dns_options, Some(texts(&["ndots:2"])));
}

#[test]
fn privileges() {
    let options = |privileges: Privileges| {
        host(|spec| spec.privileges = Some(privileges))
            .security_opt
            .unwrap_or_default()
    };
    let all = options(Privileges {
        no_new_privileges: true,
        seccomp: Some(Seccomp::Custom(b"{}".to_vec())),
        apparmor_disabled: Some(true),
        selinux_context: Some(SelinuxContext {
            user: "u".into(),
            level: "s0".into(),
            ..SelinuxContext::default()
        }),
        credential_spec: None,
    });
    let expected = [
        "no-new-privileges=true",
        "seccomp={}",
        "apparmor=unconfined",
        "label=user:u",
        "label=level:s0",
    ];
    assert_eq!(all, expected);
    let unconfined = options(Privileges {
        seccomp: Some(Seccomp::Unconfined),
        selinux_context: Some(SelinuxContext {
            disable: true,
            user: "ignored".into(),
            ..SelinuxContext::default()
        }),
        ..Privileges::default()
    });
    assert_eq!(unconfined, ["seccomp=unconfined", "label=disable"]);
    assert!(options(Privileges::default()).is_empty());
}

fn mount(kind: MountKind, source: &str, target: &str) -> Mount {
    Mount {
        kind,
        source: source.into(),
        target: target.into(),
        ..Mount::default()
    }
}

#[test]
fn bind_volume_and_tmpfs_mounts() {
    let host = host(|spec| {
        spec.mounts = vec![
            Mount {
                readonly: true,
                bind: Some(BindOptions {
                    propagation: Propagation::Rslave,
                    nonrecursive: true,
                    ..BindOptions::default()
                }),
                ..mount(MountKind::Bind, "/src", "/bind")
            },
            Mount {
                volume: Some(VolumeOptions {
                    nocopy: true,
                    labels: [("l".to_owned(), "1".to_owned())].into(),
                    driver: Some(Driver {
                        name: "local".into(),
                        options: [("type".to_owned(), "tmpfs".to_owned())].into(),
                    }),
                    subpath: String::new(),
                }),
                ..mount(MountKind::Volume, "data", "/volume")
            },
            Mount {
                tmpfs: Some(TmpfsOptions {
                    size_bytes: 4096,
                    mode: 0o700,
                    options: String::new(),
                }),
                ..mount(MountKind::Tmpfs, "", "/tmpfs")
            },
        ];
    });
    let mounts = host.mounts.unwrap();
    assert_eq!(mounts.len(), 3);
    let bind = mounts[0].bind_options.as_ref().unwrap();
    assert_eq!(mounts[0].typ, Some(MountType::BIND));
    assert_eq!(mounts[0].read_only, Some(true));
    assert_eq!(
        bind.propagation,
        Some(MountBindOptionsPropagationEnum::RSLAVE)
    );
    assert_eq!(bind.non_recursive, Some(true));
    let volume = mounts[1].volume_options.as_ref().unwrap();
    assert_eq!(mounts[1].source.as_deref(), Some("data"));
    assert_eq!(volume.no_copy, Some(true));
    assert_eq!(volume.labels.as_ref().unwrap()["l"], "1");
    let driver = volume.driver_config.as_ref().unwrap();
    assert_eq!(driver.name.as_deref(), Some("local"));
    assert_eq!(driver.options.as_ref().unwrap()["type"], "tmpfs");
    let tmpfs = mounts[2].tmpfs_options.as_ref().unwrap();
    assert_eq!((tmpfs.size_bytes, tmpfs.mode), (Some(4096), Some(0o700)));
    assert_eq!(mounts[2].source, None);
}

#[test]
fn mounts_that_old_engines_know_only_as_text() {
    let host = host(|spec| {
        spec.mounts = vec![
            Mount {
                readonly: true,
                bind: Some(BindOptions {
                    create_mountpoint: true,
                    ..BindOptions::default()
                }),
                ..mount(MountKind::Bind, "/src", "/bind")
            },
            Mount {
                tmpfs: Some(TmpfsOptions {
                    size_bytes: 4096,
                    mode: 0o1777,
                    options: "noexec".into(),
                }),
                ..mount(MountKind::Tmpfs, "", "/tmpfs")
            },
        ];
    });
    assert_eq!(host.binds, Some(texts(&["/src:/bind:ro,rprivate"])));
    assert_eq!(host.tmpfs.unwrap()["/tmpfs"], "noexec,size=4096,mode=1777");
    assert_eq!(host.mounts, None);
}

#[test]
fn secrets_and_configs_are_read_only_binds() {
    let run = run_of(|_| {});
    let spec = executor::expand(&run).unwrap();
    let file = PlacedFile {
        source: "/run/swarmd/files/t/0".into(),
        target: "/run/secrets/password".into(),
    };
    let body = create_body(&run, &spec, &[file], API).unwrap();
    let mount = body.host_config.unwrap().mounts.unwrap().remove(0);
    assert_eq!(mount.source.as_deref(), Some("/run/swarmd/files/t/0"));
    assert_eq!(mount.target.as_deref(), Some("/run/secrets/password"));
    assert_eq!(mount.read_only, Some(true));
}

fn port(target: u32, published: u32, mode: PublishMode) -> PortConfig {
    PortConfig {
        protocol: Protocol::Tcp,
        target_port: target,
        published_port: published,
        publish_mode: mode,
        ..PortConfig::default()
    }
}

fn with_ports(ports: Vec<PortConfig>) -> Result<ContainerCreateBody, ExecError> {
    try_body(|spec| {
        spec.endpoint = Some(EndpointSpec {
            ports,
            ..EndpointSpec::default()
        });
    })
}

#[test]
fn only_host_mode_ports_are_published_by_the_node() {
    let body = with_ports(vec![
        port(80, 8080, PublishMode::Host),
        port(80, 0, PublishMode::Host),
        port(90, 9090, PublishMode::Ingress),
    ])
    .unwrap();
    assert_eq!(body.exposed_ports, Some(texts(&["80/tcp", "80/tcp"])));
    let bindings = body.host_config.unwrap().port_bindings.unwrap();
    assert_eq!(bindings.len(), 1);
    let numbers: Vec<_> = bindings["80/tcp"]
        .iter()
        .flatten()
        .map(|b| b.host_port.clone())
        .collect();
    assert_eq!(
        numbers,
        [Some("8080".to_owned()), Some(String::new())],
        "empty: any free port"
    );
    assert!(with_ports(vec![port(0, 80, PublishMode::Host)]).is_err());
    assert!(with_ports(vec![port(80, 70_000, PublishMode::Host)]).is_err());
}

#[test]
fn the_engines_own_networks_can_be_used_and_others_are_refused() {
    let with_network = |name: &str| {
        try_body(|spec| {
            spec.task.networks = vec![NetworkAttachmentConfig {
                target: name.to_owned(),
                ..NetworkAttachmentConfig::default()
            }];
        })
    };
    let body = with_network("host").unwrap();
    assert_eq!(
        body.host_config.unwrap().network_mode.as_deref(),
        Some("host")
    );
    let error = with_network("backend").unwrap_err().to_string();
    assert!(error.contains("\"backend\""), "{error}");
}

#[test]
fn log_driver() {
    let body = try_body(|spec| {
        spec.task.log_driver = Some(Driver {
            name: "json-file".into(),
            options: [("max-size".to_owned(), "1m".to_owned())].into(),
        });
    });
    let config = body.unwrap().host_config.unwrap().log_config.unwrap();
    assert_eq!(config.typ.as_deref(), Some("json-file"));
    assert_eq!(config.config.unwrap()["max-size"], "1m");
}

#[test]
fn what_cannot_be_honoured_is_refused_with_the_reason() {
    let bind = |change: fn(&mut BindOptions)| {
        let mut options = BindOptions::default();
        change(&mut options);
        Mount {
            bind: Some(options),
            ..mount(MountKind::Bind, "/src", "/dst")
        }
    };
    let subpath = Mount {
        volume: Some(VolumeOptions {
            subpath: "a".into(),
            ..VolumeOptions::default()
        }),
        ..mount(MountKind::Volume, "v", "/dst")
    };
    for (refused, word) in [
        (refusal(|spec| spec.image.clear()), "image"),
        (
            refusal(|spec| spec.stop_signal = "SIGNOPE".into()),
            "SIGNOPE",
        ),
        (
            refusal(|spec| spec.hosts = texts(&["10.0.0.1"])),
            "hosts entry",
        ),
        (
            refusal(|s| s.mounts = vec![mount(MountKind::Volume, "v", "rel")]),
            "absolute target",
        ),
        (
            refusal(|s| s.mounts = vec![mount(MountKind::Bind, "rel", "/a")]),
            "absolute source",
        ),
        (
            refusal(|s| s.mounts = vec![mount(MountKind::Cluster, "v", "/a")]),
            "cluster volume",
        ),
        (refusal(|spec| spec.mounts = vec![subpath]), "Docker 26"),
        (
            refusal(|spec| spec.mounts = vec![bind(|b| b.readonly_force_recursive = true)]),
            "Docker 25",
        ),
        (
            refusal(|spec| {
                spec.privileges = Some(Privileges {
                    credential_spec: Some(CredentialSpec::File("f".into())),
                    ..Privileges::default()
                });
            }),
            "Windows",
        ),
        (
            refusal(|spec| {
                spec.privileges = Some(Privileges {
                    seccomp: Some(Seccomp::Custom(vec![0xff])),
                    ..Privileges::default()
                });
            }),
            "seccomp",
        ),
    ] {
        assert!(refused.contains(word), "{refused}");
    }
}
