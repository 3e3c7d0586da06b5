//! Services: modes, updates, endpoints.

use std::sync::Arc;

use types::options::ServiceOptions;
use types::service::{
    Endpoint, EndpointSpec, FailureAction, JobStatus, PortConfig, Protocol, PublishMode,
    ResolutionMode, Service, ServiceMode, ServiceSpec, UpdateConfig, UpdateOrder, UpdateState,
    UpdateStatus, VirtualIp,
};

use super::meta::{carrying, index, version, with_options};
use super::time::{duration, moment, optional_span, span_or_zero, timestamp};
use super::{
    ConvertError, Problem, Result, encoded, enum_pairs, enumeration, id, list, message, number,
    optional, required,
};
use crate::api::service_spec::Mode;
use crate::api::{self, endpoint, endpoint_spec, port_config, update_config, update_status};

enum_pairs!(update_config::FailureAction, FailureAction {
    Pause = Pause,
    Continue = Continue,
    Rollback = Rollback,
});

enum_pairs!(update_config::UpdateOrder, UpdateOrder {
    StopFirst = StopFirst,
    StartFirst = StartFirst,
});

enum_pairs!(update_status::UpdateState, UpdateState {
    Unknown = Unknown,
    Updating = Updating,
    Paused = Paused,
    Completed = Completed,
    RollbackStarted = RollbackStarted,
    RollbackPaused = RollbackPaused,
    RollbackCompleted = RollbackCompleted,
});

enum_pairs!(endpoint_spec::ResolutionMode, ResolutionMode { Vip = Vip, Dnsrr = DnsRoundRobin });

enum_pairs!(port_config::Protocol, Protocol { Tcp = Tcp, Udp = Udp, Sctp = Sctp });

enum_pairs!(port_config::PublishMode, PublishMode { Ingress = Ingress, Host = Host });

impl TryFrom<api::ServiceSpec> for ServiceSpec {
    type Error = ConvertError;

    fn try_from(spec: api::ServiceSpec) -> Result<Self> {
        let mode = spec
            .mode
            .ok_or_else(|| ConvertError::new("mode", Problem::Missing))?;
        let (annotations, options) = with_options(spec.annotations, ServiceOptions::take)?;
        Ok(Self {
            annotations,
            task: required("task", spec.task)?,
            mode: mode.into(),
            update: optional("update", spec.update)?,
            rollback: optional("rollback", spec.rollback)?,
            networks: list("networks", spec.networks)?,
            endpoint: optional("endpoint", spec.endpoint)?,
            options,
        })
    }
}

impl From<&ServiceSpec> for api::ServiceSpec {
    fn from(spec: &ServiceSpec) -> Self {
        Self {
            annotations: carrying(&spec.annotations, |labels| spec.options.put(labels)),
            task: Some((&spec.task).into()),
            mode: Some(spec.mode.into()),
            update: spec.update.as_ref().map(Into::into),
            networks: encoded(&spec.networks),
            endpoint: spec.endpoint.as_ref().map(Into::into),
            rollback: spec.rollback.as_ref().map(Into::into),
        }
    }
}

impl From<Mode> for ServiceMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Replicated(service) => Self::Replicated {
                replicas: service.replicas,
            },
            Mode::Global(_) => Self::Global,
            Mode::ReplicatedJob(job) => Self::ReplicatedJob {
                max_concurrent: job.max_concurrent,
                total_completions: job.total_completions,
            },
            Mode::GlobalJob(_) => Self::GlobalJob,
        }
    }
}

impl From<ServiceMode> for Mode {
    fn from(mode: ServiceMode) -> Self {
        match mode {
            ServiceMode::Replicated { replicas } => {
                Self::Replicated(api::ReplicatedService { replicas })
            }
            ServiceMode::Global => Self::Global(api::GlobalService {}),
            ServiceMode::ReplicatedJob {
                max_concurrent,
                total_completions,
            } => Self::ReplicatedJob(api::ReplicatedJob {
                max_concurrent,
                total_completions,
            }),
            ServiceMode::GlobalJob => Self::GlobalJob(api::GlobalJob {}),
        }
    }
}

impl TryFrom<api::UpdateConfig> for UpdateConfig {
    type Error = ConvertError;

    fn try_from(config: api::UpdateConfig) -> Result<Self> {
        let action = config.failure_action;
        Ok(Self {
            parallelism: config.parallelism,
            delay: span_or_zero("delay", config.delay)?,
            failure_action: enumeration::<update_config::FailureAction, _>(
                "failure_action",
                action,
            )?,
            monitor: optional_span("monitor", config.monitor)?,
            max_failure_ratio: config.max_failure_ratio,
            order: enumeration::<update_config::UpdateOrder, _>("order", config.order)?,
        })
    }
}

impl From<&UpdateConfig> for api::UpdateConfig {
    fn from(config: &UpdateConfig) -> Self {
        Self {
            parallelism: config.parallelism,
            delay: Some(duration(config.delay)),
            failure_action: number::<update_config::FailureAction, _>(config.failure_action),
            monitor: config.monitor.map(duration),
            max_failure_ratio: config.max_failure_ratio,
            order: number::<update_config::UpdateOrder, _>(config.order),
        }
    }
}

impl TryFrom<api::EndpointSpec> for EndpointSpec {
    type Error = ConvertError;

    fn try_from(spec: api::EndpointSpec) -> Result<Self> {
        Ok(Self {
            mode: enumeration::<endpoint_spec::ResolutionMode, _>("mode", spec.mode)?,
            ports: list("ports", spec.ports)?,
        })
    }
}

impl From<&EndpointSpec> for api::EndpointSpec {
    fn from(spec: &EndpointSpec) -> Self {
        Self {
            mode: number::<endpoint_spec::ResolutionMode, _>(spec.mode),
            ports: encoded(&spec.ports),
        }
    }
}

impl TryFrom<api::PortConfig> for PortConfig {
    type Error = ConvertError;

    fn try_from(port: api::PortConfig) -> Result<Self> {
        let mode = port.publish_mode;
        Ok(Self {
            name: port.name,
            protocol: enumeration::<port_config::Protocol, _>("protocol", port.protocol)?,
            target_port: port.target_port,
            published_port: port.published_port,
            publish_mode: enumeration::<port_config::PublishMode, _>("publish_mode", mode)?,
        })
    }
}

impl From<&PortConfig> for api::PortConfig {
    fn from(port: &PortConfig) -> Self {
        Self {
            name: port.name.clone(),
            protocol: number::<port_config::Protocol, _>(port.protocol),
            target_port: port.target_port,
            published_port: port.published_port,
            publish_mode: number::<port_config::PublishMode, _>(port.publish_mode),
        }
    }
}

impl TryFrom<api::Endpoint> for Endpoint {
    type Error = ConvertError;

    fn try_from(endpoint: api::Endpoint) -> Result<Self> {
        Ok(Self {
            spec: message("spec", endpoint.spec)?,
            ports: list("ports", endpoint.ports)?,
            virtual_ips: list("virtual_ips", endpoint.virtual_ips)?,
        })
    }
}

impl From<&Endpoint> for api::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            spec: Some((&endpoint.spec).into()),
            ports: encoded(&endpoint.ports),
            virtual_ips: encoded(&endpoint.virtual_ips),
        }
    }
}

impl TryFrom<endpoint::VirtualIp> for VirtualIp {
    type Error = ConvertError;

    fn try_from(ip: endpoint::VirtualIp) -> Result<Self> {
        Ok(Self {
            network_id: id("network_id", &ip.network_id)?,
            addr: ip.addr,
        })
    }
}

impl From<&VirtualIp> for endpoint::VirtualIp {
    fn from(ip: &VirtualIp) -> Self {
        Self {
            network_id: ip.network_id.to_string(),
            addr: ip.addr.clone(),
        }
    }
}

impl TryFrom<api::Service> for Service {
    type Error = ConvertError;

    fn try_from(service: api::Service) -> Result<Self> {
        let spec: ServiceSpec = required("spec", service.spec)?;
        let previous_spec: Option<ServiceSpec> = optional("previous_spec", service.previous_spec)?;
        let endpoint: Option<Endpoint> = optional("endpoint", service.endpoint)?;
        Ok(Self {
            id: id("id", &service.id)?,
            meta: message("meta", service.meta)?,
            spec: Arc::new(spec),
            spec_version: index(service.spec_version).unwrap_or_default(),
            previous_spec: previous_spec.map(Arc::new),
            previous_spec_version: index(service.previous_spec_version),
            endpoint: endpoint.map(Arc::new),
            update_status: optional("update_status", service.update_status)?,
            job_status: service.job_status.map(Into::into),
        })
    }
}

impl From<&Service> for api::Service {
    fn from(service: &Service) -> Self {
        Self {
            id: service.id.to_string(),
            meta: Some((&service.meta).into()),
            spec: Some((&*service.spec).into()),
            endpoint: service.endpoint.as_deref().map(Into::into),
            update_status: service.update_status.as_ref().map(Into::into),
            previous_spec: service.previous_spec.as_deref().map(Into::into),
            pending_delete: false,
            spec_version: Some(version(service.spec_version)),
            previous_spec_version: service.previous_spec_version.map(version),
            job_status: service.job_status.map(Into::into),
        }
    }
}

impl TryFrom<api::UpdateStatus> for UpdateStatus {
    type Error = ConvertError;

    fn try_from(status: api::UpdateStatus) -> Result<Self> {
        Ok(Self {
            state: enumeration::<update_status::UpdateState, _>("state", status.state)?,
            started_at: moment(status.started_at),
            completed_at: moment(status.completed_at),
            message: status.message,
        })
    }
}

impl From<&UpdateStatus> for api::UpdateStatus {
    fn from(status: &UpdateStatus) -> Self {
        Self {
            state: number::<update_status::UpdateState, _>(status.state),
            started_at: timestamp(status.started_at),
            completed_at: timestamp(status.completed_at),
            message: status.message.clone(),
        }
    }
}

impl From<api::JobStatus> for JobStatus {
    fn from(status: api::JobStatus) -> Self {
        Self {
            iteration: index(status.job_iteration).unwrap_or_default(),
            last_execution: moment(status.last_execution),
        }
    }
}

impl From<JobStatus> for api::JobStatus {
    fn from(status: JobStatus) -> Self {
        Self {
            job_iteration: Some(version(status.iteration)),
            last_execution: timestamp(status.last_execution),
        }
    }
}
