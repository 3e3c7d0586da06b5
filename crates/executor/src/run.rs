//! A task together with everything its node adds: node facts and the contents of its files.

use std::sync::Arc;

use types::config::Config;
use types::container::{ConfigTarget, FileTarget};
use types::node::Platform;
use types::{ConfigId, ContainerSpec, NodeId, Secret, SecretBytes, SecretId, Task, TaskId};

use crate::error::ExecError;
use crate::template::{self, PayloadSource};

/// Longest secret after expansion, as SwarmKit has it.
const SECRET_BYTES_MAX: usize = 500 * 1024;

/// Longest config after expansion, as SwarmKit has it.
const CONFIG_BYTES_MAX: usize = 1000 * 1024;

/// Driver name that asks for expansion of a secret's or config's content.
const TEMPLATING_DRIVER: &str = "golang";

/// What a task may know of its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Node id; `None` only before the node has one.
    pub id: Option<NodeId>,
    /// Host name.
    pub hostname: String,
    /// Architecture and operating system.
    pub platform: Platform,
}

/// What a file of a task comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A secret; relative names are below `/run/secrets`.
    Secret,
    /// A config; relative names are below `/`.
    Config,
}

/// A file a task gets. Its content is never written to a persistent disk in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFile {
    /// Secret or config.
    pub kind: FileKind,
    /// Name of the object.
    pub name: String,
    /// Where it appears.
    pub target: FileTarget,
    /// Content.
    pub content: SecretBytes,
}

impl TaskFile {
    /// Absolute path in the container.
    pub fn path(&self) -> String {
        let name = &self.target.name;
        match self.kind {
            _ if name.starts_with('/') => name.clone(),
            FileKind::Secret => format!("/run/secrets/{name}"),
            FileKind::Config => format!("/{name}"),
        }
    }
}

/// Where the secrets and configs of a node's tasks are found.
pub trait TaskObjects {
    /// A secret this node was given.
    fn secret(&self, id: SecretId) -> Option<Arc<Secret>>;
    /// A config this node was given.
    fn config(&self, id: ConfigId) -> Option<Arc<Config>>;
}

/// A task with everything its executor needs.
#[derive(Debug, Clone)]
pub struct TaskRun {
    /// The task.
    pub task: Arc<Task>,
    /// Its node.
    pub node: NodeFacts,
    /// Its secrets and configs.
    pub files: Vec<TaskFile>,
}

impl TaskRun {
    /// A task that has no secrets or configs.
    pub fn new(task: Arc<Task>, node: NodeFacts) -> Self {
        Self {
            task,
            node,
            files: Vec::new(),
        }
    }

    /// A task with its secrets and configs looked up and, where they ask for it, expanded.
    ///
    /// # Errors
    ///
    /// [`ExecError::Retry`] while a secret or config has not arrived on the node,
    /// [`ExecError::Rejected`] when one cannot be expanded.
    pub fn resolve(
        task: Arc<Task>,
        node: NodeFacts,
        objects: &dyn TaskObjects,
    ) -> Result<Self, ExecError> {
        let mut run = Self::new(task, node);
        let Some(spec) = run.task.spec().container() else {
            return Ok(run);
        };
        let mut files = Vec::new();
        let mut templated = Vec::new();
        for reference in &spec.secrets {
            let name = &reference.secret_name;
            let secret = objects
                .secret(reference.secret_id)
                .ok_or_else(|| not_arrived("secret", name))?;
            if let Some(target) = reference.file.clone() {
                let content = secret.spec.data.clone();
                templated.push(is_templated(secret.spec.templating.as_ref()));
                files.push(file(FileKind::Secret, name, target, content));
            }
        }
        for reference in &spec.configs {
            let name = &reference.config_name;
            let config = objects
                .config(reference.config_id)
                .ok_or_else(|| not_arrived("config", name))?;
            if let ConfigTarget::File(target) = reference.target.clone() {
                let content = SecretBytes::new(Arc::clone(&config.spec.data));
                templated.push(is_templated(config.spec.templating.as_ref()));
                files.push(file(FileKind::Config, name, target, content));
            }
        }
        run.files = expand_files(&run, files, &templated)?;
        Ok(run)
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.task.id
    }

    /// The task's container spec.
    ///
    /// # Errors
    ///
    /// [`ExecError::Rejected`] when the task runs something else.
    pub fn container(&self) -> Result<&ContainerSpec, ExecError> {
        self.task.spec().container().ok_or_else(|| {
            ExecError::rejected("this node runs containers only, and the task is something else")
        })
    }
}

fn not_arrived(kind: &str, name: &str) -> ExecError {
    ExecError::retry(format!("{kind} {name:?} has not arrived on this node yet"))
}

fn is_templated(driver: Option<&types::Driver>) -> bool {
    driver.is_some_and(|d| d.name == TEMPLATING_DRIVER)
}

fn file(kind: FileKind, name: &str, target: FileTarget, content: SecretBytes) -> TaskFile {
    TaskFile {
        kind,
        name: name.to_owned(),
        target,
        content,
    }
}

fn expand_files(
    run: &TaskRun,
    files: Vec<TaskFile>,
    templated: &[bool],
) -> Result<Vec<TaskFile>, ExecError> {
    if !templated.contains(&true) {
        return Ok(files);
    }
    let env = crate::expand(run)?.env;
    let source = PayloadSource {
        files: &files,
        env: &env,
    };
    let mut expanded = Vec::with_capacity(files.len());
    for (file, is_templated) in files.iter().zip(templated) {
        let mut file = file.clone();
        if *is_templated {
            file.content = expand_payload(run, &file, &source)?;
        }
        expanded.push(file);
    }
    Ok(expanded)
}

fn expand_payload(
    run: &TaskRun,
    file: &TaskFile,
    source: &PayloadSource<'_>,
) -> Result<SecretBytes, ExecError> {
    let (kind, bytes_max) = match file.kind {
        FileKind::Secret => ("secret", SECRET_BYTES_MAX),
        FileKind::Config => ("config", CONFIG_BYTES_MAX),
    };
    let refuse = |why: String| ExecError::rejected(format!("{kind} {:?}: {why}", file.name));
    let text = std::str::from_utf8(file.content.expose())
        .map_err(|_| refuse("its template is not UTF-8 text".to_owned()))?;
    let facts = template::Facts::of(run);
    let result = template::expand_payload(text, &facts, source)
        .map_err(|error| refuse(error.to_string()))?;
    if result.len() > bytes_max {
        return Err(refuse(format!(
            "it is {} bytes after expansion, at most {bytes_max} are allowed",
            result.len()
        )));
    }
    Ok(SecretBytes::new(result.into_bytes()))
}
