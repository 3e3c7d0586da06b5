//! The cluster's certificate authority: a self-signed root that signs every node certificate.
//!
//! Never changes the PEM bytes it was given: join tokens pin their digest.

use std::fmt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use types::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::chain::{RootBundle, RootBundleError};
use crate::csr::PrivateKeyPem;
use crate::node_cert::{BACKDATE, Serial, set_validity};
use crate::{CA_NAME, time, token};

/// Life of a new root: 20 years of 365 days, SwarmKit's value.
pub const ROOT_VALIDITY: Duration = Duration::from_secs(630_720_000);

/// A root with its signing key. `Debug` shows no key.
pub struct RootCa {
    bundle: RootBundle,
    not_after: Timestamp,
    key_pem: PrivateKeyPem,
    pub(crate) issuer: Issuer<'static, KeyPair>,
    /// Appended to every issued chain, empty unless a rotation is under way.
    pub(crate) cross_signed_pem: String,
}

/// Why a root cannot be made, loaded or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// The certificate file is unusable.
    #[error("cannot load the root certificate: {0}")]
    Certificate(#[from] RootBundleError),
    /// More than one certificate where exactly one signs.
    #[error("cannot load the root certificate: the file has {0} certificates, one is expected")]
    NotSingle(usize),
    /// The certificate may not sign others.
    #[error("cannot load the root certificate: it is not a certificate authority's")]
    NotAnAuthority,
    /// The key is unusable.
    #[error("cannot load the root's private key: {0}; it must be an unencrypted PKCS#8 key in PEM")]
    Key(String),
    /// Certificate and key are not a pair.
    #[error("root certificate and private key do not belong together")]
    KeyMismatch,
    /// The signing library refused.
    #[error("cannot sign a root certificate: {0}")]
    Signing(String),
}

// === impl RootCa ===

impl RootCa {
    /// A new self-signed ECDSA P-256 root, valid from one hour before `now`.
    ///
    /// # Errors
    /// [`RootError::Signing`] if the system gives no randomness.
    pub fn generate(now: Timestamp, serial: Serial) -> Result<Self, RootError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(signing)?;
        let mut params = root_params(CA_NAME, serial);
        set_validity(&mut params, now.minus(BACKDATE), now.plus(ROOT_VALIDITY));
        let certificate = params.self_signed(&key).map_err(signing)?;
        Self::from_pem(
            certificate.pem().as_bytes(),
            &PrivateKeyPem::new(key.serialize_pem()),
        )
    }

    /// Loads a root; the certificate's bytes are kept exactly as they are.
    ///
    /// # Errors
    /// [`RootError`] naming what does not fit.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &PrivateKeyPem) -> Result<Self, RootError> {
        let bundle = RootBundle::parse(certificate_pem)?;
        let [der] = bundle.certificates() else {
            return Err(RootError::NotSingle(bundle.certificates().len()));
        };
        let key = KeyPair::from_pem(key_pem.expose())
            .map_err(|error| RootError::Key(error.to_string()))?;
        let certificate = parse(der)?;
        if !certificate.is_ca() {
            return Err(RootError::NotAnAuthority);
        }
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(RootError::KeyMismatch);
        }
        let not_after = time::from_asn1(&certificate.validity().not_after);
        let issuer = Issuer::from_ca_cert_der(der, key).map_err(signing)?;
        let key_pem = key_pem.clone();
        Ok(Self {
            bundle,
            not_after,
            key_pem,
            issuer,
            cross_signed_pem: String::new(),
        })
    }

    /// The same authority, handing out `cross_signed_pem` with every leaf, so that nodes that still
    /// trust only the previous root accept it.
    #[must_use]
    pub fn with_cross_signed(mut self, cross_signed_pem: String) -> Self {
        self.cross_signed_pem = cross_signed_pem;
        self
    }

    /// Signs a copy of another root (same subject, key and validity) with this one.
    ///
    /// A leaf of the other root followed by the result leads to this root.
    ///
    /// # Errors
    /// [`RootError`] if the other certificate is not a single authority's or cannot be signed.
    pub fn cross_sign(&self, other_pem: &[u8], serial: Serial) -> Result<String, RootError> {
        let bundle = RootBundle::parse(other_pem)?;
        let [der] = bundle.certificates() else {
            return Err(RootError::NotSingle(bundle.certificates().len()));
        };
        let other = parse(der)?;
        if !other.is_ca() {
            return Err(RootError::NotAnAuthority);
        }
        let public_key = SubjectPublicKeyInfo::from_der(other.public_key().raw).map_err(signing)?;
        // The library cannot copy a name; one common name is rebuilt and compared below.
        let name = other
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .ok_or(RootError::NotAnAuthority)?;
        let validity = other.validity();
        let mut params = root_params(name, serial);
        let (from, to) = (&validity.not_before, &validity.not_after);
        set_validity(&mut params, time::from_asn1(from), time::from_asn1(to));
        params.use_authority_key_identifier_extension = true;
        let signed = params
            .signed_by(&public_key, &self.issuer)
            .map_err(signing)?;
        if parse(signed.der())?.subject().as_raw() != other.subject().as_raw() {
            return Err(RootError::Signing(
                "its subject must be a common name only, such as swarm-ca".to_owned(),
            ));
        }
        Ok(signed.pem())
    }

    /// The certificate as trust for others, with its exact bytes.
    #[must_use]
    pub fn bundle(&self) -> &RootBundle {
        &self.bundle
    }

    /// The certificate's exact PEM bytes.
    #[must_use]
    pub fn certificate_pem(&self) -> &[u8] {
        self.bundle.pem()
    }

    /// The private key.
    #[must_use]
    pub fn key_pem(&self) -> &PrivateKeyPem {
        &self.key_pem
    }

    /// Digest that join tokens carry.
    #[must_use]
    pub fn digest(&self) -> String {
        token::root_digest(self.certificate_pem())
    }

    /// The last moment the root is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

impl fmt::Debug for RootCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootCa")
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}

fn root_params(name: &str, serial: Serial) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(serial.bytes()));
    params
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, RootError> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| RootBundleError::Malformed(error.to_string()).into())
}

fn signing(error: rcgen::Error) -> RootError {
    RootError::Signing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000_000);

    fn root() -> RootCa {
        RootCa::generate(NOW, Serial::new([1; 16])).expect("root")
    }

    #[test]
    fn a_new_root_is_named_swarm_ca_and_lives_twenty_years() {
        let root = root();
        let certificate = parse(&root.bundle.certificates()[0]).expect("parse");
        assert_eq!(certificate.subject().to_string(), "CN=swarm-ca");
        assert_eq!(certificate.issuer().to_string(), "CN=swarm-ca");
        assert!(certificate.is_ca());
        assert_eq!(root.not_after(), NOW.plus(ROOT_VALIDITY));
        let not_before = time::from_asn1(&certificate.validity().not_before);
        assert_eq!(not_before, NOW.minus(Duration::from_secs(3_600)));
    }

    #[test]
    fn loading_keeps_every_byte_and_so_the_digest() {
        let root = root();
        let mut pem = root.certificate_pem().to_vec();
        pem.extend_from_slice(b"\n\n");
        let loaded = RootCa::from_pem(&pem, root.key_pem()).expect("load");
        assert_eq!(loaded.certificate_pem(), pem);
        assert_ne!(loaded.digest(), root.digest());
        let same = RootCa::from_pem(root.certificate_pem(), root.key_pem()).expect("load");
        assert_eq!(same.digest(), root.digest());
    }

    #[test]
    fn a_key_of_another_root_is_refused() {
        let error = RootCa::from_pem(root().certificate_pem(), root().key_pem()).expect_err("pair");
        assert_eq!(error, RootError::KeyMismatch);
    }

    #[test]
    fn two_certificates_cannot_be_one_authority() {
        let (a, b) = (root(), root());
        let both = [a.certificate_pem(), b.certificate_pem()].concat();
        let error = RootCa::from_pem(&both, a.key_pem()).expect_err("two");
        assert_eq!(error, RootError::NotSingle(2));
    }

    #[test]
    fn a_cross_signed_root_keeps_subject_key_and_validity() {
        let (old, new) = (root(), root());
        let pem = old
            .cross_sign(new.certificate_pem(), Serial::new([2; 16]))
            .expect("sign");
        let crossed = RootBundle::parse(pem.as_bytes()).expect("parse");
        let crossed = parse(&crossed.certificates()[0]).expect("parse");
        let original = parse(&new.bundle.certificates()[0]).expect("parse");
        assert_eq!(crossed.subject().as_raw(), original.subject().as_raw());
        assert_eq!(crossed.public_key().raw, original.public_key().raw);
        assert_eq!(crossed.validity(), original.validity());
        let old_certificate = parse(&old.bundle.certificates()[0]).expect("parse");
        crossed
            .verify_signature(Some(old_certificate.public_key()))
            .expect("signed by the old");
    }

    #[test]
    fn debug_output_does_not_hold_the_key() {
        assert!(!format!("{:?}", root()).contains("PRIVATE"));
    }
}
