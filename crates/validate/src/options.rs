//! What services ask for beyond SwarmKit's spec, as far as placement is concerned.

use std::collections::BTreeSet;

use scheduler::affinity;
use types::ServiceSpec;
use types::options::PRIORITY_MAX;

use crate::problem::Check;

/// Most affinities of one service: each is asked on each node.
const AFFINITIES_MAX: usize = 32;

/// Checks affinities and priority.
pub(crate) fn check_placing(check: &mut Check, spec: &ServiceSpec) {
    let options = &spec.options;
    check.require(
        options.priority <= PRIORITY_MAX,
        "options.priority",
        format_args!(
            "{} is not a priority, use 0 to {PRIORITY_MAX}",
            options.priority
        ),
    );
    check.require(
        options.affinities.len() <= AFFINITIES_MAX,
        "options.affinities",
        format_args!(
            "{} affinities: the most is {AFFINITIES_MAX}",
            options.affinities.len()
        ),
    );
    let name = &spec.annotations.name;
    let mut seen = BTreeSet::new();
    for (at, text) in options.affinities.iter().enumerate() {
        let path = format!("options.affinities[{at}]");
        match affinity::parse(text) {
            Err(error) => check.fail(&path, error),
            Ok(affinity) => check.require(
                !affinity.waits_for_itself(name),
                &path,
                format_args!(
                    "{text:?} lets the first task of {name:?} wait for itself, write \
                     service==~{name} to keep its tasks together"
                ),
            ),
        }
        check.require(
            seen.insert(text),
            &path,
            format_args!("{text:?} is there twice"),
        );
    }
}
