//! Extensions and the resources of their kind: replicated records of third parties.

use std::sync::Arc;

use crate::id::{ExtensionId, ResourceId};
use crate::meta::{Annotations, Meta};

/// Registers a kind of resource by its name. Never changed after creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Id.
    pub id: ExtensionId,
    /// Record facts.
    pub meta: Meta,
    /// Name and labels; the name is the kind.
    pub annotations: Annotations,
    /// What the kind is for.
    pub description: String,
}

/// A record of a registered kind. Its payload is opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Id.
    pub id: ResourceId,
    /// Record facts.
    pub meta: Meta,
    /// Name and labels.
    pub annotations: Annotations,
    /// Name of the extension it belongs to.
    pub kind: String,
    /// Type URL of the payload.
    pub payload_type_url: String,
    /// Payload bytes.
    pub payload: Arc<[u8]>,
}
