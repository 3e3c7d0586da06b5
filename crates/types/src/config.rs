//! Configs: files that tasks get, not secret.

use std::sync::Arc;

use crate::id::ConfigId;
use crate::meta::{Annotations, Driver, Meta};

/// A config as declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigSpec {
    /// Name and labels.
    pub annotations: Annotations,
    /// Content.
    pub data: Arc<[u8]>,
    /// How the content is expanded on the node.
    pub templating: Option<Driver>,
}

/// A config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Id.
    pub id: ConfigId,
    /// Record facts.
    pub meta: Meta,
    /// As declared.
    pub spec: ConfigSpec,
}
