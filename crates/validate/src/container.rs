//! What a container runs.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use types::ContainerSpec;
use types::container::{ConfigTarget, CredentialSpec, FileTarget, Healthcheck, Mount, MountKind};

use crate::image::parse_image;
use crate::problem::Check;

/// Shortest time of a health check that is not "take the default".
const HEALTH_TIME_MIN: Duration = Duration::from_millis(1);

const PATH: &str = "task.container";

/// Checks a container spec.
pub(crate) fn check_container(check: &mut Check, spec: &ContainerSpec) {
    if let Err(error) = parse_image(&spec.image) {
        check.fail(format_args!("{PATH}.image"), error);
    }
    check_env(check, &spec.env);
    check_templates(check, spec);
    check_mounts(check, &spec.mounts);
    if let Some(health) = &spec.healthcheck {
        check_health(check, health);
    }
    check_files(check, spec);
    check_credential_spec(check, spec);
    check_limits(check, spec);
    for (at, line) in spec.hosts.iter().enumerate() {
        let mut words = line.split_whitespace();
        let address = words
            .next()
            .and_then(|w| w.parse::<std::net::IpAddr>().ok());
        check.require(
            address.is_some() && words.next().is_some(),
            format_args!("{PATH}.hosts[{at}]"),
            format_args!("{line:?} is not an IP address and host names, such as 10.0.0.1 db"),
        );
    }
    for (at, server) in spec.dns.iter().flat_map(|d| &d.nameservers).enumerate() {
        check.require(
            server.parse::<std::net::IpAddr>().is_ok(),
            format_args!("{PATH}.dns.nameservers[{at}]"),
            format_args!("{server:?} is not an IP address"),
        );
    }
}

fn check_env(check: &mut Check, env: &[String]) {
    for (at, entry) in env.iter().enumerate() {
        let name = entry.split('=').next().unwrap_or_default();
        check.require(
            !name.is_empty() && !name.contains(char::is_whitespace) && !entry.contains('\0'),
            format_args!("{PATH}.env[{at}]"),
            format_args!("{name:?} is not the name of a variable, write NAME=VALUE"),
        );
    }
}

/// Fields that nodes expand: every `{{` needs its `}}`.
fn check_templates(check: &mut Check, spec: &ContainerSpec) {
    let env = spec.env.iter().enumerate();
    let env = env.map(|(at, text)| (format!("{PATH}.env[{at}]"), text));
    let mounts = spec.mounts.iter().enumerate().flat_map(|(at, mount)| {
        [
            (format!("{PATH}.mounts[{at}].source"), &mount.source),
            (format!("{PATH}.mounts[{at}].target"), &mount.target),
        ]
    });
    let hostname = (format!("{PATH}.hostname"), &spec.hostname);
    for (path, text) in std::iter::once(hostname).chain(env).chain(mounts) {
        check.require(
            is_balanced(text),
            path,
            format_args!("{text:?} has a template that is not closed, write {{{{.FIELD}}}}"),
        );
    }
}

fn is_balanced(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, inner)) = rest.split_once("{{") {
        match inner.split_once("}}") {
            Some((body, after)) if !body.contains("{{") && !body.trim().is_empty() => rest = after,
            _ => return false,
        }
    }
    true
}

fn check_mounts(check: &mut Check, mounts: &[Mount]) {
    let mut targets = BTreeSet::new();
    for (at, mount) in mounts.iter().enumerate() {
        let path = format!("{PATH}.mounts[{at}]");
        let target = &mount.target;
        let windows = target.as_bytes().get(1) == Some(&b':');
        check.require(
            target.starts_with(['/', '{', '\\']) || windows,
            format_args!("{path}.target"),
            format_args!("{target:?} is not an absolute path in the container"),
        );
        check.require(
            targets.insert(target),
            format_args!("{path}.target"),
            format_args!("{target:?} is the target of another mount too"),
        );
        check_source(check, &path, mount);
    }
}

fn check_source(check: &mut Check, path: &str, mount: &Mount) {
    let source = &mount.source;
    let path = format_args!("{path}.source");
    match mount.kind {
        MountKind::Bind => {
            let windows = source.as_bytes().get(1) == Some(&b':');
            check.require(
                source.starts_with(['/', '{', '\\']) || windows,
                path,
                format_args!("{source:?} is not an absolute path of the node"),
            );
        }
        MountKind::Tmpfs => check.require(
            source.is_empty(),
            path,
            "a tmpfs has no source, leave it empty",
        ),
        MountKind::Npipe | MountKind::Cluster => {
            check.require(!source.is_empty(), path, "a source is required");
        }
        MountKind::Volume => {}
    }
    let size = mount.tmpfs.as_ref().map_or(0, |t| t.size_bytes);
    check.require(size >= 0, path, "a size cannot be negative");
}

fn check_health(check: &mut Check, health: &Healthcheck) {
    let path = format_args!("{PATH}.healthcheck");
    let times = [
        ("interval", health.interval),
        ("timeout", health.timeout),
        ("start_period", health.start_period),
        ("start_interval", health.start_interval),
    ];
    for (name, time) in times {
        let time = time.unwrap_or_default();
        check.require(
            time.is_zero() || time >= HEALTH_TIME_MIN,
            format_args!("{path}.{name}"),
            "a time is 0 (the image's own) or at least 1 ms",
        );
    }
    let kind = health.test.first().map(String::as_str);
    let known = matches!(kind, None | Some("" | "NONE" | "CMD" | "CMD-SHELL"));
    check.require(
        known,
        format_args!("{path}.test"),
        "a test begins with NONE, CMD or CMD-SHELL",
    );
}

fn check_files(check: &mut Check, spec: &ContainerSpec) {
    let mut names = BTreeSet::new();
    for (at, secret) in spec.secrets.iter().enumerate() {
        let path = format!("{PATH}.secrets[{at}]");
        check.require(
            !secret.secret_name.is_empty(),
            format_args!("{path}.name"),
            "the name of the secret is required besides its id",
        );
        check_file(check, &path, secret.file.as_ref(), &mut names);
    }
    let mut names = BTreeSet::new();
    for (at, config) in spec.configs.iter().enumerate() {
        let path = format!("{PATH}.configs[{at}]");
        check.require(
            !config.config_name.is_empty(),
            format_args!("{path}.name"),
            "the name of the config is required besides its id",
        );
        if let ConfigTarget::File(file) = &config.target {
            check_file(check, &path, Some(file), &mut names);
        }
    }
}

fn check_file<'a>(
    check: &mut Check,
    path: impl fmt::Display,
    file: Option<&'a FileTarget>,
    names: &mut BTreeSet<&'a str>,
) {
    let Some(file) = file.filter(|f| !f.name.is_empty()) else {
        return check.fail(
            format_args!("{path}.file"),
            "a file name is required, the task finds it there",
        );
    };
    check.require(
        names.insert(&file.name),
        format_args!("{path}.file"),
        format_args!("{:?} is the file of another reference too", file.name),
    );
}

fn check_credential_spec(check: &mut Check, spec: &ContainerSpec) {
    let privileges = spec.privileges.as_ref();
    let wanted = privileges.and_then(|p| p.credential_spec.as_ref());
    if let Some(CredentialSpec::Config(id)) = wanted {
        let listed = spec
            .configs
            .iter()
            .any(|c| c.target == ConfigTarget::Runtime && c.config_id.to_string() == *id);
        check.require(
            listed,
            format_args!("{PATH}.privileges.credential_spec"),
            format_args!("config {id} must also be a config of the container, target runtime"),
        );
    }
}

fn check_limits(check: &mut Check, spec: &ContainerSpec) {
    check.require(
        spec.pids_limit >= -1,
        format_args!("{PATH}.pids_limit"),
        "a limit of processes is positive, or 0 or -1 for none",
    );
    check.require(
        (-1000..=1000).contains(&spec.oom_score_adj),
        format_args!("{PATH}.oom_score_adj"),
        "the adjustment is between -1000 and 1000",
    );
    for (at, limit) in spec.ulimits.iter().enumerate() {
        let unlimited = limit.hard < 0;
        check.require(
            !limit.name.is_empty() && (unlimited || limit.soft <= limit.hard),
            format_args!("{PATH}.ulimits[{at}]"),
            "a limit has a name, and its soft value is not above the hard one",
        );
    }
    let signal = &spec.stop_signal;
    check.require(
        signal
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '-'),
        format_args!("{PATH}.stop_signal"),
        format_args!("{signal:?} is not a signal, such as SIGTERM or 15"),
    );
}
