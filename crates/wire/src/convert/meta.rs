//! Record facts, annotations and drivers.

use types::meta::{Annotations, Driver, IndexEntry, Labels, Meta};
use types::options::OptionError;

use super::time::{moment, timestamp};
use super::{ConvertError, Problem, Result, message};
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

/// Annotations of a spec whose labels carry options of ours, and what `take` read from them.
pub(super) fn with_options<O>(
    annotations: Option<api::Annotations>,
    take: impl Fn(&mut Labels) -> std::result::Result<O, OptionError>,
) -> Result<(Annotations, O)> {
    let mut annotations: Annotations = message("annotations", annotations)?;
    let options = take(&mut annotations.labels).map_err(|e| {
        let path = format!("annotations.labels[{}]", e.key);
        ConvertError::new(&path, Problem::Option(e.problem))
    })?;
    Ok((annotations, options))
}

/// Annotations whose labels carry what `put` writes.
pub(super) fn carrying(
    annotations: &Annotations,
    put: impl Fn(&mut Labels),
) -> Option<api::Annotations> {
    let mut encoded = api::Annotations::from(annotations);
    put(&mut encoded.labels);
    Some(encoded)
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
