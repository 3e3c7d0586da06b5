//! From a task to what its shim runs, or to the reason why a plain process cannot be that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use executor::{ExecError, TaskRun, parse_signal};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use types::container::Isolation;
use types::{ContainerSpec, defaults};

use crate::user::{self, Identity};

/// Search path of commands whose environment has none; Docker's.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Size at which a log file is closed, unless the log driver's `max-size` says otherwise.
const LOG_FILE_BYTES_MAX: u64 = 10 << 20;

/// Log files that are kept, unless the log driver's `max-file` says otherwise.
const LOG_FILES_MAX: u64 = 3;

/// Networks that mean "the node's own", which is what a process has.
const NODE_NETWORK: &str = "host";

/// What a shim runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// Node the task belongs to.
    pub(crate) node: Option<String>,
    /// File that is run.
    pub(crate) program: String,
    /// Arguments, the name included.
    pub(crate) argv: Vec<String>,
    /// Whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// Working directory.
    pub(crate) dir: String,
    /// As whom; `None` is whoever runs the agent.
    pub(crate) identity: Option<Identity>,
    /// Resource limits: name, soft, hard.
    pub(crate) ulimits: Vec<(String, u64, u64)>,
    /// Out-of-memory score adjustment; 0 leaves it.
    pub(crate) oom_score_adj: i64,
    /// Cannot gain privileges.
    pub(crate) no_new_privileges: bool,
    /// Signal that asks it to stop.
    pub(crate) stop_signal: i32,
    /// Time between that signal and the kill, in milliseconds.
    pub(crate) stop_grace_ms: u64,
    /// Size at which a log file is closed.
    pub(crate) log_file_bytes_max: u64,
    /// Log files that are kept.
    pub(crate) log_files_max: u64,
}

impl Launch {
    /// What the shim of a task runs.
    ///
    /// # Errors
    ///
    /// [`ExecError::Rejected`] with what a plain process cannot honour.
    pub(crate) fn of(run: &TaskRun) -> Result<Self, ExecError> {
        let spec = executor::expand(run)?;
        refuse_what_needs_a_container(run, &spec)?;
        let argv: Vec<_> = spec.command.iter().chain(&spec.args).cloned().collect();
        let identity = user::resolve(&spec.user, &spec.groups)?;
        let env = environment(&spec, identity.as_ref())?;
        let dir = if spec.dir.is_empty() {
            "/".to_owned()
        } else {
            spec.dir.clone()
        };
        let name = argv.first().ok_or_else(|| {
            ExecError::rejected(format!(
                "image {:?} without a command cannot run as a process: this node has no \
                 container engine",
                spec.image
            ))
        })?;
        let (log_file_bytes_max, log_files_max) = log_limits(run)?;
        let grace = spec
            .stop_grace_period
            .unwrap_or(defaults::STOP_GRACE_PERIOD);
        let privileges = spec.privileges.as_ref();
        Ok(Self {
            node: run.node.id.map(|id| id.to_string()),
            program: find_program(name, &dir, &env)?,
            argv,
            env,
            dir,
            identity,
            ulimits: ulimits(&spec)?,
            oom_score_adj: spec.oom_score_adj,
            no_new_privileges: privileges.is_some_and(|p| p.no_new_privileges),
            stop_signal: stop_signal(&spec.stop_signal)?,
            stop_grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            log_file_bytes_max,
            log_files_max,
        })
    }
}

fn refuse_what_needs_a_container(run: &TaskRun, spec: &ContainerSpec) -> Result<(), ExecError> {
    let task = run.task.spec();
    let limits = task.resources.limits.as_ref();
    let has_ports = |ports: Option<&[_]>| ports.is_some_and(|ports: &[_]| !ports.is_empty());
    let declared = run.task.service_spec.endpoint.as_ref();
    let allocated = run.task.endpoint.as_deref();
    let own_health = spec
        .healthcheck
        .as_ref()
        .and_then(|check| check.test.first());
    let is_hardened = spec.privileges.as_ref().is_some_and(|p| {
        p.credential_spec.is_some()
            || p.selinux_context.is_some()
            || p.seccomp.is_some()
            || p.apparmor_disabled.is_some()
    });
    let attached = run
        .task
        .networks
        .iter()
        .map(|n| n.network.spec.annotations.name.as_str());
    let mut networks = attached.chain(task.networks.iter().map(|n| n.target.as_str()));
    let refused = [
        ("mounts", !spec.mounts.is_empty()),
        ("secrets", !spec.secrets.is_empty()),
        ("configs", !spec.configs.is_empty()),
        (
            "published ports",
            has_ports(declared.map(|e| e.ports.as_slice()))
                || has_ports(allocated.map(|e| e.ports.as_slice())),
        ),
        (
            "networks other than host",
            networks.any(|name| name != NODE_NETWORK),
        ),
        ("a CPU limit", limits.is_some_and(|l| l.nano_cpus > 0)),
        ("a memory limit", limits.is_some_and(|l| l.memory_bytes > 0)),
        ("a swap limit", task.resources.swap_bytes.is_some()),
        (
            "a swappiness",
            task.resources.memory_swappiness.is_some_and(|s| s >= 0),
        ),
        ("a process limit", spec.pids_limit > 0),
        ("a host name", !spec.hostname.is_empty()),
        (
            "a health check",
            own_health.is_some_and(|kind| kind != "NONE"),
        ),
        ("a terminal", spec.tty),
        ("open standard input", spec.open_stdin),
        ("a read-only root", spec.read_only),
        ("sysctls", !spec.sysctls.is_empty()),
        ("added capabilities", !spec.capability_add.is_empty()),
        ("dropped capabilities", !spec.capability_drop.is_empty()),
        ("security profiles", is_hardened),
        ("DNS settings", spec.dns.is_some()),
        ("hosts entries", !spec.hosts.is_empty()),
        ("isolation", spec.isolation != Isolation::Default),
    ];
    let needs: Vec<_> = refused
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(what, _)| what)
        .collect();
    if needs.is_empty() {
        return Ok(());
    }
    Err(ExecError::rejected(format!(
        "a plain process cannot have {}: this node has no container engine",
        needs.join(", ")
    )))
}

fn environment(
    spec: &ContainerSpec,
    identity: Option<&Identity>,
) -> Result<Vec<(String, String)>, ExecError> {
    let mut env = vec![("PATH".to_owned(), PATH_DEFAULT.to_owned())];
    if let Some(identity) = identity {
        env.push(("HOME".to_owned(), identity.home.clone()));
    }
    for line in &spec.env {
        // As in containers, a name without a value is left out.
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if name.is_empty() || line.contains('\0') {
            return Err(ExecError::rejected(format!(
                "the environment entry {line:?} is wrong"
            )));
        }
        env.retain(|(known, _)| known != name);
        env.push((name.to_owned(), value.to_owned()));
    }
    Ok(env)
}

/// The file a command's name means: found along the task's `PATH`, or relative to its directory.
fn find_program(name: &str, dir: &str, env: &[(String, String)]) -> Result<String, ExecError> {
    let is_program = |path: &Path| {
        fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let missing = |whence: &str| {
        ExecError::rejected(format!(
            "the command {name:?} is not on this node ({whence})"
        ))
    };
    if name.contains('/') {
        let path = Path::new(dir).join(name);
        return match is_program(&path) {
            true => Ok(path.display().to_string()),
            false => Err(missing("no such program")),
        };
    }
    let path = env
        .iter()
        .find(|(key, _)| key == "PATH")
        .map_or("", |(_, value)| value);
    path.split(':')
        .map(|folder| Path::new(dir).join(folder).join(name))
        .find(|candidate| is_program(candidate))
        .map(|found| found.display().to_string())
        .ok_or_else(|| missing(&format!("looked along {path:?}")))
}

fn stop_signal(text: &str) -> Result<i32, ExecError> {
    if text.is_empty() {
        return Ok(Signal::SIGTERM as i32);
    }
    let refuse = |why: String| ExecError::rejected(format!("stop signal: {why}"));
    let number = parse_signal(text).map_err(|error| refuse(error.to_string()))?;
    match Signal::try_from(number) {
        Ok(_) => Ok(number),
        Err(_) => Err(refuse(format!(
            "{text:?} is a real-time signal, which is not supported"
        ))),
    }
}

fn ulimits(spec: &ContainerSpec) -> Result<Vec<(String, u64, u64)>, ExecError> {
    // −1 is unlimited.
    let amount = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let limit = |limit: &types::container::Ulimit| {
        crate::shim::resource(&limit.name).ok_or_else(|| {
            ExecError::rejected(format!("there is no resource limit {:?}", limit.name))
        })?;
        Ok((limit.name.clone(), amount(limit.soft), amount(limit.hard)))
    };
    spec.ulimits.iter().map(limit).collect()
}

/// Size and number of log files, from the options of Docker's drivers that keep files.
fn log_limits(run: &TaskRun) -> Result<(u64, u64), ExecError> {
    let allocated = run.task.log_driver.as_deref();
    let Some(driver) = allocated.or(run.task.spec().log_driver.as_ref()) else {
        return Ok((LOG_FILE_BYTES_MAX, LOG_FILES_MAX));
    };
    if !matches!(driver.name.as_str(), "" | "json-file" | "local") {
        return Err(ExecError::rejected(format!(
            "the log driver {:?} needs a container engine; without one there are json-file and \
             local",
            driver.name
        )));
    }
    let option = |name: &str, read: fn(&str) -> Option<u64>, default: u64| {
        let Some(text) = driver.options.get(name) else {
            return Ok(default);
        };
        let number = read(text).filter(|number| *number > 0);
        number.ok_or_else(|| {
            ExecError::rejected(format!(
                "the log option {name}={text:?} cannot be understood"
            ))
        })
    };
    Ok((
        option("max-size", bytes_of, LOG_FILE_BYTES_MAX)?,
        option("max-file", |text| text.parse().ok(), LOG_FILES_MAX)?,
    ))
}

/// A size such as `10m`; the letters are powers of 1024.
fn bytes_of(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches('b');
    let (digits, shift) = match number.chars().last()? {
        'k' => (&number[..number.len() - 1], 10),
        'm' => (&number[..number.len() - 1], 20),
        'g' => (&number[..number.len() - 1], 30),
        _ => (number, 0),
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use executor::{NodeFacts, testing};
    use std::time::Duration;
    use types::container::{Healthcheck, Mount, Ulimit};
    use types::network::NetworkAttachmentConfig;
    use types::service::{EndpointSpec, PortConfig, ServiceSpec};
    use types::{Driver, Resources};

    fn launch(fill: impl FnOnce(&mut ServiceSpec)) -> Result<Launch, ExecError> {
        let task = testing::task_of("web", |spec| {
            let container = spec.task.container_mut().unwrap();
            container.image = "ignored".into();
            container.command = vec!["sh".into()];
            fill(spec);
        });
        Launch::of(&TaskRun::new(task.into(), NodeFacts::default()))
    }

    fn of(fill: impl FnOnce(&mut ContainerSpec)) -> Result<Launch, ExecError> {
        launch(|spec| fill(spec.task.container_mut().unwrap()))
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T, ExecError>) -> String {
        match result {
            Err(ExecError::Rejected(reason)) => reason,
            other => panic!("expected a rejection, got {other:?}"),
        }
    }

    #[test]
    fn command_environment_and_stop_settings() {
        let launch = of(|spec| {
            spec.args = vec!["-c".into(), "true".into()];
            spec.env = vec!["A={{.Service.Name}}".into(), "NONAME".into(), "A=2".into()];
            spec.stop_signal = "INT".into();
            spec.stop_grace_period = Some(Duration::from_millis(1500));
            spec.ulimits = vec![Ulimit {
                name: "nofile".into(),
                soft: 10,
                hard: -1,
            }];
        })
        .unwrap();
        assert!(launch.program.ends_with("/sh"), "{}", launch.program);
        assert_eq!(launch.argv, ["sh", "-c", "true"]);
        assert!(
            launch.env.contains(&("A".into(), "2".into())),
            "the last one counts"
        );
        assert!(launch.env.iter().any(|(name, _)| name == "PATH"));
        assert!(!launch.env.iter().any(|(name, _)| name == "NONAME"));
        assert_eq!((launch.stop_signal, launch.stop_grace_ms), (2, 1500));
        assert_eq!(launch.ulimits, [("nofile".into(), 10, u64::MAX)]);
        assert_eq!(launch.dir, "/");
    }

    #[test]
    fn log_settings() {
        let with = |name: &str, key: &str, value: &str| {
            launch(|spec| {
                spec.task.log_driver = Some(Driver {
                    name: name.into(),
                    options: [(key.to_owned(), value.to_owned())].into(),
                });
            })
        };
        let sized = with("json-file", "max-size", "2m").unwrap();
        assert_eq!(
            (sized.log_file_bytes_max, sized.log_files_max),
            (2 << 20, LOG_FILES_MAX)
        );
        assert_eq!(with("local", "max-file", "9").unwrap().log_files_max, 9);
        for refused in [with("syslog", "a", "b"), with("", "max-size", "lots")] {
            assert!(!refusal(refused).is_empty());
        }
    }

    #[test]
    fn what_needs_a_container_is_refused_by_name() {
        let port = |spec: &mut ServiceSpec| {
            spec.endpoint = Some(EndpointSpec {
                ports: vec![PortConfig::default()],
                ..EndpointSpec::default()
            });
        };
        let network = |spec: &mut ServiceSpec| {
            spec.task.networks = vec![NetworkAttachmentConfig {
                target: "backend".into(),
                ..NetworkAttachmentConfig::default()
            }];
        };
        let memory = |spec: &mut ServiceSpec| {
            spec.task.resources.limits = Some(Resources {
                memory_bytes: 1,
                ..Resources::default()
            });
        };
        for (refused, word) in [
            (
                refusal(of(|spec| spec.command.clear())),
                "without a command",
            ),
            (
                refusal(of(|spec| spec.mounts = vec![Mount::default()])),
                "mounts",
            ),
            (refusal(of(|spec| spec.tty = true)), "a terminal"),
            (
                refusal(of(|spec| spec.read_only = true)),
                "a read-only root",
            ),
            (
                refusal(of(|spec| spec.hostname = "h".into())),
                "a host name",
            ),
            (
                refusal(of(|spec| spec.capability_add = vec!["ALL".into()])),
                "capabilities",
            ),
            (
                refusal(of(|spec| spec.user = "no-such-user".into())),
                "no-such-user",
            ),
            (
                refusal(of(|spec| spec.command = vec!["no-such-command".into()])),
                "no-such-command",
            ),
            (
                refusal(of(|spec| spec.stop_signal = "RTMIN".into())),
                "real-time",
            ),
            (refusal(launch(port)), "published ports"),
            (refusal(launch(network)), "networks"),
            (refusal(launch(memory)), "a memory limit"),
        ] {
            assert!(refused.contains(word), "{refused}");
        }
        let no_check = |spec: &mut ContainerSpec| {
            spec.healthcheck = Some(Healthcheck {
                test: vec!["NONE".into()],
                ..Healthcheck::default()
            });
        };
        assert!(
            of(no_check).is_ok(),
            "no health check is what a process has"
        );
    }
}
