//! CPU, memory and generic resources.

use types::resources::{GenericResource, ResourceRequirements, Resources};

use super::{ConvertError, Problem, encoded, list, optional};
use crate::api::{self, generic_resource::Resource};

impl TryFrom<api::Resources> for Resources {
    type Error = ConvertError;

    fn try_from(resources: api::Resources) -> Result<Self, ConvertError> {
        Ok(Self {
            nano_cpus: resources.nano_cpus,
            memory_bytes: resources.memory_bytes,
            generic: list("generic", resources.generic)?,
        })
    }
}

impl From<&Resources> for api::Resources {
    fn from(resources: &Resources) -> Self {
        Self {
            nano_cpus: resources.nano_cpus,
            memory_bytes: resources.memory_bytes,
            generic: encoded(&resources.generic),
        }
    }
}

impl TryFrom<api::GenericResource> for GenericResource {
    type Error = ConvertError;

    fn try_from(resource: api::GenericResource) -> Result<Self, ConvertError> {
        match resource.resource {
            Some(Resource::NamedResourceSpec(named)) => Ok(Self::Named {
                kind: named.kind,
                value: named.value,
            }),
            Some(Resource::DiscreteResourceSpec(discrete)) => Ok(Self::Discrete {
                kind: discrete.kind,
                value: discrete.value,
            }),
            None => Err(ConvertError::new("resource", Problem::Missing)),
        }
    }
}

impl From<&GenericResource> for api::GenericResource {
    fn from(resource: &GenericResource) -> Self {
        let resource = match resource.clone() {
            GenericResource::Named { kind, value } => {
                Resource::NamedResourceSpec(api::NamedGenericResource { kind, value })
            }
            GenericResource::Discrete { kind, value } => {
                Resource::DiscreteResourceSpec(api::DiscreteGenericResource { kind, value })
            }
        };
        Self {
            resource: Some(resource),
        }
    }
}

impl TryFrom<api::ResourceRequirements> for ResourceRequirements {
    type Error = ConvertError;

    fn try_from(requirements: api::ResourceRequirements) -> Result<Self, ConvertError> {
        Ok(Self {
            limits: optional("limits", requirements.limits)?,
            reservations: optional("reservations", requirements.reservations)?,
            swap_bytes: requirements.swap_bytes,
            memory_swappiness: requirements.memory_swappiness,
        })
    }
}

impl From<&ResourceRequirements> for api::ResourceRequirements {
    fn from(requirements: &ResourceRequirements) -> Self {
        Self {
            limits: requirements.limits.as_ref().map(Into::into),
            reservations: requirements.reservations.as_ref().map(Into::into),
            swap_bytes: requirements.swap_bytes,
            memory_swappiness: requirements.memory_swappiness,
        }
    }
}
