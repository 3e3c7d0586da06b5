//! What tasks of a service need and where they may run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use scheduler::constraint;
use types::resources::ResourceRequirements;
use types::task::{Placement, PlacementPreference, RestartPolicy};
use types::{GenericResource, Resources, Runtime, TaskSpec};

use crate::container::check_container;
use crate::problem::Check;

/// Least CPU that means something: a thousandth of a core (SwarmKit's number).
const NANO_CPUS_MIN: i64 = 1_000_000;

/// Least memory that an engine starts a container with (SwarmKit's number).
const MEMORY_BYTES_MIN: i64 = 4 << 20;

/// Most restart attempts that can be asked for: every counted attempt keeps a record.
pub const RESTART_ATTEMPTS_MAX: u64 = 10_000;

/// Shortest kind of a generic runtime (SwarmKit's number).
const RUNTIME_KIND_LEN_MIN: usize = 3;

/// Most constraints of one service: each is asked on each node.
const CONSTRAINTS_MAX: usize = 64;

/// Longest kind of a generic resource, in bytes.
const GENERIC_KIND_LEN_MAX: usize = 64;

/// What a placement preference may spread over.
const SPREAD_PREFIXES: [&str; 2] = ["node.labels.", "engine.labels."];

/// Checks a task spec.
pub(crate) fn check_task(check: &mut Check, spec: &TaskSpec) {
    match &spec.runtime {
        Runtime::Container(container) => check_container(check, container),
        Runtime::Attachment { .. } => check.fail(
            "task.runtime",
            "a service cannot be made of network attachments",
        ),
        Runtime::Generic {
            kind,
            payload_type_url,
            payload,
        } => check_generic(
            check,
            kind,
            !payload_type_url.is_empty() && !payload.is_empty(),
        ),
    }
    check_requirements(check, &spec.resources);
    if let Some(policy) = &spec.restart {
        check_restart(check, policy);
    }
    if let Some(placement) = &spec.placement {
        check_placement(check, placement);
    }
    if let Some(driver) = &spec.log_driver {
        check.require(
            !driver.name.is_empty() || driver.options.is_empty(),
            "task.log_driver.name",
            "options are given for a log driver without a name",
        );
    }
}

fn check_generic(check: &mut Check, kind: &str, has_payload: bool) {
    let known = matches!(kind, "container" | "attachment");
    check.require(
        kind.len() >= RUNTIME_KIND_LEN_MIN && !known,
        "task.runtime.kind",
        format_args!("{kind:?} is not a kind of runtime: it has 3 or more characters of its own"),
    );
    check.require(
        has_payload,
        "task.runtime.payload",
        "a payload with type and value is required",
    );
}

fn check_requirements(check: &mut Check, requirements: &ResourceRequirements) {
    let parts = [
        ("limits", &requirements.limits),
        ("reservations", &requirements.reservations),
    ];
    for (name, resources) in parts {
        if let Some(resources) = resources {
            check_resources(check, &format!("task.resources.{name}"), resources);
        }
    }
    if let (Some(limits), Some(reserved)) = (&requirements.limits, &requirements.reservations) {
        let exceeds = |reserved: i64, limit: i64| limit > 0 && reserved > limit;
        check.require(
            !exceeds(reserved.nano_cpus, limits.nano_cpus)
                && !exceeds(reserved.memory_bytes, limits.memory_bytes),
            "task.resources.reservations",
            "more is reserved than the limits let the task use",
        );
    }
    let swappiness = requirements.memory_swappiness.unwrap_or(-1);
    check.require(
        (-1..=100).contains(&swappiness),
        "task.resources.memory_swappiness",
        "swappiness is 0 to 100, or -1 for the engine's default",
    );
    check.require(
        requirements.swap_bytes.is_none_or(|b| b >= -1),
        "task.resources.swap_bytes",
        "swap is a size, or -1 for unlimited",
    );
}

fn check_resources(check: &mut Check, path: &str, resources: &Resources) {
    let Resources {
        nano_cpus,
        memory_bytes,
        generic,
    } = resources;
    check.require(
        *nano_cpus == 0 || *nano_cpus >= NANO_CPUS_MIN,
        format_args!("{path}.nano_cpus"),
        format_args!("{nano_cpus} billionths of a core: the least is 0.001 core"),
    );
    check.require(
        *memory_bytes == 0 || *memory_bytes >= MEMORY_BYTES_MIN,
        format_args!("{path}.memory_bytes"),
        format_args!("{memory_bytes} bytes: the least is 4 MiB"),
    );
    let mut kinds = BTreeMap::new();
    for (at, resource) in generic.iter().enumerate() {
        let path = format!("{path}.generic[{at}]");
        let kind = resource.kind();
        check.require(
            is_kind(kind),
            format_args!("{path}.kind"),
            format_args!(
                "{kind:?} is not a kind of resource: 1 to {GENERIC_KIND_LEN_MAX} letters, digits, \
                 '-', '_', '.' or '/', such as gpu"
            ),
        );
        let seen: Option<usize> = kinds.insert(kind, at);
        check.require(
            seen.is_none(),
            format_args!("{path}.kind"),
            format_args!("{kind:?} is asked for twice, add the counts up"),
        );
        match resource {
            GenericResource::Discrete { value, .. } => check.require(
                *value > 0,
                format_args!("{path}.value"),
                format_args!("{value} of {kind:?}: ask for 1 or more"),
            ),
            GenericResource::Named { value, .. } => check.fail(
                format_args!("{path}.value"),
                format_args!("{value:?} is a unit by name: a task asks for a number of {kind:?}"),
            ),
        }
    }
}

/// Whether executors can hand it on: it becomes part of the name of an environment variable.
fn is_kind(kind: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (1..=GENERIC_KIND_LEN_MAX).contains(&kind.len()) && kind.chars().all(allowed)
}

fn check_restart(check: &mut Check, policy: &RestartPolicy) {
    check.require(
        policy.max_attempts <= RESTART_ATTEMPTS_MAX,
        "task.restart.max_attempts",
        format_args!(
            "{} attempts: the most is {RESTART_ATTEMPTS_MAX}, use 0 for unlimited",
            policy.max_attempts
        ),
    );
}

fn check_placement(check: &mut Check, placement: &Placement) {
    check.require(
        placement.constraints.len() <= CONSTRAINTS_MAX,
        "task.placement.constraints",
        format_args!(
            "{} constraints: the most is {CONSTRAINTS_MAX}",
            placement.constraints.len()
        ),
    );
    for (at, text) in placement.constraints.iter().enumerate() {
        if let Err(error) = constraint::parse(text) {
            check.fail(format_args!("task.placement.constraints[{at}]"), error);
        }
    }
    let mut seen = BTreeSet::new();
    for (at, PlacementPreference::Spread { descriptor }) in placement.preferences.iter().enumerate()
    {
        let path = format!("task.placement.preferences[{at}]");
        check_spread(check, &path, descriptor);
        check.require(
            seen.insert(descriptor),
            &path,
            format_args!("{descriptor:?} is there twice"),
        );
    }
}

fn check_spread(check: &mut Check, path: impl fmt::Display, descriptor: &str) {
    let lower = descriptor.to_lowercase();
    let label = SPREAD_PREFIXES.iter().find_map(|p| lower.strip_prefix(p));
    check.require(
        label.is_some_and(|l| !l.is_empty()),
        path,
        format_args!("{descriptor:?} cannot be spread over, use node.labels.NAME"),
    );
}
