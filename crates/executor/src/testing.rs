//! Tasks for the tests of executors. Never used by production code.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use types::entropy::SeededEntropy;
use types::service::ServiceSpec;
use types::{Annotations, ContainerSpec, NodeId, Runtime, ServiceId, Task, TaskId, TaskSpec};

/// Entropy that differs between calls and between processes: an engine may still hold the
/// containers of an earlier test run.
pub fn entropy() -> SeededEntropy {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| {
            age.as_secs() * 1_000_000_000 + u64::from(age.subsec_nanos())
        });
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    SeededEntropy::new(nanos ^ (u64::from(std::process::id()) << 40) ^ (call << 20))
}

/// A node id no other call returns.
pub fn node_id() -> NodeId {
    NodeId::random(&mut entropy())
}

/// A task of slot 1 of a service, with a container spec to fill in.
pub fn task(service: &str, fill: impl FnOnce(&mut ContainerSpec)) -> Task {
    task_of(service, |spec| {
        if let Some(container) = spec.task.container_mut() {
            fill(container);
        }
    })
}

/// A task of slot 1 of a service, with a service spec to fill in.
pub fn task_of(service: &str, fill: impl FnOnce(&mut ServiceSpec)) -> Task {
    let mut spec = ServiceSpec {
        annotations: Annotations::named(service),
        task: TaskSpec {
            runtime: Runtime::Container(Box::default()),
            ..TaskSpec::default()
        },
        ..ServiceSpec::default()
    };
    fill(&mut spec);
    let mut entropy = entropy();
    Task {
        spec_version: Some(1),
        service_id: Some(ServiceId::random(&mut entropy)),
        ..Task::new(TaskId::random(&mut entropy), spec)
    }
}
