//! A task as JSON.

use serde_json::{Value, json};
use wire::api::task_status::RuntimeStatus;
use wire::api::{NetworkAttachment, Task, TaskState, TaskStatus};

use super::{Fields, begin, container, dashed, each, service, texts, time};

/// The whole object.
pub fn task(task: &Task) -> Value {
    let annotations = task.annotations.as_ref();
    let iteration = task.job_iteration.map(|v| json!({"Index": v.index}));
    let begun = begin(&task.id, task.meta.as_ref())
        .unless_empty("Name", annotations.map_or("", |a| a.name.as_str()))
        .with(
            "Labels",
            annotations.map_or_else(|| json!({}), |a| texts(&a.labels)),
        )
        .maybe("Spec", task.spec.as_ref().map(container::task_spec))
        .with("ServiceID", task.service_id.as_str())
        .unless_empty("Slot", task.slot)
        .unless_empty("NodeID", task.node_id.as_str());
    begun
        .maybe("Status", task.status.as_ref().map(status))
        .with("DesiredState", state(task.desired_state()))
        .unless_empty("NetworksAttachments", each(&task.networks, network))
        .unless_empty(
            "GenericResources",
            each(&task.assigned_generic_resources, container::generic),
        )
        .maybe("JobIteration", iteration)
        .maybe(
            "SpecVersion",
            task.spec_version.map(|v| json!({"Index": v.index})),
        )
        .done()
}

/// A state as users write it.
pub fn state(state: TaskState) -> String {
    dashed(state.as_str_name())
}

fn status(status: &TaskStatus) -> Value {
    let container = status.runtime_status.as_ref().map(|RuntimeStatus::Container(c)| {
        json!({"ContainerID": c.container_id, "PID": c.pid, "ExitCode": c.exit_code})
    });
    let ports = status
        .port_status
        .as_ref()
        .map(|p| json!({"Ports": each(&p.ports, service::port)}));
    Fields::default()
        .maybe(
            "Timestamp",
            time(status.timestamp.as_ref()).map(Value::from),
        )
        .with("State", state(status.state()))
        .with("Message", status.message.as_str())
        .unless_empty("Err", status.err.as_str())
        .maybe("ContainerStatus", container)
        .maybe("PortStatus", ports)
        .done()
}

fn network(attachment: &NetworkAttachment) -> Value {
    let network = attachment.network.as_ref();
    let name = network.and_then(|n| n.spec.as_ref()?.annotations.as_ref());
    Fields::default()
        .with("NetworkID", network.map_or("", |n| n.id.as_str()))
        .with("Name", name.map_or("", |a| a.name.as_str()))
        .with("Addresses", attachment.addresses.clone())
        .done()
}
