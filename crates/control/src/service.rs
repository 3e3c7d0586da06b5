//! Services.

use std::sync::Arc;

use store::{Draft, Key, State};
use types::defaults;
use types::service::{JobStatus, PublishMode, UpdateState, UpdateStatus};
use types::{Entropy, Service, ServiceId, ServiceMode, ServiceSpec, TaskState, Timestamp};
use wire::api;

use crate::crud;
use crate::error::ControlError;
use crate::filter::{Common, any};

type Result<T> = std::result::Result<T, ControlError>;

/// Creates a service.
pub fn create(
    draft: &mut Draft,
    spec: ServiceSpec,
    now: Timestamp,
    entropy: &mut dyn Entropy,
) -> Result<Arc<Service>> {
    check_offered(&spec)?;
    make(draft, spec, now, entropy)
}

/// Creates a service, also one that asks for what the pipeline can carry out and nodes cannot.
pub fn make(
    draft: &mut Draft,
    spec: ServiceSpec,
    now: Timestamp,
    entropy: &mut dyn Entropy,
) -> Result<Arc<Service>> {
    validate::service(&spec)?;
    validate::service_refs(draft.state(), None, &spec)?;
    validate::service_policies(draft.state(), None, &spec)?;
    warn(draft.state(), None, &spec);
    let job = JobStatus {
        iteration: 0,
        last_execution: now,
    };
    let service = Service {
        job_status: spec.mode.is_job().then_some(job),
        ..Service::new(ServiceId::random(entropy), spec)
    };
    crud::create(draft, service, State::services)
}

/// Refuses what could be stored and would never happen: a port that nothing opens is worse than
/// an error.
fn check_offered(spec: &ServiceSpec) -> Result<()> {
    let ports = spec.endpoint.iter().flat_map(|e| &e.ports);
    let mut mesh = ports
        .enumerate()
        .filter(|(_, p)| p.publish_mode == PublishMode::Ingress);
    let Some((at, port)) = mesh.next() else {
        return Ok(());
    };
    let (published, target) = (port.published_port, port.target_port);
    Err(ControlError::Unsupported(format!(
        "spec.endpoint.ports[{at}].publish_mode: the routing mesh is not offered by this version; \
         publish on the nodes that run the tasks with --publish \
         mode=host,published={published},target={target}"
    )))
}

/// What an update of a service asks for.
#[derive(Debug)]
pub struct Update {
    /// The service, by id.
    pub id: String,
    /// Version of the object the caller read.
    pub version: u64,
    /// The new spec; ignored when going back.
    pub spec: ServiceSpec,
    /// Go back to the previous spec.
    pub rollback: bool,
}

impl Update {
    /// Another spec for a service as it is.
    pub fn to(service: &Service, spec: ServiceSpec) -> Self {
        Self {
            id: service.id.to_string(),
            version: service.meta.version,
            spec,
            rollback: false,
        }
    }

    /// The way back of a service as it is.
    pub fn back(service: &Service) -> Self {
        Self {
            rollback: true,
            ..Self::to(service, ServiceSpec::clone(&service.spec))
        }
    }
}

/// Updates a service, or takes it back to its previous spec.
pub fn update(draft: &mut Draft, update: Update, now: Timestamp) -> Result<Arc<Service>> {
    if !update.rollback {
        check_offered(&update.spec)?;
    }
    edit(draft, update, now)
}

/// Updates a service, also to what the pipeline can carry out and nodes cannot.
pub fn edit(draft: &mut Draft, update: Update, now: Timestamp) -> Result<Arc<Service>> {
    let old = crud::find(draft.state().services(), &update.id)?.clone();
    let mut service = Service::clone(&old);
    service.meta.version = update.version;
    if update.rollback {
        take_back(draft.state(), &mut service, now)?;
    } else {
        check_update(draft.state(), &old, &update.spec)?;
        warn(draft.state(), Some(old.id), &update.spec);
        service.previous_spec = Some(old.spec.clone());
        service.previous_spec_version = Some(old.spec_version);
        service.spec = Arc::new(update.spec);
        service.spec_version = update.version;
        service.update_status = None;
    }
    service.job_status = orchestrator::job_after_update(&old, &service.spec, now);
    crud::update(draft, service, State::services)
}

fn check_update(state: &State, old: &Service, spec: &ServiceSpec) -> Result<()> {
    validate::service(spec)?;
    // Not wrong in itself, and yet not to be had: clients of SwarmKit expect this code.
    validate::service_update(&old.spec, spec)
        .map_err(|e| ControlError::Unsupported(e.to_string()))?;
    validate::service_refs(state, Some(old.id), spec)?;
    Ok(validate::service_policies(state, Some(old), spec)?)
}

/// Says in the log what is allowed and hardly meant; answers have no place for it.
fn warn(state: &State, id: Option<ServiceId>, spec: &ServiceSpec) {
    let at_odds = validate::doubtful(state, id, spec);
    for problem in validate::service_warnings(spec).into_iter().chain(at_odds) {
        let service = &spec.annotations.name;
        tracing::warn!(service, "{problem}");
    }
}

fn take_back(state: &State, service: &mut Service, now: Timestamp) -> Result<()> {
    let (Some(previous), Some(version)) =
        (service.previous_spec.take(), service.previous_spec_version)
    else {
        return Err(ControlError::Precondition(format!(
            "service {} does not have a previous spec",
            service.spec.annotations.name
        )));
    };
    // What it refers to may have been removed, and its ports taken, since it was the present one.
    validate::service_refs(state, Some(service.id), &previous).map_err(|e| {
        ControlError::Precondition(format!(
            "service {} cannot go back to its previous spec: {e}; make what it needs again, or \
             update the service instead",
            service.spec.annotations.name
        ))
    })?;
    service.previous_spec = Some(std::mem::replace(&mut service.spec, previous));
    service.previous_spec_version = Some(std::mem::replace(&mut service.spec_version, version));
    service.update_status = Some(UpdateStatus {
        state: UpdateState::RollbackStarted,
        started_at: now,
        completed_at: Timestamp::ZERO,
        message: "manually requested rollback".into(),
    });
    Ok(())
}

/// Removes a service; its tasks follow.
pub fn remove(draft: &mut Draft, id: &str) -> Result<()> {
    let id = crud::find(draft.state().services(), id)?.id;
    crud::remove(draft, Key::Service(id))
}

/// A service, with documented defaults filled in if asked for.
pub fn get(state: &State, request: &api::GetServiceRequest) -> Result<api::Service> {
    let service = crud::find(state.services(), &request.service_id)?;
    if !request.insert_defaults {
        return Ok(api::Service::from(service.as_ref()));
    }
    let mut service = Service::clone(service);
    service.spec = Arc::new(with_defaults(&service.spec));
    Ok(api::Service::from(&service))
}

fn with_defaults(spec: &ServiceSpec) -> ServiceSpec {
    let mut spec = spec.clone();
    spec.task.restart.get_or_insert_default();
    spec.endpoint.get_or_insert_default();
    if let Some(container) = spec.task.container_mut() {
        container
            .stop_grace_period
            .get_or_insert(defaults::STOP_GRACE_PERIOD);
    }
    if !spec.mode.is_job() {
        spec.update.get_or_insert_default();
        spec.rollback.get_or_insert_default();
    }
    spec
}

/// Services that pass the filters.
pub fn list(state: &State, filters: &api::list_services_request::Filters) -> Vec<api::Service> {
    let common = Common {
        names: &filters.names,
        name_prefixes: &filters.name_prefixes,
        id_prefixes: &filters.id_prefixes,
        labels: Some(&filters.labels),
    };
    state
        .services()
        .iter()
        .filter(|s| {
            let own = &s.spec.annotations;
            common.matches(&s.id, &own.name, &own.labels)
                && any(&filters.runtimes, |r| r == runtime_name(&s.spec))
        })
        .map(|s| api::Service::from(s.as_ref()))
        .collect()
}

/// Name of what a service runs, as filters have it.
pub fn runtime_name(spec: &ServiceSpec) -> &str {
    match &spec.task.runtime {
        types::Runtime::Container(_) => "container",
        types::Runtime::Attachment { .. } => "attachment",
        types::Runtime::Generic { kind, .. } => kind,
    }
}

/// How many tasks each service has and wants; unknown services have zeros.
pub fn statuses(
    state: &State,
    services: &[String],
) -> Vec<api::list_service_statuses_response::ServiceStatus> {
    services.iter().map(|id| status(state, id)).collect()
}

fn status(state: &State, id: &str) -> api::list_service_statuses_response::ServiceStatus {
    let mut status = api::list_service_statuses_response::ServiceStatus {
        service_id: id.to_owned(),
        ..Default::default()
    };
    let found = id
        .parse()
        .ok()
        .and_then(|id: ServiceId| state.services().get(id));
    let Some(service) = found else { return status };
    let counts = Counts::of(state, service);
    status.desired_tasks = counts.desired;
    status.running_tasks = counts.running;
    status.completed_tasks = counts.completed;
    status
}

/// Tasks of a service by what matters to users.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Wanted.
    pub desired: u64,
    /// Observed running.
    pub running: u64,
    /// Completed in this iteration of a job.
    pub completed: u64,
}

impl Counts {
    /// Counts the tasks of a service.
    pub fn of(state: &State, service: &Service) -> Self {
        let mut counts = Self::default();
        let mut wanted = 0;
        let iteration = service.job_status.map(|j| j.iteration);
        for task in state.tasks().of_service(service.id) {
            if service.spec.mode.is_job() && task.job_iteration != iteration {
                continue;
            }
            wanted += u64::from(task.desired_state < TaskState::Shutdown);
            let running = task.status.state == TaskState::Running;
            counts.running += u64::from(running && task.desired_state < TaskState::Shutdown);
            counts.completed += u64::from(task.status.state == TaskState::Complete);
        }
        counts.desired = match service.spec.mode {
            ServiceMode::Replicated { replicas } => replicas,
            ServiceMode::ReplicatedJob { max_concurrent, .. } => max_concurrent,
            ServiceMode::Global | ServiceMode::GlobalJob => wanted,
        };
        if !service.spec.mode.is_job() {
            counts.completed = 0;
        }
        counts
    }
}

/// Names of the services in a list, for messages that say who is in the way.
pub fn names<'a>(services: impl Iterator<Item = &'a Arc<Service>>) -> Vec<String> {
    services.map(|s| s.spec.annotations.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use types::container::{ConfigReference, ConfigTarget, FileTarget};
    use types::entropy::SeededEntropy;
    use types::{Annotations, ConfigSpec, ContainerSpec, Runtime};

    use super::*;
    use crate::objects;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn edited<T>(state: &mut State, edit: impl FnOnce(&mut Draft) -> Result<T>) -> Result<T> {
        let mut draft = Draft::new(state, NOW);
        let done = edit(&mut draft)?;
        *state = draft.finish().2;
        Ok(done)
    }

    fn web(configs: Vec<ConfigReference>) -> ServiceSpec {
        let mut spec = ServiceSpec {
            annotations: Annotations::named("web"),
            ..ServiceSpec::default()
        };
        spec.task.runtime = Runtime::Container(Box::new(ContainerSpec {
            image: "nginx:1".into(),
            configs,
            ..ContainerSpec::default()
        }));
        spec
    }

    #[test]
    fn a_service_does_not_go_back_to_a_spec_whose_config_is_gone() {
        let (mut state, mut entropy) = (State::default(), SeededEntropy::new(1));
        let site = ConfigSpec {
            annotations: Annotations::named("site"),
            data: b"x".to_vec().into(),
            ..ConfigSpec::default()
        };
        let site = edited(&mut state, |d| {
            objects::create_config(d, site, &mut entropy)
        })
        .unwrap();
        let old = web(vec![ConfigReference {
            config_id: site.id,
            config_name: "site".into(),
            target: ConfigTarget::File(FileTarget::named("site")),
        }]);
        let made = edited(&mut state, |d| make(d, old, NOW, &mut entropy)).unwrap();
        let to = |state: &State| state.services().get(made.id).unwrap().clone();
        let bare = Update::to(&to(&state), web(Vec::new()));
        edited(&mut state, |d| edit(d, bare, NOW)).unwrap();
        let back = Update::back(&to(&state));
        assert!(edit(&mut Draft::new(&state, NOW), back, NOW).is_ok());

        let gone = site.id.to_string();
        edited(&mut state, |d| objects::remove_config(d, &gone)).unwrap();
        let before = to(&state);
        let refused = edited(&mut state, |d| edit(d, Update::back(&before), NOW));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("config not found: site"), "{refused}");
        assert!(refused.contains("update the service instead"), "{refused}");
        assert_eq!(to(&state), before, "nothing is half-done");
    }
}
