//! Resources, security and name service of a container.

use std::collections::HashMap;

use bollard::models::{HostConfig, HostConfigIsolationEnum, HostConfigLogConfig, ResourcesUlimits};
use executor::{ExecError, TaskRun};
use types::ContainerSpec;
use types::container::{Isolation, Privileges, Seccomp, SelinuxContext};
use types::task::TaskSpec;

use super::{map, some, text};

/// All of the host configuration but mounts and ports.
pub(super) fn host_config(run: &TaskRun, spec: &ContainerSpec) -> Result<HostConfig, ExecError> {
    let dns = spec.dns.clone().unwrap_or_default();
    let sysctls: HashMap<_, _> = spec.sysctls.clone().into_iter().collect();
    let mut host = HostConfig {
        pids_limit: (spec.pids_limit != 0).then_some(spec.pids_limit),
        ulimits: some(ulimits(spec)),
        oom_score_adj: (spec.oom_score_adj != 0).then_some(spec.oom_score_adj),
        cap_add: some(spec.capability_add.clone()),
        cap_drop: some(spec.capability_drop.clone()),
        sysctls: (!sysctls.is_empty()).then_some(sysctls),
        group_add: some(spec.groups.clone()),
        init: spec.init,
        isolation: isolation(spec.isolation),
        readonly_rootfs: Some(spec.read_only),
        extra_hosts: some(extra_hosts(&spec.hosts)?),
        dns: some(dns.nameservers),
        dns_search: some(dns.search),
        dns_options: some(dns.options),
        security_opt: some(security_options(spec.privileges.as_ref())?),
        log_config: log_config(run),
        ..HostConfig::default()
    };
    add_resources(&mut host, run.task.spec())?;
    Ok(host)
}

fn add_resources(host: &mut HostConfig, spec: &TaskSpec) -> Result<(), ExecError> {
    let positive = |amount: i64| (amount > 0).then_some(amount);
    let resources = &spec.resources;
    if let Some(limits) = &resources.limits {
        host.nano_cpus = positive(limits.nano_cpus);
        host.memory = positive(limits.memory_bytes);
    }
    if let Some(reserved) = &resources.reservations {
        host.memory_reservation = positive(reserved.memory_bytes);
    }
    host.memory_swappiness = resources.memory_swappiness.filter(|value| *value >= 0);
    host.memory_swap = match (resources.swap_bytes, host.memory) {
        (None, _) => None,
        (Some(..0), _) => Some(-1),
        // The engine counts memory and swap together.
        (Some(swap), Some(memory)) => Some(memory.saturating_add(swap)),
        (Some(_), None) => {
            return Err(ExecError::rejected(
                "a swap limit needs a memory limit beside it",
            ));
        }
    };
    Ok(())
}

fn ulimits(spec: &ContainerSpec) -> Vec<ResourcesUlimits> {
    let ulimit = |limit: &types::container::Ulimit| ResourcesUlimits {
        name: Some(limit.name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    };
    spec.ulimits.iter().map(ulimit).collect()
}

fn isolation(isolation: Isolation) -> Option<HostConfigIsolationEnum> {
    match isolation {
        Isolation::Default => None,
        Isolation::Process => Some(HostConfigIsolationEnum::PROCESS),
        Isolation::Hyperv => Some(HostConfigIsolationEnum::HYPERV),
    }
}

/// The lines of a hosts file, `IP name [name…]`, as the engine wants them: `name:IP`.
fn extra_hosts(lines: &[String]) -> Result<Vec<String>, ExecError> {
    let mut hosts = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let address = words.next().unwrap_or_default();
        let names: Vec<_> = words.collect();
        if names.is_empty() {
            return Err(ExecError::rejected(format!(
                "the hosts entry {line:?} is not an address and a name"
            )));
        }
        hosts.extend(names.into_iter().map(|name| format!("{name}:{address}")));
    }
    Ok(hosts)
}

fn security_options(privileges: Option<&Privileges>) -> Result<Vec<String>, ExecError> {
    let Some(privileges) = privileges else {
        return Ok(Vec::new());
    };
    if privileges.credential_spec.is_some() {
        return Err(ExecError::rejected(
            "credential specs exist only on Windows nodes",
        ));
    }
    let mut options = Vec::new();
    if privileges.no_new_privileges {
        options.push("no-new-privileges=true".to_owned());
    }
    match &privileges.seccomp {
        None | Some(Seccomp::Default) => {}
        Some(Seccomp::Unconfined) => options.push("seccomp=unconfined".to_owned()),
        Some(Seccomp::Custom(profile)) => {
            let profile = std::str::from_utf8(profile)
                .map_err(|_| ExecError::rejected("the seccomp profile is not UTF-8 text"))?;
            options.push(format!("seccomp={profile}"));
        }
    }
    if privileges.apparmor_disabled == Some(true) {
        options.push("apparmor=unconfined".to_owned());
    }
    if let Some(context) = &privileges.selinux_context {
        options.extend(selinux_options(context));
    }
    Ok(options)
}

fn selinux_options(context: &SelinuxContext) -> Vec<String> {
    if context.disable {
        return vec!["label=disable".to_owned()];
    }
    let parts = [
        ("user", &context.user),
        ("role", &context.role),
        ("type", &context.kind),
        ("level", &context.level),
    ];
    let set = parts.into_iter().filter(|(_, value)| !value.is_empty());
    set.map(|(key, value)| format!("label={key}:{value}"))
        .collect()
}

fn log_config(run: &TaskRun) -> Option<HostConfigLogConfig> {
    let allocated = run.task.log_driver.as_deref();
    let driver = allocated.or(run.task.spec().log_driver.as_ref())?;
    let typ = text(&driver.name)?;
    Some(HostConfigLogConfig {
        typ: Some(typ),
        config: Some(map(&driver.options)),
    })
}
