//! Configs.

use std::sync::Arc;

use bytes::Bytes;
use types::config::{Config, ConfigSpec};

use super::{ConvertError, id, message};
use crate::api;

impl From<api::ConfigSpec> for ConfigSpec {
    fn from(spec: api::ConfigSpec) -> Self {
        Self {
            annotations: spec.annotations.unwrap_or_default().into(),
            data: spec.data[..].into(),
            templating: spec.templating.map(Into::into),
        }
    }
}

impl From<&ConfigSpec> for api::ConfigSpec {
    fn from(spec: &ConfigSpec) -> Self {
        Self {
            annotations: Some((&spec.annotations).into()),
            data: Bytes::from_owner(Arc::clone(&spec.data)),
            templating: spec.templating.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<api::Config> for Config {
    type Error = ConvertError;

    fn try_from(config: api::Config) -> Result<Self, ConvertError> {
        Ok(Self {
            id: id("id", &config.id)?,
            meta: message("meta", config.meta)?,
            spec: message("spec", config.spec)?,
        })
    }
}

impl From<&Config> for api::Config {
    fn from(config: &Config) -> Self {
        Self {
            id: config.id.to_string(),
            meta: Some((&config.meta).into()),
            spec: Some((&config.spec).into()),
        }
    }
}
