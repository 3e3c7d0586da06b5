//! What a task runs, when it is restarted and where it may run.

use types::task::{
    Placement, PlacementPreference, ResourceKind, ResourceReference, RestartCondition,
    RestartPolicy, Runtime, TaskSpec,
};

use super::time::{duration, optional_span};
use super::{
    ConvertError, Problem, Result, encoded, enum_pairs, enumeration, inner, list, message, number,
    optional, unless_default,
};
use crate::api::placement_preference::Preference;
use crate::api::task_spec::Runtime as ApiRuntime;
use crate::api::{self, restart_policy};

enum_pairs!(api::ResourceType, ResourceKind {
    Task = Task,
    Secret = Secret,
    Config = Config,
    Volume = Volume,
});

enum_pairs!(restart_policy::RestartCondition, RestartCondition {
    None = None,
    OnFailure = OnFailure,
    Any = Any,
});

impl TryFrom<api::TaskSpec> for TaskSpec {
    type Error = ConvertError;

    fn try_from(spec: api::TaskSpec) -> Result<Self> {
        let runtime = spec
            .runtime
            .ok_or_else(|| ConvertError::new("runtime", Problem::Missing))?;
        Ok(Self {
            runtime: runtime.try_into()?,
            resources: message("resources", spec.resources)?,
            restart: optional("restart", spec.restart)?,
            placement: optional("placement", spec.placement)?,
            log_driver: spec.log_driver.map(Into::into),
            networks: list("networks", spec.networks)?,
            force_update: spec.force_update,
            resource_references: list("resource_references", spec.resource_references)?,
        })
    }
}

impl From<&TaskSpec> for api::TaskSpec {
    fn from(spec: &TaskSpec) -> Self {
        Self {
            runtime: Some((&spec.runtime).into()),
            resources: unless_default((&spec.resources).into()),
            restart: spec.restart.as_ref().map(Into::into),
            placement: spec.placement.as_ref().map(Into::into),
            log_driver: spec.log_driver.as_ref().map(Into::into),
            networks: encoded(&spec.networks),
            force_update: spec.force_update,
            resource_references: encoded(&spec.resource_references),
        }
    }
}

impl TryFrom<ApiRuntime> for Runtime {
    type Error = ConvertError;

    fn try_from(runtime: ApiRuntime) -> Result<Self> {
        Ok(match runtime {
            ApiRuntime::Container(spec) => Self::Container(Box::new(inner("container", spec)?)),
            ApiRuntime::Attachment(spec) => Self::Attachment {
                container_id: spec.container_id,
            },
            ApiRuntime::Generic(spec) => {
                let payload = spec.payload.unwrap_or_default();
                Self::Generic {
                    kind: spec.kind,
                    payload_type_url: payload.type_url,
                    payload: payload.value,
                }
            }
        })
    }
}

impl From<&Runtime> for ApiRuntime {
    fn from(runtime: &Runtime) -> Self {
        match runtime {
            Runtime::Container(spec) => Self::Container((&**spec).into()),
            Runtime::Attachment { container_id } => Self::Attachment(api::NetworkAttachmentSpec {
                container_id: container_id.clone(),
            }),
            Runtime::Generic {
                kind,
                payload_type_url,
                payload,
            } => Self::Generic(api::GenericRuntimeSpec {
                kind: kind.clone(),
                payload: Some(prost_types::Any {
                    type_url: payload_type_url.clone(),
                    value: payload.clone(),
                }),
            }),
        }
    }
}

impl TryFrom<api::ResourceReference> for ResourceReference {
    type Error = ConvertError;

    fn try_from(reference: api::ResourceReference) -> Result<Self> {
        let kind = reference.resource_type;
        Ok(Self {
            resource_id: reference.resource_id,
            kind: enumeration::<api::ResourceType, _>("resource_type", kind)?,
        })
    }
}

impl From<&ResourceReference> for api::ResourceReference {
    fn from(reference: &ResourceReference) -> Self {
        Self {
            resource_id: reference.resource_id.clone(),
            resource_type: number::<api::ResourceType, _>(reference.kind),
        }
    }
}

impl TryFrom<api::RestartPolicy> for RestartPolicy {
    type Error = ConvertError;

    fn try_from(policy: api::RestartPolicy) -> Result<Self> {
        let condition = policy.condition;
        Ok(Self {
            condition: enumeration::<restart_policy::RestartCondition, _>("condition", condition)?,
            delay: optional_span("delay", policy.delay)?,
            max_attempts: policy.max_attempts,
            window: optional_span("window", policy.window)?,
        })
    }
}

impl From<&RestartPolicy> for api::RestartPolicy {
    fn from(policy: &RestartPolicy) -> Self {
        Self {
            condition: number::<restart_policy::RestartCondition, _>(policy.condition),
            delay: policy.delay.map(duration),
            max_attempts: policy.max_attempts,
            window: policy.window.map(duration),
        }
    }
}

impl TryFrom<api::Placement> for Placement {
    type Error = ConvertError;

    fn try_from(placement: api::Placement) -> Result<Self> {
        Ok(Self {
            constraints: placement.constraints,
            preferences: list("preferences", placement.preferences)?,
            platforms: list("platforms", placement.platforms)?,
            max_replicas: placement.max_replicas,
        })
    }
}

impl From<&Placement> for api::Placement {
    fn from(placement: &Placement) -> Self {
        Self {
            constraints: placement.constraints.clone(),
            preferences: encoded(&placement.preferences),
            platforms: encoded(&placement.platforms),
            max_replicas: placement.max_replicas,
        }
    }
}

impl TryFrom<api::PlacementPreference> for PlacementPreference {
    type Error = ConvertError;

    fn try_from(preference: api::PlacementPreference) -> Result<Self> {
        match preference.preference {
            Some(Preference::Spread(over)) => Ok(Self::Spread {
                descriptor: over.spread_descriptor,
            }),
            None => Err(ConvertError::new("spread", Problem::Missing)),
        }
    }
}

impl From<&PlacementPreference> for api::PlacementPreference {
    fn from(preference: &PlacementPreference) -> Self {
        let PlacementPreference::Spread { descriptor } = preference;
        let over = api::SpreadOver {
            spread_descriptor: descriptor.clone(),
        };
        Self {
            preference: Some(Preference::Spread(over)),
        }
    }
}
