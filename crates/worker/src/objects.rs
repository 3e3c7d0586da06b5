//! The secrets and configs of this node, in memory only.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::task::ResourceKind;
use types::{Config, ConfigId, Secret, SecretId, Task};

use crate::input::Run;

/// Everything tasks of this node may read.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) secrets: BTreeMap<SecretId, Arc<Secret>>,
    pub(crate) configs: BTreeMap<ConfigId, Arc<Config>>,
    /// A manager has said what is here: a complete set came, and nothing was missed since. Managers
    /// send what a task needs no later than the task, and no id is used twice, so what is not here
    /// then was removed from the cluster.
    pub(crate) is_complete: bool,
}

/// Something that a task references is not here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It may still come.
    Awaited(String),
    /// It will never come.
    Gone(String),
}

impl Objects {
    /// A task with what it references.
    ///
    /// # Errors
    /// The first thing it references that is not here, in words.
    pub(crate) fn restrict(&self, task: &Arc<Task>) -> Result<Run, Absent> {
        let mut run = Run {
            task: task.clone(),
            secrets: Vec::new(),
            configs: Vec::new(),
        };
        if let Some(container) = task.spec().container() {
            for reference in &container.secrets {
                let secret = self.secrets.get(&reference.secret_id);
                let secret = secret.ok_or_else(|| self.absent("secret", &reference.secret_name))?;
                run.secrets.push(secret.clone());
            }
            for reference in &container.configs {
                let config = self.configs.get(&reference.config_id);
                let config = config.ok_or_else(|| self.absent("config", &reference.config_name))?;
                run.configs.push(config.clone());
            }
        }
        self.add_listed(task, &mut run);
        Ok(run)
    }

    fn absent(&self, kind: &str, name: &str) -> Absent {
        if self.is_complete {
            return Absent::Gone(format!("{kind} {name:?} was removed from the cluster"));
        }
        let text = format!("waiting for {kind} {name:?}, which has not arrived on this node");
        Absent::Awaited(text)
    }

    /// What the spec lists by id. A runtime that needs one says so itself.
    fn add_listed(&self, task: &Task, run: &mut Run) {
        for reference in &task.spec().resource_references {
            let id = &reference.resource_id;
            match reference.kind {
                ResourceKind::Secret => {
                    let found = id.parse().ok().and_then(|id| self.secrets.get(&id));
                    run.secrets.extend(found.cloned());
                }
                ResourceKind::Config => {
                    let found = id.parse().ok().and_then(|id| self.configs.get(&id));
                    run.configs.extend(found.cloned());
                }
                ResourceKind::Task | ResourceKind::Volume => {}
            }
        }
    }
}
