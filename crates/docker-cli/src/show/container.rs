//! What a task runs, as JSON.

use serde_json::{Value, json};
use wire::api::config_reference::Target as ConfigTarget;
use wire::api::container_spec::Ulimit;
use wire::api::generic_resource::Resource;
use wire::api::placement_preference::Preference;
use wire::api::privileges::credential_spec::Source;
use wire::api::secret_reference::Target as SecretTarget;
use wire::api::task_spec::Runtime;
use wire::api::{
    ConfigReference, ContainerSpec, FileTarget, GenericResource, HealthConfig, Mount,
    NetworkAttachmentConfig, Placement, Privileges, ResourceRequirements, Resources, RestartPolicy,
    SecretReference, TaskSpec,
};

use super::{Fields, dashed, driver, each, nanos, texts};

/// A task's spec.
pub fn task_spec(spec: &TaskSpec) -> Value {
    let (container, kind) = match &spec.runtime {
        Some(Runtime::Container(container)) => (Some(container), "container"),
        Some(Runtime::Attachment(_)) => (None, "attachment"),
        Some(Runtime::Generic(_)) => (None, "generic"),
        None => (None, ""),
    };
    let pids = container.map_or(0, |c| c.pids_limit);
    let none = ResourceRequirements::default();
    let resources = resources(spec.resources.as_ref().unwrap_or(&none), pids);
    Fields::default()
        .maybe("ContainerSpec", container.map(container_spec))
        .with("Resources", resources)
        .maybe("RestartPolicy", spec.restart.as_ref().map(restart))
        .maybe("Placement", spec.placement.as_ref().map(placement))
        .unless_empty("Networks", each(&spec.networks, network))
        .maybe("LogDriver", spec.log_driver.as_ref().map(driver))
        .with("ForceUpdate", spec.force_update)
        .with("Runtime", kind)
        .done()
}

fn container_spec(spec: &ContainerSpec) -> Value {
    let fields = Fields::default()
        .with("Image", spec.image.as_str())
        .unless_empty("Labels", texts(&spec.labels))
        .unless_empty("Command", spec.command.clone())
        .unless_empty("Args", spec.args.clone())
        .unless_empty("Hostname", spec.hostname.as_str())
        .unless_empty("Env", spec.env.clone())
        .unless_empty("Dir", spec.dir.as_str())
        .unless_empty("User", spec.user.as_str())
        .unless_empty("Groups", spec.groups.clone())
        .maybe("Privileges", spec.privileges.as_ref().map(privileges))
        .unless_empty("TTY", spec.tty)
        .unless_empty("OpenStdin", spec.open_stdin)
        .unless_empty("ReadOnly", spec.read_only)
        .unless_empty("Mounts", each(&spec.mounts, mount))
        .unless_empty("StopSignal", spec.stop_signal.as_str())
        .maybe("StopGracePeriod", nanos(spec.stop_grace_period.as_ref()))
        .maybe("Healthcheck", spec.healthcheck.as_ref().map(health))
        .unless_empty("Hosts", spec.hosts.clone());
    kernel(fields, spec).done()
}

fn kernel(fields: Fields, spec: &ContainerSpec) -> Fields {
    let dns = spec.dns_config.as_ref().map(|dns| {
        Fields::default()
            .unless_empty("Nameservers", dns.nameservers.clone())
            .unless_empty("Search", dns.search.clone())
            .unless_empty("Options", dns.options.clone())
            .done()
    });
    let ulimit = |u: &Ulimit| json!({"Name": u.name, "Soft": u.soft, "Hard": u.hard});
    let isolation = spec
        .isolation()
        .as_str_name()
        .trim_start_matches("ISOLATION_");
    fields
        .maybe("DNSConfig", dns)
        .unless_empty("Secrets", each(&spec.secrets, secret))
        .unless_empty("Configs", each(&spec.configs, config))
        .with("Isolation", isolation.to_lowercase())
        .maybe("Init", spec.init.map(Value::from))
        .unless_empty("Sysctls", texts(&spec.sysctls))
        .unless_empty("CapabilityAdd", spec.capability_add.clone())
        .unless_empty("CapabilityDrop", spec.capability_drop.clone())
        .unless_empty("Ulimits", each(&spec.ulimits, ulimit))
        .unless_empty("OomScoreAdj", spec.oom_score_adj)
}

fn privileges(privileges: &Privileges) -> Value {
    let credential = privileges
        .credential_spec
        .as_ref()
        .and_then(|c| c.source.as_ref());
    let credential = credential.map(|source| match source {
        Source::File(path) => json!({"File": path}),
        Source::Registry(name) => json!({"Registry": name}),
        Source::Config(id) => json!({"Config": id}),
    });
    Fields::default()
        .maybe("CredentialSpec", credential)
        .unless_empty("NoNewPrivileges", privileges.no_new_privileges)
        .done()
}

fn mount(mount: &Mount) -> Value {
    let bind = mount.bind_options.as_ref().map(|o| {
        Fields::default()
            .with("Propagation", dashed(o.propagation().as_str_name()))
            .unless_empty("NonRecursive", o.nonrecursive)
            .unless_empty("CreateMountpoint", o.createmountpoint)
            .unless_empty("ReadOnlyNonRecursive", o.readonlynonrecursive)
            .unless_empty("ReadOnlyForceRecursive", o.readonlyforcerecursive)
            .done()
    });
    let volume = mount.volume_options.as_ref().map(|o| {
        Fields::default()
            .unless_empty("NoCopy", o.nocopy)
            .unless_empty("Labels", texts(&o.labels))
            .unless_empty("Subpath", o.subpath.as_str())
            .maybe("DriverConfig", o.driver_config.as_ref().map(driver))
            .done()
    });
    let tmpfs = mount.tmpfs_options.as_ref().map(|o| {
        Fields::default()
            .unless_empty("SizeBytes", o.size_bytes)
            .unless_empty("Mode", o.mode)
            .unless_empty("Options", o.options.as_str())
            .done()
    });
    Fields::default()
        .with("Type", dashed(mount.r#type().as_str_name()))
        .unless_empty("Source", mount.source.as_str())
        .with("Target", mount.target.as_str())
        .unless_empty("ReadOnly", mount.readonly)
        .maybe("BindOptions", bind)
        .maybe("VolumeOptions", volume)
        .maybe("TmpfsOptions", tmpfs)
        .done()
}

fn health(check: &HealthConfig) -> Value {
    Fields::default()
        .unless_empty("Test", check.test.clone())
        .maybe("Interval", nanos(check.interval.as_ref()))
        .maybe("Timeout", nanos(check.timeout.as_ref()))
        .maybe("StartPeriod", nanos(check.start_period.as_ref()))
        .maybe("StartInterval", nanos(check.start_interval.as_ref()))
        .unless_empty("Retries", check.retries)
        .done()
}

fn file(file: &FileTarget) -> Value {
    json!({"Name": file.name, "UID": file.uid, "GID": file.gid, "Mode": file.mode})
}

fn secret(reference: &SecretReference) -> Value {
    let target = reference
        .target
        .as_ref()
        .map(|SecretTarget::File(target)| file(target));
    Fields::default()
        .maybe("File", target)
        .with("SecretID", reference.secret_id.as_str())
        .with("SecretName", reference.secret_name.as_str())
        .done()
}

fn config(reference: &ConfigReference) -> Value {
    let fields = match &reference.target {
        Some(ConfigTarget::File(target)) => Fields::default().with("File", file(target)),
        Some(ConfigTarget::Runtime(_)) => Fields::default().with("Runtime", json!({})),
        None => Fields::default(),
    };
    fields
        .with("ConfigID", reference.config_id.as_str())
        .with("ConfigName", reference.config_name.as_str())
        .done()
}

fn resources(all: &ResourceRequirements, pids: i64) -> Value {
    let limits = Fields(amounts(all.limits.as_ref()))
        .unless_empty("Pids", pids)
        .done();
    Fields::default()
        .with("Limits", limits)
        .with(
            "Reservations",
            Value::Object(amounts(all.reservations.as_ref())),
        )
        .maybe("SwapBytes", all.swap_bytes.map(Value::from))
        .maybe("MemorySwappiness", all.memory_swappiness.map(Value::from))
        .done()
}

/// An amount of resources.
pub fn amounts(resources: Option<&Resources>) -> serde_json::Map<String, Value> {
    let empty = Resources::default();
    let resources = resources.unwrap_or(&empty);
    Fields::default()
        .unless_empty("NanoCPUs", resources.nano_cpus)
        .unless_empty("MemoryBytes", resources.memory_bytes)
        .unless_empty("GenericResources", each(&resources.generic, generic))
        .0
}

/// A generic resource.
pub fn generic(resource: &GenericResource) -> Value {
    match &resource.resource {
        Some(Resource::NamedResourceSpec(named)) => {
            json!({"NamedResourceSpec": {"Kind": named.kind, "Value": named.value}})
        }
        Some(Resource::DiscreteResourceSpec(discrete)) => {
            json!({"DiscreteResourceSpec": {"Kind": discrete.kind, "Value": discrete.value}})
        }
        None => Value::Null,
    }
}

fn restart(policy: &RestartPolicy) -> Value {
    Fields::default()
        .with("Condition", dashed(policy.condition().as_str_name()))
        .maybe("Delay", nanos(policy.delay.as_ref()))
        .with("MaxAttempts", policy.max_attempts)
        .maybe("Window", nanos(policy.window.as_ref()))
        .done()
}

fn placement(placement: &Placement) -> Value {
    let preference = |p: &wire::api::PlacementPreference| match &p.preference {
        Some(Preference::Spread(over)) => {
            json!({"Spread": {"SpreadDescriptor": over.spread_descriptor}})
        }
        None => Value::Null,
    };
    let platform = |p: &wire::api::Platform| json!({"Architecture": p.architecture, "OS": p.os});
    Fields::default()
        .unless_empty("Constraints", placement.constraints.clone())
        .unless_empty("Preferences", each(&placement.preferences, preference))
        .unless_empty("MaxReplicas", placement.max_replicas)
        .unless_empty("Platforms", each(&placement.platforms, platform))
        .done()
}

fn network(network: &NetworkAttachmentConfig) -> Value {
    Fields::default()
        .with("Target", network.target.as_str())
        .unless_empty("Aliases", network.aliases.clone())
        .unless_empty("DriverOpts", texts(&network.driver_attachment_opts))
        .done()
}
