//! The connection to one Docker Engine, and the words its failures are told in.

use std::error::Error as _;

use bollard::Docker;
use bollard::errors::Error;
use executor::ExecError;

use crate::address::EngineAddress;

/// Longest answer of the engine to any call but streams. Stops with a longer grace period are
/// taken up again after it.
const CALL_TIMEOUT_SECS: u64 = 120;

/// The oldest API that is tested, that of Docker 20.10.
pub(crate) const API_MIN: ApiVersion = ApiVersion(1, 41);

/// A version of the engine's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(pub(crate) usize, pub(crate) usize);

/// Why an engine cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nothing answers there.
    #[error(
        "the Docker Engine at {address} does not answer: {why}; start it, name another with \
         --docker-host, or run without it with --executor process"
    )]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// It is older than what is supported.
    #[error("the Docker Engine at {address} has API {found}, at least {needed} is needed")]
    TooOld {
        /// Where it is.
        address: String,
        /// Its API.
        found: String,
        /// The oldest supported one.
        needed: String,
    },
}

/// A Docker Engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    pub(crate) address: EngineAddress,
    pub(crate) api: ApiVersion,
}

impl Engine {
    /// Connects and agrees on an API version.
    pub(crate) async fn connect(address: EngineAddress) -> Result<Self, ConnectError> {
        let unreachable = |error: Error| ConnectError::Unreachable {
            address: address.to_string(),
            why: words(&error),
        };
        let version = bollard::API_DEFAULT_VERSION;
        let text = address.to_string();
        let docker = match &address {
            EngineAddress::Unix(_) => Docker::connect_with_unix(&text, CALL_TIMEOUT_SECS, version),
            EngineAddress::Tcp(_) => Docker::connect_with_http(&text, CALL_TIMEOUT_SECS, version),
        };
        let docker = docker.map_err(unreachable)?;
        let docker = docker.negotiate_version().await.map_err(unreachable)?;
        let agreed = docker.client_version();
        let api = ApiVersion(agreed.major_version, agreed.minor_version);
        if api < API_MIN {
            return Err(ConnectError::TooOld {
                address: text,
                found: format!("{}.{}", api.0, api.1),
                needed: format!("{}.{}", API_MIN.0, API_MIN.1),
            });
        }
        Ok(Self {
            docker,
            address,
            api,
        })
    }

    /// What a failed call means: an answer of the engine is its verdict, no answer may pass.
    pub(crate) fn failed(&self, doing: &str, error: &Error) -> ExecError {
        match error {
            Error::DockerResponseServerError {
                status_code: SERVICE_UNAVAILABLE,
                message,
            } => ExecError::retry(format!("{doing}: {message}")),
            Error::DockerResponseServerError { message, .. } => {
                ExecError::rejected(format!("{doing}: {message}"))
            }
            Error::DockerStreamError { error } => ExecError::rejected(format!("{doing}: {error}")),
            other => ExecError::retry(format!(
                "{doing}: the Docker Engine at {} does not answer: {}",
                self.address,
                words(other)
            )),
        }
    }
}

const SERVICE_UNAVAILABLE: u16 = 503;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether the engine does not know what was named.
pub(crate) fn is_not_found(error: &Error) -> bool {
    status(error) == Some(NOT_FOUND)
}

/// Whether the engine refuses because of the present state of what was named.
pub(crate) fn is_conflict(error: &Error) -> bool {
    status(error) == Some(CONFLICT)
}

/// The innermost cause of a failure; the layers above it say only that something failed.
pub(crate) fn words(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return message.clone();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match error.source() {
        Some(_) => cause.to_string(),
        None => error.to_string(),
    }
}
