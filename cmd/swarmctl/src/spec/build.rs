//! A new service's spec from flags, and changes of an existing one.

use wire::api::endpoint_spec::ResolutionMode;
use wire::api::restart_policy::RestartCondition;
use wire::api::service_spec::Mode;
use wire::api::task_spec::Runtime;
use wire::api::{
    Annotations, ContainerSpec, Driver, EndpointSpec, Placement, Resources, RestartPolicy,
    ServiceSpec, TaskSpec,
};

use super::args::{ContainerArgs, ResourceArgs, RestartArgs, SpecArgs};
use super::lists::Edits;
use super::policy::Policies;
use super::{container, edit, mode, options};
use crate::error::{CliError, Result};
use crate::parse::keyed;
use crate::parse::reference::Ids;
use crate::parse::scalar::wire_duration;

/// What a new service is, beside the flags that an update has too.
#[derive(Debug, Default)]
pub struct New<'a> {
    /// Name; the cluster refuses an empty one.
    pub name: &'a str,
    /// One of [`mode::NAMES`].
    pub mode: &'a str,
    /// Image.
    pub image: &'a str,
    /// Replaces the command of the image.
    pub args: &'a [String],
}

/// Flags of an update, parsed.
pub struct Changes<'a> {
    /// Flags with one value.
    pub spec: &'a SpecArgs,
    /// Both policies.
    pub policies: &'a Policies,
    /// Flags that may be repeated.
    pub edits: &'a Edits,
    /// Ids of what the flags name.
    pub ids: &'a Ids,
}

/// The spec of a new service.
///
/// # Errors
/// If a value cannot be read, naming its flag.
pub fn create(new: &New<'_>, changes: &Changes<'_>) -> Result<ServiceSpec> {
    let container = ContainerSpec {
        image: new.image.to_owned(),
        args: new.args.to_vec(),
        ..ContainerSpec::default()
    };
    let runtime = Some(Runtime::Container(container));
    let mut spec = ServiceSpec {
        annotations: Some(Annotations {
            name: new.name.to_owned(),
            ..Annotations::default()
        }),
        task: Some(TaskSpec {
            runtime,
            ..TaskSpec::default()
        }),
        mode: Some(mode::create(new.mode, changes.spec)?),
        ..ServiceSpec::default()
    };
    update(&mut spec, changes)?;
    Ok(spec)
}

/// Changes a spec where flags were given.
///
/// # Errors
/// If a value cannot be read, naming its flag.
pub fn update(spec: &mut ServiceSpec, changes: &Changes<'_>) -> Result<()> {
    let mut mode = spec.mode.unwrap_or(Mode::Replicated(<_>::default()));
    mode::update(&mut mode, changes.spec)?;
    spec.mode = Some(mode);
    changes.policies.update.apply(&mut spec.update);
    changes.policies.rollback.apply(&mut spec.rollback);
    if let Some(name) = &changes.spec.endpoint_mode {
        let resolution = if name == "dnsrr" {
            ResolutionMode::Dnsrr
        } else {
            ResolutionMode::Vip
        };
        spec.endpoint
            .get_or_insert_with(EndpointSpec::default)
            .set_mode(resolution);
    }
    let task = spec.task.get_or_insert_default();
    resources(task, &changes.spec.resources);
    restart(
        &mut task.restart,
        &changes.spec.restart,
        mode::is_job(Some(&mode)),
    );
    log_driver(&mut task.log_driver, &changes.spec.container)?;
    let container_spec = container_mut(task)?;
    container::apply(container_spec, &changes.spec.container, changes.ids)?;
    container::health(&mut container_spec.healthcheck, &changes.spec.health);
    if let Some(limit) = changes.spec.resources.limit_pids {
        container_spec.pids_limit = limit;
    }
    edit::apply(spec, changes.edits, changes.ids)?;
    options::apply(spec, &changes.spec.options, changes.edits)
}

/// The container of a task's spec.
///
/// # Errors
/// If tasks are something else.
pub fn container_mut(task: &mut TaskSpec) -> Result<&mut ContainerSpec> {
    match &mut task.runtime {
        Some(Runtime::Container(container)) => Ok(container),
        _ => Err(CliError::Failed(
            "the tasks of this service are not containers".into(),
        )),
    }
}

fn resources(task: &mut TaskSpec, args: &ResourceArgs) {
    let mut all = task.resources.take().unwrap_or_default();
    amounts(&mut all.limits, args.limit_cpu, args.limit_memory);
    amounts(&mut all.reservations, args.reserve_cpu, args.reserve_memory);
    all.swap_bytes = args.memory_swap.or(all.swap_bytes);
    all.memory_swappiness = args.memory_swappiness.or(all.memory_swappiness);
    task.resources = (all != <_>::default()).then_some(all);
    if let Some(most) = args.replicas_max_per_node {
        task.placement
            .get_or_insert_with(Placement::default)
            .max_replicas = most;
    }
}

fn amounts(resources: &mut Option<Resources>, cpus: Option<i64>, memory: Option<i64>) {
    if cpus.is_none() && memory.is_none() {
        return;
    }
    let resources = resources.get_or_insert_default();
    resources.nano_cpus = cpus.unwrap_or(resources.nano_cpus);
    resources.memory_bytes = memory.unwrap_or(resources.memory_bytes);
}

fn restart(policy: &mut Option<RestartPolicy>, args: &RestartArgs, job: bool) {
    let given = args.restart_condition.is_some()
        || args.restart_delay.is_some()
        || args.restart_max_attempts.is_some()
        || args.restart_window.is_some();
    if !given {
        return;
    }
    let usual = if job {
        RestartCondition::OnFailure
    } else {
        RestartCondition::Any
    };
    let policy = policy.get_or_insert_with(|| RestartPolicy {
        condition: usual.into(),
        delay: Some(wire_duration(types::defaults::RESTART_DELAY)),
        ..RestartPolicy::default()
    });
    if let Some(condition) = &args.restart_condition {
        policy.set_condition(match condition.as_str() {
            "none" => RestartCondition::None,
            "on-failure" => RestartCondition::OnFailure,
            _ => RestartCondition::Any,
        });
    }
    policy.delay = args.restart_delay.map(wire_duration).or(policy.delay);
    policy.max_attempts = args.restart_max_attempts.unwrap_or(policy.max_attempts);
    policy.window = args.restart_window.map(wire_duration).or(policy.window);
}

fn log_driver(driver: &mut Option<Driver>, args: &ContainerArgs) -> Result<()> {
    if args.log_driver.is_none() && args.log_opts.is_empty() {
        return Ok(());
    }
    let refuse = |why| CliError::flag("log-opt", &args.log_opts.join(" "), why);
    let options = keyed::labels(&args.log_opts).map_err(refuse)?;
    let name = args.log_driver.clone();
    let name = name
        .or_else(|| driver.take().map(|old| old.name))
        .unwrap_or_default();
    *driver = Some(Driver { name, options });
    Ok(())
}
