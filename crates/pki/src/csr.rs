//! Certificate requests: made by a node, checked by the leader.
//!
//! A request is only a public key and the proof that its sender holds the private one. Names,
//! usages and validity in it are never looked at: the authority decides those.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData, SubjectPublicKeyInfo};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// Longest accepted request, in bytes of PEM. A real one has about 500; the bound keeps what an
/// unauthenticated caller can make the leader parse small.
pub const CSR_BYTES_MAX: usize = 16 * 1024;

/// A private key as PKCS#8 PEM. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKeyPem(String);

/// A request as a node sends it: PEM, compared byte for byte with what comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr(String);

/// The public key of a request whose signature was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCsr {
    pub(crate) public_key: SubjectPublicKeyInfo,
}

/// Why a request is refused, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Larger than [`CSR_BYTES_MAX`].
    #[error("certificate request has {0} bytes, at most {CSR_BYTES_MAX} are accepted")]
    TooLarge(usize),
    /// Not one PEM block with one request in it.
    #[error("certificate request is not a PKCS#10 request in PEM: {0}")]
    Malformed(String),
    /// Changed on its way, or its sender does not hold the private key.
    #[error("certificate request's signature is wrong: it was changed or its key is not held")]
    BadSignature,
    /// A kind of key that nodes do not use.
    #[error("certificate request's key must be ECDSA on the curve P-256 or P-384")]
    UnsupportedKey,
    /// The system could not make a key.
    #[error("cannot make a private key: {0}")]
    KeyGeneration(String),
}

// === impl PrivateKeyPem ===

impl PrivateKeyPem {
    /// Takes PEM text as it is; parsing happens where it is used.
    #[must_use]
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    /// The PEM text, to be written to a file or handed to TLS.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The key's public half as DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// The parser's words if it is not a PKCS#8 private key.
    pub fn public_key_der(&self) -> Result<Vec<u8>, String> {
        let key = KeyPair::from_pem(&self.0).map_err(|error| error.to_string())?;
        Ok(key.subject_public_key_info())
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyPem(hidden)")
    }
}

// === impl Csr ===

impl Csr {
    /// A request for a freshly made P-256 key, and the key.
    ///
    /// # Errors
    /// [`CsrError::KeyGeneration`] if the system gives no randomness.
    pub fn generate() -> Result<(Self, PrivateKeyPem), CsrError> {
        let failed = |error: rcgen::Error| CsrError::KeyGeneration(error.to_string());
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let pem = params
            .serialize_request(&key)
            .and_then(|csr| csr.pem())
            .map_err(failed)?;
        Ok((Self(pem), PrivateKeyPem(key.serialize_pem())))
    }

    /// The PEM text to send.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.0
    }
}

// === impl CheckedCsr ===

impl CheckedCsr {
    /// Parses a received request and verifies that its sender holds the key.
    ///
    /// # Errors
    /// [`CsrError`]; nothing of a refused request is kept.
    pub fn parse(pem: &[u8]) -> Result<Self, CsrError> {
        if pem.len() > CSR_BYTES_MAX {
            return Err(CsrError::TooLarge(pem.len()));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem)
            .map_err(|error| CsrError::Malformed(error.to_string()))?;
        let (rest, request) = X509CertificationRequest::from_der(&der)
            .map_err(|error| CsrError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(CsrError::Malformed("bytes after its end".to_owned()));
        }
        let spki = &request.certification_request_info.subject_pki;
        let public_key =
            SubjectPublicKeyInfo::from_der(spki.raw).map_err(|_| CsrError::UnsupportedKey)?;
        let curves = [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
        ];
        if !curves.contains(&public_key.algorithm()) {
            return Err(CsrError::UnsupportedKey);
        }
        request
            .verify_signature()
            .map_err(|_| CsrError::BadSignature)?;
        Ok(Self { public_key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_changed_byte(pem: &str, index: usize) -> Vec<u8> {
        let mut der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .expect("own request")
            .to_vec();
        der[index] ^= 0x01;
        to_pem(&der)
    }

    fn to_pem(der: &[u8]) -> Vec<u8> {
        use base64::Engine;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
            .into_bytes()
    }

    #[test]
    fn a_fresh_request_passes_and_carries_the_public_half_of_its_key() {
        let (csr, key) = Csr::generate().expect("make");
        let checked = CheckedCsr::parse(csr.pem().as_bytes()).expect("check");
        assert_eq!(
            checked.public_key.subject_public_key_info(),
            key.public_key_der().expect("key")
        );
        assert!(key.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(!format!("{key:?}").contains("BEGIN"));
    }

    #[test]
    fn no_changed_byte_of_the_signed_part_or_the_signature_passes() {
        let (csr, _) = Csr::generate().expect("make");
        let der = CertificateSigningRequestDer::from_pem_slice(csr.pem().as_bytes())
            .expect("own request");
        let (_, request) = X509CertificationRequest::from_der(&der).expect("parse");
        let signed = 3 + request.certification_request_info.raw.len();
        let signature = der.len() - request.signature_value.data.len();
        for index in (0..signed).chain(signature..der.len()) {
            let changed = with_changed_byte(csr.pem(), index);
            assert!(CheckedCsr::parse(&changed).is_err(), "byte {index} changed");
        }
    }

    #[test]
    fn keys_that_nodes_do_not_use_are_refused() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("key");
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .expect("request");
        let pem = csr.pem().expect("pem");
        assert_eq!(
            CheckedCsr::parse(pem.as_bytes()),
            Err(CsrError::UnsupportedKey)
        );
    }

    #[test]
    fn garbage_is_refused_with_its_reason() {
        let refused = |bytes: &[u8]| CheckedCsr::parse(bytes).expect_err("refused");
        assert!(matches!(refused(b""), CsrError::Malformed(_)));
        assert!(matches!(
            refused(&to_pem(b"\x30\x03abc")),
            CsrError::Malformed(_)
        ));
        let large = vec![b'a'; CSR_BYTES_MAX + 1];
        assert_eq!(refused(&large), CsrError::TooLarge(CSR_BYTES_MAX + 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn parsing_never_panics(der: Vec<u8>) {
            let _ = CheckedCsr::parse(&to_pem(&der));
            let _ = CheckedCsr::parse(&der);
        }
    }
}
