//! Record facts, annotations and drivers.

use types::meta::{Annotations, Driver, IndexEntry, Meta};

use super::time::{moment, timestamp};
use crate::api;

impl From<api::Meta> for Meta {
    fn from(meta: api::Meta) -> Self {
        Self {
            version: meta.version.map_or(0, |v| v.index),
            created_at: moment(meta.created_at),
            updated_at: moment(meta.updated_at),
        }
    }
}

impl From<&Meta> for api::Meta {
    fn from(meta: &Meta) -> Self {
        Self {
            version: Some(version(meta.version)),
            created_at: timestamp(meta.created_at),
            updated_at: timestamp(meta.updated_at),
        }
    }
}

/// Writes a version.
pub(super) fn version(index: u64) -> api::Version {
    api::Version { index }
}

/// Reads a version, if there is one.
pub(super) fn index(version: Option<api::Version>) -> Option<u64> {
    version.map(|v| v.index)
}

impl From<api::Annotations> for Annotations {
    fn from(annotations: api::Annotations) -> Self {
        let indices = annotations.indices.into_iter();
        Self {
            name: annotations.name,
            labels: annotations.labels,
            indices: indices
                .map(|i| IndexEntry {
                    key: i.key,
                    val: i.val,
                })
                .collect(),
        }
    }
}

impl From<&Annotations> for api::Annotations {
    fn from(annotations: &Annotations) -> Self {
        let indices = annotations.indices.iter().cloned();
        Self {
            name: annotations.name.clone(),
            labels: annotations.labels.clone(),
            indices: indices
                .map(|i| api::IndexEntry {
                    key: i.key,
                    val: i.val,
                })
                .collect(),
        }
    }
}

impl From<api::Driver> for Driver {
    fn from(driver: api::Driver) -> Self {
        Self {
            name: driver.name,
            options: driver.options,
        }
    }
}

impl From<&Driver> for api::Driver {
    fn from(driver: &Driver) -> Self {
        Self {
            name: driver.name.clone(),
            options: driver.options.clone(),
        }
    }
}
