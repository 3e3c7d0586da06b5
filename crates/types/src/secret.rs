//! Secrets, and bytes that never print.

use std::fmt;
use std::sync::Arc;

use crate::id::SecretId;
use crate::meta::{Annotations, Driver, Meta};

/// Bytes that are shared, not copied, and never shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretBytes(Arc<[u8]>);

impl SecretBytes {
    /// Wraps bytes.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} secret bytes>", self.0.len())
    }
}

/// A secret as declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretSpec {
    /// Name and labels.
    pub annotations: Annotations,
    /// Content; empty for secrets that a driver provides.
    pub data: SecretBytes,
    /// How the content is expanded on the node.
    pub templating: Option<Driver>,
    /// Where the content comes from.
    pub driver: Option<Driver>,
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Id.
    pub id: SecretId,
    /// Record facts.
    pub meta: Meta,
    /// As declared.
    pub spec: SecretSpec,
    /// Made by the cluster itself; hidden from users.
    pub internal: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_secret_never_holds_its_bytes() {
        let spec = SecretSpec {
            data: SecretBytes::new(b"canary-7f3a".to_vec()),
            ..SecretSpec::default()
        };
        assert!(!format!("{spec:?}").contains("canary"));
    }
}
