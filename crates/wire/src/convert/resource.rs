//! Extensions and resources.

use types::{Extension, Resource};

use super::{ConvertError, id, message};
use crate::api;

impl TryFrom<api::Extension> for Extension {
    type Error = ConvertError;

    fn try_from(extension: api::Extension) -> Result<Self, ConvertError> {
        Ok(Self {
            id: id("id", &extension.id)?,
            meta: message("meta", extension.meta)?,
            annotations: message("annotations", extension.annotations)?,
            description: extension.description,
        })
    }
}

impl From<&Extension> for api::Extension {
    fn from(extension: &Extension) -> Self {
        Self {
            id: extension.id.to_string(),
            meta: Some((&extension.meta).into()),
            annotations: Some((&extension.annotations).into()),
            description: extension.description.clone(),
        }
    }
}

impl TryFrom<api::Resource> for Resource {
    type Error = ConvertError;

    fn try_from(resource: api::Resource) -> Result<Self, ConvertError> {
        let payload = resource.payload.unwrap_or_default();
        Ok(Self {
            id: id("id", &resource.id)?,
            meta: message("meta", resource.meta)?,
            annotations: message("annotations", resource.annotations)?,
            kind: resource.kind,
            payload_type_url: payload.type_url,
            payload: payload.value.into(),
        })
    }
}

impl From<&Resource> for api::Resource {
    fn from(resource: &Resource) -> Self {
        Self {
            id: resource.id.to_string(),
            meta: Some((&resource.meta).into()),
            annotations: Some((&resource.annotations).into()),
            kind: resource.kind.clone(),
            payload: Some(prost_types::Any {
                type_url: resource.payload_type_url.clone(),
                value: resource.payload.to_vec(),
            }),
        }
    }
}
