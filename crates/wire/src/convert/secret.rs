//! Secrets.

use bytes::Bytes;
use types::secret::{Secret, SecretBytes, SecretSpec};

use super::{ConvertError, id, message};
use crate::api;

impl From<api::SecretSpec> for SecretSpec {
    fn from(spec: api::SecretSpec) -> Self {
        Self {
            annotations: spec.annotations.unwrap_or_default().into(),
            data: SecretBytes::new(&spec.data[..]),
            templating: spec.templating.map(Into::into),
            driver: spec.driver.map(Into::into),
        }
    }
}

impl From<&SecretSpec> for api::SecretSpec {
    fn from(spec: &SecretSpec) -> Self {
        Self {
            annotations: Some((&spec.annotations).into()),
            data: shared(&spec.data),
            templating: spec.templating.as_ref().map(Into::into),
            driver: spec.driver.as_ref().map(Into::into),
        }
    }
}

/// The bytes of a secret without a copy.
fn shared(secret: &SecretBytes) -> Bytes {
    struct Owner(SecretBytes);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.expose()
        }
    }

    Bytes::from_owner(Owner(secret.clone()))
}

impl TryFrom<api::Secret> for Secret {
    type Error = ConvertError;

    fn try_from(secret: api::Secret) -> Result<Self, ConvertError> {
        Ok(Self {
            id: id("id", &secret.id)?,
            meta: message("meta", secret.meta)?,
            spec: message("spec", secret.spec)?,
            internal: secret.internal,
        })
    }
}

impl From<&Secret> for api::Secret {
    fn from(secret: &Secret) -> Self {
        Self {
            id: secret.id.to_string(),
            meta: Some((&secret.meta).into()),
            spec: Some((&secret.spec).into()),
            internal: secret.internal,
        }
    }
}

/// The secret as the Control API shows it: everything but its content.
pub fn without_data(secret: &Secret) -> api::Secret {
    let mut shown = api::Secret::from(secret);
    if let Some(spec) = &mut shown.spec {
        spec.data = Bytes::new();
    }
    shown
}
