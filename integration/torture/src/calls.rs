//! Calls of the control API, and what their answers mean for a history.

use std::path::Path;
use std::time::Duration;

use linearizability::models::{ObjectsInput, ObjectsOutput, Seen};
use store::{Image, ImageItem, Object, State};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use wire::api;
use wire::api::control_client::ControlClient;

use crate::record::Kind;

/// A call without an answer by then has an unknown outcome. An election takes 2 s.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);

/// Label that holds an object's value.
const VALUE: &str = "value";

/// How a call ended.
#[derive(Debug)]
pub enum Answer {
    /// With this.
    Known(ObjectsOutput),
    /// It may have happened or not.
    Unknown(String),
}

/// A client of one manager.
pub struct Caller {
    control: ControlClient<Channel>,
    /// Marks the processes of this cluster's tasks.
    mark: String,
}

impl Caller {
    /// Connects to a manager's control socket, `None` if nobody answers there.
    pub async fn connect(socket: &Path, mark: &str) -> Option<Self> {
        let channel = timeout(CALL_TIME_MAX, transport::connect_local(socket)).await;
        Some(Self::over(channel.ok()?.ok()?, mark))
    }

    /// Calls through a channel.
    pub fn over(channel: Channel, mark: &str) -> Self {
        let control = ControlClient::new(channel);
        let mark = mark.to_owned();
        Self { control, mark }
    }

    /// Does what is asked and says what came of it.
    pub async fn call(&mut self, kind: Kind, input: &ObjectsInput) -> Answer {
        let done = timeout(CALL_TIME_MAX, self.send(kind, input)).await;
        match done {
            Err(_) => Answer::Unknown("no answer in time".to_owned()),
            Ok(Ok(output)) => Answer::Known(output),
            Ok(Err(status)) => meaning(&status),
        }
    }

    async fn send(&mut self, kind: Kind, input: &ObjectsInput) -> Result<ObjectsOutput, Status> {
        match (kind, input) {
            (Kind::Config, ObjectsInput::Create { name, value }) => {
                let spec = Some(config(name, value));
                let answer = self
                    .control
                    .create_config(api::CreateConfigRequest { spec });
                stored(answer.await?.into_inner().config.map(|c| (c.id, c.meta)))
            }
            (Kind::Service, ObjectsInput::Create { name, value }) => {
                let spec = Some(self.service(name, value));
                let answer = self
                    .control
                    .create_service(api::CreateServiceRequest { spec });
                stored(answer.await?.into_inner().service.map(|s| (s.id, s.meta)))
            }
            (
                kind,
                ObjectsInput::Update {
                    name,
                    id,
                    expected,
                    value,
                },
            ) => self.update(kind, (name, value), (id, *expected)).await,
            (Kind::Config, ObjectsInput::Remove { id, .. }) => {
                let config_id = id.clone();
                let request = api::RemoveConfigRequest { config_id };
                self.control.remove_config(request).await?;
                Ok(ObjectsOutput::Removed)
            }
            (Kind::Service, ObjectsInput::Remove { id, .. }) => {
                let service_id = id.clone();
                let request = api::RemoveServiceRequest { service_id };
                self.control.remove_service(request).await?;
                Ok(ObjectsOutput::Removed)
            }
            (kind, ObjectsInput::Read { name }) => {
                let mut found = self.list(kind, name).await?;
                if found.len() > 1 {
                    return Err(Status::internal(format!(
                        "{name} is there twice: {found:?}"
                    )));
                }
                Ok(ObjectsOutput::Found(found.pop().map(|(_, seen)| seen)))
            }
        }
    }

    async fn update(
        &mut self,
        kind: Kind,
        (name, value): (&str, &str),
        (id, expected): (&str, u64),
    ) -> Result<ObjectsOutput, Status> {
        let version = Some(api::Version { index: expected });
        match kind {
            Kind::Config => {
                let request = api::UpdateConfigRequest {
                    config_id: id.to_owned(),
                    config_version: version,
                    spec: Some(config(name, value)),
                };
                let answer = self.control.update_config(request).await?.into_inner();
                stored(answer.config.map(|c| (c.id, c.meta)))
            }
            Kind::Service => {
                let request = api::UpdateServiceRequest {
                    service_id: id.to_owned(),
                    service_version: version,
                    spec: Some(self.service(name, value)),
                    ..Default::default()
                };
                let answer = self.control.update_service(request).await?.into_inner();
                stored(answer.service.map(|s| (s.id, s.meta)))
            }
        }
    }

    /// What has a name, or all that there is if the name is empty; with their names.
    ///
    /// # Errors
    /// As the manager answers.
    pub async fn list(&mut self, kind: Kind, name: &str) -> Result<Vec<(String, Seen)>, Status> {
        let names: Vec<_> = [name.to_owned()]
            .into_iter()
            .filter(|n| !n.is_empty())
            .collect();
        match kind {
            Kind::Config => {
                let filters = Some(api::list_configs_request::Filters {
                    names,
                    ..Default::default()
                });
                let request = api::ListConfigsRequest { filters };
                let answer = self.control.list_configs(request).await?.into_inner();
                let seen = |c: api::Config| seen(c.id, c.meta, c.spec.and_then(|s| s.annotations));
                Ok(answer.configs.into_iter().map(seen).collect())
            }
            Kind::Service => {
                let filters = Some(api::list_services_request::Filters {
                    names,
                    ..Default::default()
                });
                let request = api::ListServicesRequest { filters };
                let answer = self.control.list_services(request).await?.into_inner();
                let seen = |s: api::Service| seen(s.id, s.meta, s.spec.and_then(|s| s.annotations));
                Ok(answer.services.into_iter().map(seen).collect())
            }
        }
    }

    /// A service of processes that sleep. Its value says how many, and what is in their
    /// environment: `…-REPLICAS-GENERATION`.
    fn service(&self, name: &str, value: &str) -> api::ServiceSpec {
        let mut parts = value.rsplit('-');
        let generation = parts.next().unwrap_or("0");
        let replicas = parts.next().and_then(|r| r.parse().ok()).unwrap_or(1);
        let env = [
            format!("MARK={}", self.mark),
            format!("GENERATION={generation}"),
            format!("SERVICE={name}"),
            "SLOT={{.Task.Slot}}".to_owned(),
            "NODE={{.Node.Hostname}}".to_owned(),
            "TASK={{.Task.ID}}".to_owned(),
        ];
        let container = api::ContainerSpec {
            image: "busybox".to_owned(),
            // It ends by itself should a run be killed before it can clean up.
            command: vec!["sleep".to_owned(), "3600".to_owned()],
            env: env.into(),
            ..Default::default()
        };
        let task = api::TaskSpec {
            runtime: Some(api::task_spec::Runtime::Container(container)),
            ..Default::default()
        };
        let replicated = api::ReplicatedService { replicas };
        api::ServiceSpec {
            annotations: Some(annotations(name, value)),
            task: Some(task),
            mode: Some(api::service_spec::Mode::Replicated(replicated)),
            ..Default::default()
        }
    }

    /// The tables as the manager tells them: nodes, services and tasks.
    ///
    /// # Errors
    /// If it does not answer, or with what nobody can read.
    pub async fn tables(&mut self) -> anyhow::Result<State> {
        let control = &mut self.control;
        let request = api::ListNodesRequest::default();
        let nodes = control.list_nodes(request).await?.into_inner().nodes;
        let request = api::ListServicesRequest::default();
        let services = control.list_services(request).await?.into_inner().services;
        let request = api::ListTasksRequest::default();
        let tasks = control.list_tasks(request).await?.into_inner().tasks;
        let mut image = Image::new();
        for node in nodes {
            image.add(item(types::Node::try_from(node)?))?;
        }
        for service in services {
            image.add(item(types::Service::try_from(service)?))?;
        }
        for task in tasks {
            image.add(item(types::Task::try_from(task)?))?;
        }
        Ok(image.finish(1))
    }

    /// The control API itself.
    pub fn control(&mut self) -> &mut ControlClient<Channel> {
        &mut self.control
    }
}

fn item(object: impl Into<Object>) -> ImageItem {
    ImageItem::Object(object.into())
}

fn config(name: &str, value: &str) -> api::ConfigSpec {
    api::ConfigSpec {
        annotations: Some(annotations(name, value)),
        data: b"x".as_slice().into(),
        ..Default::default()
    }
}

fn annotations(name: &str, value: &str) -> api::Annotations {
    api::Annotations {
        name: name.to_owned(),
        labels: [(VALUE.to_owned(), value.to_owned())].into(),
        ..Default::default()
    }
}

fn version(meta: Option<api::Meta>) -> u64 {
    meta.and_then(|m| m.version).map_or(0, |v| v.index)
}

fn stored(object: Option<(String, Option<api::Meta>)>) -> Result<ObjectsOutput, Status> {
    let (id, meta) = object.ok_or_else(|| Status::internal("an answer without its object"))?;
    let version = version(meta);
    Ok(ObjectsOutput::Stored { id, version })
}

fn seen(
    id: String,
    meta: Option<api::Meta>,
    annotations: Option<api::Annotations>,
) -> (String, Seen) {
    let mut annotations = annotations.unwrap_or_default();
    let value = annotations.labels.remove(VALUE).unwrap_or_default();
    let version = version(meta);
    (annotations.name, Seen { id, version, value })
}

/// Only refusals that speak of the object say that nothing happened; what speaks of the cluster
/// may have come after the write was on its way.
fn meaning(status: &Status) -> Answer {
    let text = status.message();
    match status.code() {
        Code::AlreadyExists => Answer::Known(ObjectsOutput::Taken),
        Code::NotFound => Answer::Known(ObjectsOutput::Missing),
        Code::FailedPrecondition if text.contains("out of sequence") => {
            Answer::Known(ObjectsOutput::Stale)
        }
        code => Answer::Unknown(format!("{code:?}: {text}")),
    }
}
