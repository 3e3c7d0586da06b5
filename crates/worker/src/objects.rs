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
}

impl Objects {
    /// A task with what it references.
    ///
    /// # Errors
    /// The first thing it references that has not arrived, in words.
    pub(crate) fn restrict(&self, task: &Arc<Task>) -> Result<Run, String> {
        let mut run = Run {
            task: task.clone(),
            secrets: Vec::new(),
            configs: Vec::new(),
        };
        if let Some(container) = task.spec().container() {
            for reference in &container.secrets {
                let secret = self.secrets.get(&reference.secret_id);
                let secret = secret.ok_or_else(|| missing("secret", &reference.secret_name))?;
                run.secrets.push(secret.clone());
            }
            for reference in &container.configs {
                let config = self.configs.get(&reference.config_id);
                let config = config.ok_or_else(|| missing("config", &reference.config_name))?;
                run.configs.push(config.clone());
            }
        }
        self.add_listed(task, &mut run);
        Ok(run)
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

fn missing(kind: &str, name: &str) -> String {
    format!("waiting for {kind} {name:?}, which has not arrived on this node")
}
