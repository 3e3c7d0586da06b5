//! A service as JSON.

use calendar::LeftOut;
use serde_json::{Value, json};
use types::options::{Rebalance, Schedule, ServiceOptions};
use wire::api::service_spec::Mode;
use wire::api::{
    Annotations, Endpoint, EndpointSpec, PortConfig, Service, ServiceSpec, Task, UpdateConfig,
    UpdateStatus,
};

use super::{Fields, annotations, begin, container, dashed, each, nanos, options, time};
use crate::out::human;

/// The whole object. The tasks are those of the service; only what a schedule left out is read
/// from them.
pub fn service(service: &Service, tasks: &[Task]) -> Value {
    let next = options::next_run(service, human::now()).map(|at| at.to_string());
    let job = service.job_status.as_ref().map(|job| {
        let iteration = job.job_iteration.map_or(0, |v| v.index);
        Fields::default()
            .with("JobIteration", json!({"Index": iteration}))
            .maybe(
                "LastExecution",
                time(job.last_execution.as_ref()).map(Value::from),
            )
            .maybe("NextExecution", next.map(Value::from))
            .maybe("LeftOut", options::left_out(service, tasks).map(left_out))
            .done()
    });
    begin(&service.id, service.meta.as_ref())
        .maybe("Spec", service.spec.as_ref().map(spec))
        .maybe("PreviousSpec", service.previous_spec.as_ref().map(spec))
        .maybe("Endpoint", service.endpoint.as_ref().map(endpoint))
        .maybe(
            "UpdateStatus",
            service.update_status.as_ref().map(update_status),
        )
        .maybe("JobStatus", job)
        .done()
}

fn left_out(left_out: LeftOut) -> Value {
    json!({
        "Runs": left_out.count,
        "LastDue": left_out.newest.to_string(),
        "Reason": left_out.reason,
    })
}

/// A spec.
pub fn spec(spec: &ServiceSpec) -> Value {
    let (options, labels) = options::read(spec);
    let named = Annotations {
        labels,
        ..spec.annotations.clone().unwrap_or_default()
    };
    annotations(Some(&named))
        .maybe("TaskTemplate", spec.task.as_ref().map(container::task_spec))
        .maybe("Mode", spec.mode.as_ref().map(mode))
        .maybe("UpdateConfig", spec.update.as_ref().map(policy))
        .maybe("RollbackConfig", spec.rollback.as_ref().map(policy))
        .maybe("EndpointSpec", spec.endpoint.as_ref().map(endpoint_spec))
        .unless_empty("Options", service_options(&options))
        .done()
}

/// What goes beyond Docker's spec.
fn service_options(options: &ServiceOptions) -> Value {
    let texts = |items: Vec<String>| Value::from(items);
    let depends_on = options.depends_on.iter().map(ToString::to_string).collect();
    let moves_by_itself = options.rebalance != Rebalance::default();
    let deadline = options
        .progress_deadline
        .map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    Fields::default()
        .maybe("Strategy", options.strategy.map(|s| s.to_string().into()))
        .unless_empty("Priority", options.priority)
        .unless_empty("Affinities", texts(options.affinities.clone()))
        .unless_empty("DependsOn", texts(depends_on))
        .maybe("Schedule", options.schedule.as_ref().map(schedule))
        .maybe(
            "Rebalance",
            moves_by_itself.then(|| options.rebalance.to_string().into()),
        )
        .maybe("ProgressDeadline", deadline.map(Value::from))
        .done()
}

fn schedule(schedule: &Schedule) -> Value {
    let zone = match schedule.time_zone.as_str() {
        "" => "UTC",
        zone => zone,
    };
    json!({
        "Cron": schedule.cron,
        "TimeZone": zone,
        "Concurrency": schedule.concurrency.to_string(),
        "Missed": schedule.missed.to_string(),
        "History": schedule.history,
    })
}

fn mode(mode: &Mode) -> Value {
    match mode {
        Mode::Replicated(m) => json!({"Replicated": {"Replicas": m.replicas}}),
        Mode::Global(_) => json!({"Global": {}}),
        Mode::ReplicatedJob(m) => json!({"ReplicatedJob": {
            "MaxConcurrent": m.max_concurrent, "TotalCompletions": m.total_completions,
        }}),
        Mode::GlobalJob(_) => json!({"GlobalJob": {}}),
    }
}

fn policy(policy: &UpdateConfig) -> Value {
    Fields::default()
        .with("Parallelism", policy.parallelism)
        .maybe("Delay", nanos(policy.delay.as_ref()))
        .with(
            "FailureAction",
            dashed(policy.failure_action().as_str_name()),
        )
        .maybe("Monitor", nanos(policy.monitor.as_ref()))
        .with("MaxFailureRatio", policy.max_failure_ratio)
        .with("Order", dashed(policy.order().as_str_name()))
        .done()
}

/// A published port.
pub fn port(port: &PortConfig) -> Value {
    Fields::default()
        .unless_empty("Name", port.name.as_str())
        .with("Protocol", dashed(port.protocol().as_str_name()))
        .with("TargetPort", port.target_port)
        .unless_empty("PublishedPort", port.published_port)
        .with("PublishMode", dashed(port.publish_mode().as_str_name()))
        .done()
}

fn endpoint_spec(spec: &EndpointSpec) -> Value {
    Fields::default()
        .with("Mode", dashed(spec.mode().as_str_name()))
        .unless_empty("Ports", each(&spec.ports, port))
        .done()
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let ip =
        |ip: &wire::api::endpoint::VirtualIp| json!({"NetworkID": ip.network_id, "Addr": ip.addr});
    Fields::default()
        .maybe("Spec", endpoint.spec.as_ref().map(endpoint_spec))
        .unless_empty("Ports", each(&endpoint.ports, port))
        .unless_empty("VirtualIPs", each(&endpoint.virtual_ips, ip))
        .done()
}

fn update_status(status: &UpdateStatus) -> Value {
    Fields::default()
        .with("State", dashed(status.state().as_str_name()))
        .maybe(
            "StartedAt",
            time(status.started_at.as_ref()).map(Value::from),
        )
        .maybe(
            "CompletedAt",
            time(status.completed_at.as_ref()).map(Value::from),
        )
        .with("Message", status.message.as_str())
        .done()
}
