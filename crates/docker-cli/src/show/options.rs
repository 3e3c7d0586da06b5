//! What labels below `swarm.` carry, read for people.

use types::Timestamp;
use types::meta::Labels;
use types::options::ServiceOptions;
use wire::api::{Service, ServiceSpec};

use crate::out::human;

/// The options that a spec's labels carry, and the labels that are the user's own. What cannot be
/// read stays among the labels: the cluster may be newer than this program.
pub fn read(spec: &ServiceSpec) -> (ServiceOptions, Labels) {
    let labels = spec.annotations.as_ref().map(|a| a.labels.clone());
    let mut own = labels.unwrap_or_default();
    let whole = own.clone();
    match ServiceOptions::take(&mut own) {
        Ok(options) => (options, own),
        Err(_) => (ServiceOptions::default(), whole),
    }
}

/// When a service's job runs next, as its manager decides it; `None` if it has no schedule.
pub fn next_run(service: &Service, now: Timestamp) -> Option<Timestamp> {
    let (options, _) = read(service.spec.as_ref()?);
    let calendar = calendar::Calendar::of(options.schedule.as_ref()?).ok()?;
    let job = service.job_status.as_ref();
    let last = human::moment(job.and_then(|j| j.last_execution.as_ref()));
    calendar.next_after(now.max(last))
}
