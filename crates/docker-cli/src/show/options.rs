//! What labels below `swarm.` carry, read for people.

use calendar::{Calendar, LeftOut};
use types::Timestamp;
use types::meta::Labels;
use types::options::ServiceOptions;
use wire::api::{Meta, Service, ServiceSpec, Task};

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
    let calendar = Calendar::of(options.schedule.as_ref()?).ok()?;
    let job = service.job_status.as_ref();
    let last = human::moment(job.and_then(|j| j.last_execution.as_ref()));
    calendar.next_after(now.max(last))
}

/// Due times that began no run of a service's job since its present one, as its tasks tell.
pub fn left_out(service: &Service, tasks: &[Task]) -> Option<LeftOut> {
    let (options, _) = read(service.spec.as_ref()?);
    let created = |meta: Option<&Meta>| human::moment(meta.and_then(|m| m.created_at.as_ref()));
    let job = service.job_status.as_ref()?;
    let begun = match run(service)? {
        0 => created(service.meta.as_ref()),
        run => {
            let of_run = tasks.iter().filter(|t| is_of_run(t, &service.id, run));
            of_run.map(|t| created(t.meta.as_ref())).min()?
        }
    };
    let dealt_with = human::moment(job.last_execution.as_ref());
    LeftOut::of(options.schedule.as_ref()?, begun, dealt_with)
}

/// The present run of a service's job.
pub fn run(service: &Service) -> Option<u64> {
    let job = service.job_status.as_ref()?;
    Some(job.job_iteration.map_or(0, |v| v.index))
}

/// Whether a task belongs to a run of a service's job.
pub fn is_of_run(task: &Task, service_id: &str, run: u64) -> bool {
    task.service_id == service_id && task.job_iteration.is_some_and(|v| v.index == run)
}
