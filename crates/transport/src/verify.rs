//! Certificate checks inside TLS handshakes: `pki` decides, the TLS library checks signatures.
//!
//! A peer whose certificate leads to a root but does not read as a node's is refused here, so that
//! no code behind a connection ever meets a certificate without an identity.

use pki::chain::{ChainError, RootBundle, Usage};
use pki::renewal::ClockProblem;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::credentials::provider;

/// Checks clients: no certificate, or a node's.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    roots: RootBundle,
}

/// Checks servers: a node's certificate that carries the expected name.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    roots: RootBundle,
}

/// Checks only that the server holds the key of whatever certificate it shows.
#[derive(Debug)]
pub(crate) struct AnyServer;

impl ClientVerifier {
    pub(crate) fn new(roots: RootBundle) -> Self {
        Self { roots }
    }
}

impl ServerVerifier {
    pub(crate) fn new(roots: RootBundle) -> Self {
        Self { roots }
    }
}

/// The TLS library's word for a refusal; it decides which alert the peer gets.
fn refusal(error: ChainError, now: UnixTime) -> Error {
    let seconds = now.as_secs();
    let moment = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let reason = match error {
        ChainError::Clock(ClockProblem::Expired { by }) => CertificateError::ExpiredContext {
            time: now,
            not_after: moment(seconds.saturating_sub(by.as_secs())),
        },
        ChainError::Clock(ClockProblem::NotYetValid { by }) => {
            CertificateError::NotValidYetContext {
                time: now,
                not_before: moment(seconds.saturating_add(by.as_secs())),
            }
        }
        ChainError::UnknownAuthority => CertificateError::UnknownIssuer,
        ChainError::Identity(_) => CertificateError::ApplicationVerificationFailure,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(reason)
}

macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = provider().signature_verification_algorithms;
            verify_tls12_signature(message, cert, dss, &algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = provider().signature_verification_algorithms;
            verify_tls13_signature(message, cert, dss, &algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    };
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        // Nodes that are about to join have none.
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: clients then show the certificate they have, whichever root it is from.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.roots
            .verify(
                end_entity,
                intermediates,
                clock::of_handshake(now),
                Usage::Client,
            )
            .map_err(|error| refusal(error, now))?;
        Ok(ClientCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.roots
            .verify(
                end_entity,
                intermediates,
                clock::of_handshake(now),
                Usage::Server,
            )
            .map_err(|error| refusal(error, now))?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}
