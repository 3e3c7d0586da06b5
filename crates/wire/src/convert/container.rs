//! Containers.

use types::container::{
    ConfigReference, ConfigTarget, ContainerSpec, CredentialSpec, DnsConfig, FileTarget,
    Healthcheck, Isolation, Privileges, PullOptions, Seccomp, SecretReference, SelinuxContext,
    Ulimit,
};

use super::time::{duration, optional_span};
use super::{
    ConvertError, Problem, Result, encoded, enum_pairs, enumeration, id, list, number, optional,
};
use crate::api::privileges::app_armor_opts::AppArmorMode;
use crate::api::privileges::credential_spec::Source;
use crate::api::privileges::seccomp_opts::SeccompMode;
use crate::api::{self, config_reference, container_spec, privileges, secret_reference};

enum_pairs!(container_spec::Isolation, Isolation {
    Default = Default,
    Process = Process,
    Hyperv = Hyperv,
});

impl TryFrom<api::ContainerSpec> for ContainerSpec {
    type Error = ConvertError;

    fn try_from(spec: api::ContainerSpec) -> Result<Self> {
        Ok(Self {
            image: spec.image,
            labels: spec.labels,
            command: spec.command,
            args: spec.args,
            hostname: spec.hostname,
            env: spec.env,
            dir: spec.dir,
            user: spec.user,
            groups: spec.groups,
            pull_options: spec.pull_options.map(Into::into),
            isolation: enumeration::<container_spec::Isolation, _>("isolation", spec.isolation)?,
            pids_limit: spec.pids_limit,
            sysctls: spec.sysctls,
            capability_add: spec.capability_add,
            capability_drop: spec.capability_drop,
            ulimits: list("ulimits", spec.ulimits)?,
            oom_score_adj: spec.oom_score_adj,
            privileges: optional("privileges", spec.privileges)?,
            init: spec.init,
            tty: spec.tty,
            open_stdin: spec.open_stdin,
            read_only: spec.read_only,
            stop_signal: spec.stop_signal,
            stop_grace_period: optional_span("stop_grace_period", spec.stop_grace_period)?,
            mounts: list("mounts", spec.mounts)?,
            secrets: list("secrets", spec.secrets)?,
            configs: list("configs", spec.configs)?,
            hosts: spec.hosts,
            dns: spec.dns_config.map(Into::into),
            healthcheck: optional("healthcheck", spec.healthcheck)?,
        })
    }
}

impl From<&ContainerSpec> for api::ContainerSpec {
    fn from(spec: &ContainerSpec) -> Self {
        Self {
            image: spec.image.clone(),
            labels: spec.labels.clone(),
            command: spec.command.clone(),
            args: spec.args.clone(),
            env: spec.env.clone(),
            dir: spec.dir.clone(),
            user: spec.user.clone(),
            mounts: encoded(&spec.mounts),
            stop_grace_period: spec.stop_grace_period.map(duration),
            pull_options: spec.pull_options.as_ref().map(Into::into),
            groups: spec.groups.clone(),
            secrets: encoded(&spec.secrets),
            tty: spec.tty,
            hostname: spec.hostname.clone(),
            dns_config: spec.dns.as_ref().map(Into::into),
            healthcheck: spec.healthcheck.as_ref().map(Into::into),
            hosts: spec.hosts.clone(),
            open_stdin: spec.open_stdin,
            read_only: spec.read_only,
            stop_signal: spec.stop_signal.clone(),
            configs: encoded(&spec.configs),
            privileges: spec.privileges.as_ref().map(Into::into),
            init: spec.init,
            isolation: number::<container_spec::Isolation, _>(spec.isolation),
            pids_limit: spec.pids_limit,
            sysctls: spec.sysctls.clone(),
            capability_add: spec.capability_add.clone(),
            capability_drop: spec.capability_drop.clone(),
            ulimits: encoded(&spec.ulimits),
            oom_score_adj: spec.oom_score_adj,
        }
    }
}

impl From<container_spec::PullOptions> for PullOptions {
    fn from(options: container_spec::PullOptions) -> Self {
        Self {
            registry_auth: options.registry_auth,
        }
    }
}

impl From<&PullOptions> for container_spec::PullOptions {
    fn from(options: &PullOptions) -> Self {
        Self {
            registry_auth: options.registry_auth.clone(),
        }
    }
}

impl From<container_spec::Ulimit> for Ulimit {
    fn from(limit: container_spec::Ulimit) -> Self {
        Self {
            name: limit.name,
            soft: limit.soft,
            hard: limit.hard,
        }
    }
}

impl From<&Ulimit> for container_spec::Ulimit {
    fn from(limit: &Ulimit) -> Self {
        Self {
            name: limit.name.clone(),
            soft: limit.soft,
            hard: limit.hard,
        }
    }
}

impl From<container_spec::DnsConfig> for DnsConfig {
    fn from(dns: container_spec::DnsConfig) -> Self {
        Self {
            nameservers: dns.nameservers,
            search: dns.search,
            options: dns.options,
        }
    }
}

impl From<&DnsConfig> for container_spec::DnsConfig {
    fn from(dns: &DnsConfig) -> Self {
        let DnsConfig {
            nameservers,
            search,
            options,
        } = dns.clone();
        Self {
            nameservers,
            search,
            options,
        }
    }
}

impl TryFrom<api::HealthConfig> for Healthcheck {
    type Error = ConvertError;

    fn try_from(check: api::HealthConfig) -> Result<Self> {
        let retries = u32::try_from(check.retries)
            .map_err(|_| ConvertError::new("retries", Problem::Range(i64::from(check.retries))))?;
        Ok(Self {
            test: check.test,
            interval: optional_span("interval", check.interval)?,
            timeout: optional_span("timeout", check.timeout)?,
            retries,
            start_period: optional_span("start_period", check.start_period)?,
            start_interval: optional_span("start_interval", check.start_interval)?,
        })
    }
}

impl From<&Healthcheck> for api::HealthConfig {
    fn from(check: &Healthcheck) -> Self {
        Self {
            test: check.test.clone(),
            interval: check.interval.map(duration),
            timeout: check.timeout.map(duration),
            retries: i32::try_from(check.retries).unwrap_or(i32::MAX),
            start_period: check.start_period.map(duration),
            start_interval: check.start_interval.map(duration),
        }
    }
}

impl From<api::FileTarget> for FileTarget {
    fn from(file: api::FileTarget) -> Self {
        Self {
            name: file.name,
            uid: file.uid,
            gid: file.gid,
            mode: file.mode,
        }
    }
}

impl From<&FileTarget> for api::FileTarget {
    fn from(file: &FileTarget) -> Self {
        let FileTarget {
            name,
            uid,
            gid,
            mode,
        } = file.clone();
        Self {
            name,
            uid,
            gid,
            mode,
        }
    }
}

impl TryFrom<api::SecretReference> for SecretReference {
    type Error = ConvertError;

    fn try_from(reference: api::SecretReference) -> Result<Self> {
        Ok(Self {
            secret_id: id("secret_id", &reference.secret_id)?,
            secret_name: reference.secret_name,
            file: reference
                .target
                .map(|secret_reference::Target::File(file)| file.into()),
        })
    }
}

impl From<&SecretReference> for api::SecretReference {
    fn from(reference: &SecretReference) -> Self {
        let file = reference.file.as_ref().map(Into::into);
        Self {
            secret_id: reference.secret_id.to_string(),
            secret_name: reference.secret_name.clone(),
            target: file.map(secret_reference::Target::File),
        }
    }
}

impl TryFrom<api::ConfigReference> for ConfigReference {
    type Error = ConvertError;

    fn try_from(reference: api::ConfigReference) -> Result<Self> {
        let target = match reference.target {
            Some(config_reference::Target::File(file)) => ConfigTarget::File(file.into()),
            Some(config_reference::Target::Runtime(_)) => ConfigTarget::Runtime,
            None => return Err(ConvertError::new("target", Problem::Missing)),
        };
        Ok(Self {
            config_id: id("config_id", &reference.config_id)?,
            config_name: reference.config_name,
            target,
        })
    }
}

impl From<&ConfigReference> for api::ConfigReference {
    fn from(reference: &ConfigReference) -> Self {
        let target = match &reference.target {
            ConfigTarget::File(file) => config_reference::Target::File(file.into()),
            ConfigTarget::Runtime => config_reference::Target::Runtime(api::RuntimeTarget {}),
        };
        Self {
            config_id: reference.config_id.to_string(),
            config_name: reference.config_name.clone(),
            target: Some(target),
        }
    }
}

impl TryFrom<api::Privileges> for Privileges {
    type Error = ConvertError;

    fn try_from(privileges: api::Privileges) -> Result<Self> {
        let source = privileges.credential_spec.and_then(|spec| spec.source);
        Ok(Self {
            credential_spec: source.map(Into::into),
            selinux_context: privileges.selinux_context.map(Into::into),
            seccomp: optional("seccomp", privileges.seccomp)?,
            apparmor_disabled: privileges.apparmor.map(apparmor_disabled).transpose()?,
            no_new_privileges: privileges.no_new_privileges,
        })
    }
}

impl From<&Privileges> for api::Privileges {
    fn from(privileges: &Privileges) -> Self {
        let credential_spec = privileges.credential_spec.clone();
        Self {
            credential_spec: credential_spec.map(|spec| privileges::CredentialSpec {
                source: Some(spec.into()),
            }),
            selinux_context: privileges.selinux_context.as_ref().map(Into::into),
            seccomp: privileges.seccomp.as_ref().map(Into::into),
            apparmor: privileges.apparmor_disabled.map(apparmor),
            no_new_privileges: privileges.no_new_privileges,
        }
    }
}

fn apparmor_disabled(options: privileges::AppArmorOpts) -> Result<bool> {
    let mode = enumeration::<AppArmorMode, AppArmorMode>("mode", options.mode);
    Ok(mode.map_err(|e| e.inside("apparmor"))? == AppArmorMode::Disabled)
}

fn apparmor(disabled: bool) -> privileges::AppArmorOpts {
    let mode = if disabled {
        AppArmorMode::Disabled
    } else {
        AppArmorMode::Default
    };
    privileges::AppArmorOpts { mode: mode.into() }
}

impl From<Source> for CredentialSpec {
    fn from(source: Source) -> Self {
        match source {
            Source::File(file) => Self::File(file),
            Source::Registry(key) => Self::Registry(key),
            Source::Config(id) => Self::Config(id),
        }
    }
}

impl From<CredentialSpec> for Source {
    fn from(spec: CredentialSpec) -> Self {
        match spec {
            CredentialSpec::File(file) => Self::File(file),
            CredentialSpec::Registry(key) => Self::Registry(key),
            CredentialSpec::Config(id) => Self::Config(id),
        }
    }
}

impl From<privileges::SeLinuxContext> for SelinuxContext {
    fn from(context: privileges::SeLinuxContext) -> Self {
        Self {
            disable: context.disable,
            user: context.user,
            role: context.role,
            kind: context.r#type,
            level: context.level,
        }
    }
}

impl From<&SelinuxContext> for privileges::SeLinuxContext {
    fn from(context: &SelinuxContext) -> Self {
        let SelinuxContext {
            disable,
            user,
            role,
            kind,
            level,
        } = context.clone();
        Self {
            disable,
            user,
            role,
            r#type: kind,
            level,
        }
    }
}

impl TryFrom<privileges::SeccompOpts> for Seccomp {
    type Error = ConvertError;

    fn try_from(options: privileges::SeccompOpts) -> Result<Self> {
        Ok(
            match enumeration::<SeccompMode, SeccompMode>("mode", options.mode)? {
                SeccompMode::Default => Self::Default,
                SeccompMode::Unconfined => Self::Unconfined,
                SeccompMode::Custom => Self::Custom(options.profile),
            },
        )
    }
}

impl From<&Seccomp> for privileges::SeccompOpts {
    fn from(seccomp: &Seccomp) -> Self {
        let (mode, profile) = match seccomp {
            Seccomp::Default => (SeccompMode::Default, Vec::new()),
            Seccomp::Unconfined => (SeccompMode::Unconfined, Vec::new()),
            Seccomp::Custom(profile) => (SeccompMode::Custom, profile.clone()),
        };
        Self {
            mode: mode.into(),
            profile,
        }
    }
}
