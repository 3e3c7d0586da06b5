//! The labels that mark what belongs to a task. Names are Docker's, so its tools find our tasks.

use types::Labels;
use types::naming::task_name;

use crate::run::TaskRun;

/// Marks every container of a task; empty.
pub const LABEL_TASK: &str = "com.docker.swarm.task";
/// Task id.
pub const LABEL_TASK_ID: &str = "com.docker.swarm.task.id";
/// Task name.
pub const LABEL_TASK_NAME: &str = "com.docker.swarm.task.name";
/// Node id.
pub const LABEL_NODE_ID: &str = "com.docker.swarm.node.id";
/// Service id.
pub const LABEL_SERVICE_ID: &str = "com.docker.swarm.service.id";
/// Service name.
pub const LABEL_SERVICE_NAME: &str = "com.docker.swarm.service.name";

/// Labels of a task's container: those of its spec, over them those of the task, over them the
/// system's.
pub fn task_labels(run: &TaskRun) -> Labels {
    let task = &run.task;
    let mut labels = task
        .spec()
        .container()
        .map(|spec| spec.labels.clone())
        .unwrap_or_default();
    if let Some(own) = task.labels() {
        labels.extend(own.clone());
    }
    let id_or_empty = |id: Option<String>| id.unwrap_or_default();
    let system = [
        (LABEL_TASK, String::new()),
        (LABEL_TASK_ID, task.id.to_string()),
        (LABEL_TASK_NAME, task_name(task)),
        (
            LABEL_NODE_ID,
            id_or_empty(run.node.id.map(|id| id.to_string())),
        ),
        (
            LABEL_SERVICE_ID,
            id_or_empty(task.service_id.map(|id| id.to_string())),
        ),
        (LABEL_SERVICE_NAME, task.service_annotations().name.clone()),
    ];
    labels.extend(system.map(|(key, value)| (key.to_owned(), value)));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::NodeFacts;
    use crate::testing;

    #[test]
    fn system_labels_win_over_those_of_the_task_and_those_over_the_specs() {
        let mut task = testing::task("web", |spec| {
            spec.labels.insert("a".into(), "spec".into());
            spec.labels.insert("b".into(), "spec".into());
            spec.labels.insert(LABEL_TASK_ID.into(), "forged".into());
        });
        let own = types::Annotations {
            labels: [("b".to_owned(), "task".to_owned())].into(),
            ..types::Annotations::default()
        };
        task.annotations = Some(Box::new(own));
        let run = TaskRun::new(task.into(), NodeFacts::default());
        let labels = task_labels(&run);
        assert_eq!(labels["a"], "spec");
        assert_eq!(labels["b"], "task");
        assert_eq!(labels[LABEL_TASK_ID], run.id().to_string());
        assert_eq!(labels[LABEL_SERVICE_NAME], "web");
        assert_eq!(labels[LABEL_TASK_NAME], format!("web.1.{}", run.id()));
    }
}
