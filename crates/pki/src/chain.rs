//! Trust: does a certificate lead to a root of the cluster, now, for this use.
//!
//! The path is built and verified by `webpki`, the same code that TLS connections use. What a
//! verified leaf says is then read strictly by [`crate::identity`].

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use types::Timestamp;
use types::node::TlsInfo;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::csr::PrivateKeyPem;
use crate::identity::{Identity, IdentityError};
use crate::renewal::{ClockProblem, validity_problem};

/// Longest accepted PEM file of certificates, in bytes: a chain during a rotation has about 2,000.
pub const PEM_BYTES_MAX: usize = 64 * 1024;

/// The roots a node trusts, with the exact bytes they came in.
#[derive(Clone, Debug)]
pub struct RootBundle {
    pem: Vec<u8>,
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

/// Why bytes are not a root bundle or a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootBundleError {
    /// Larger than [`PEM_BYTES_MAX`].
    #[error("certificate file has {0} bytes, at most {PEM_BYTES_MAX} are accepted")]
    TooLarge(usize),
    /// No certificate in it.
    #[error("certificate file holds no certificate in PEM")]
    Empty,
    /// A certificate in it cannot be read.
    #[error("certificate file cannot be read: {0}")]
    Malformed(String),
}

/// A node's certificate with the intermediates that lead to a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChain {
    pem: String,
    certificates: Vec<CertificateDer<'static>>,
}

/// What a certificate is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Calling.
    Client,
    /// Being called.
    Server,
}

/// Why a chain is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Outside its validity, or the clock is wrong.
    #[error(transparent)]
    Clock(#[from] ClockProblem),
    /// No path to a trusted root.
    #[error("certificate was not issued by this cluster's root certificate")]
    UnknownAuthority,
    /// Not a node's certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Anything else the verifier objects to.
    #[error("certificate is not valid: {0}")]
    Invalid(String),
    /// Certificate and private key are not a pair.
    #[error("certificate and private key do not belong together")]
    KeyMismatch,
    /// The private key cannot be read.
    #[error("private key cannot be read: {0}")]
    Key(String),
}

// === impl RootBundle ===

impl RootBundle {
    /// Reads one or more root certificates; the bytes are kept exactly.
    ///
    /// # Errors
    /// [`RootBundleError`] if there is no certificate or one cannot serve as a root.
    pub fn parse(pem: &[u8]) -> Result<Self, RootBundleError> {
        let certificates = certificates(pem)?;
        let anchors = certificates
            .iter()
            .map(|der| anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()))
            .collect::<Result<_, _>>()
            .map_err(|error| RootBundleError::Malformed(error.to_string()))?;
        Ok(Self {
            pem: pem.to_vec(),
            certificates,
            anchors,
        })
    }

    /// The exact bytes it was read from.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// The certificates.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Verifies a leaf with the intermediates its owner sent and reads whose it is.
    ///
    /// # Errors
    /// [`ChainError`] with the reason.
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
        usage: Usage,
    ) -> Result<Identity, ChainError> {
        let invalid = |error: webpki::Error| ChainError::Invalid(error.to_string());
        let end_entity = EndEntityCert::try_from(leaf).map_err(invalid)?;
        let key_usage = match usage {
            Usage::Client => KeyUsage::client_auth(),
            Usage::Server => KeyUsage::server_auth(),
        };
        let moment = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.secs()));
        let verified = end_entity.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.anchors,
            intermediates,
            moment,
            key_usage,
            None,
            None,
        );
        let identity = Identity::from_der(leaf);
        if let Err(error) = verified {
            return Err(refusal(error, identity.ok().as_ref(), now));
        }
        Ok(identity?)
    }
}

/// The reason in terms of clocks if the leaf's own validity explains it.
fn refusal(error: webpki::Error, leaf: Option<&Identity>, now: Timestamp) -> ChainError {
    use webpki::Error as E;
    match error {
        E::CertNotValidYet { .. } | E::CertExpired { .. } => leaf
            .and_then(|leaf| validity_problem(leaf.not_before, leaf.not_after, now))
            .map_or_else(|| ChainError::Invalid(error.to_string()), ChainError::Clock),
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => ChainError::UnknownAuthority,
        other => ChainError::Invalid(other.to_string()),
    }
}

// === impl NodeChain ===

impl NodeChain {
    /// Reads a chain, leaf first.
    ///
    /// # Errors
    /// [`RootBundleError`] if there is no certificate in it.
    pub fn parse(pem: &str) -> Result<Self, RootBundleError> {
        let certificates = certificates(pem.as_bytes())?;
        Ok(Self {
            pem: pem.to_owned(),
            certificates,
        })
    }

    /// The exact text it was read from.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// All certificates, leaf first.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Verifies the chain for both ends of a connection and that `key` belongs to it.
    ///
    /// # Errors
    /// [`ChainError`] with the reason.
    pub fn verify(
        &self,
        roots: &RootBundle,
        key: &PrivateKeyPem,
        now: Timestamp,
    ) -> Result<Identity, ChainError> {
        let (leaf, intermediates) = self.split();
        roots.verify(leaf, intermediates, now, Usage::Server)?;
        let identity = roots.verify(leaf, intermediates, now, Usage::Client)?;
        let certificate = read(leaf)?;
        if certificate.public_key().raw != key.public_key_der().map_err(ChainError::Key)? {
            return Err(ChainError::KeyMismatch);
        }
        Ok(identity)
    }

    /// Whose chain it claims to be, without verifying anything.
    ///
    /// # Errors
    /// [`IdentityError`] if the leaf is no node's.
    pub fn claimed_identity(&self) -> Result<Identity, IdentityError> {
        Identity::from_der(self.split().0)
    }

    /// What a node reports about its trust: the roots and who signed its leaf.
    ///
    /// # Errors
    /// [`ChainError::UnknownAuthority`] if none of the roots or intermediates signed the leaf.
    pub fn tls_info(&self, roots: &RootBundle) -> Result<TlsInfo, ChainError> {
        let (leaf, intermediates) = self.split();
        let leaf = read(leaf)?;
        let candidates = intermediates.iter().chain(roots.certificates());
        for candidate in candidates {
            let issuer = read(candidate)?;
            if issuer.subject().as_raw() == leaf.issuer().as_raw()
                && leaf.verify_signature(Some(issuer.public_key())).is_ok()
            {
                return Ok(TlsInfo {
                    trust_root: roots.pem().to_vec(),
                    cert_issuer_subject: issuer.subject().as_raw().to_vec(),
                    cert_issuer_public_key: issuer.public_key().raw.to_vec(),
                });
            }
        }
        Err(ChainError::UnknownAuthority)
    }

    fn split(&self) -> (&CertificateDer<'static>, &[CertificateDer<'static>]) {
        self.certificates
            .split_first()
            .expect("parse refuses an empty chain")
    }
}

fn read<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, ChainError> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| ChainError::Invalid(error.to_string()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RootBundleError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(RootBundleError::TooLarge(pem.len()));
    }
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| RootBundleError::Malformed(error.to_string()))?;
    for der in &certificates {
        X509Certificate::from_der(der)
            .map_err(|error| RootBundleError::Malformed(error.to_string()))?;
    }
    if certificates.is_empty() {
        Err(RootBundleError::Empty)
    } else {
        Ok(certificates)
    }
}
