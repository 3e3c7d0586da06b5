//! The connection to a manager over its control socket, with a deadline on every call.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use wire::api::control_client::ControlClient;
use wire::api::logs_client::LogsClient;
use wire::swarm::v1::cluster_client::ClusterClient;

use crate::error::{CliError, Result};

/// Longest wait for the answer to a call. Managers answer within 5 s when nobody leads.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest message accepted: a list of every service of a big cluster fits.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connected manager.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    socket: PathBuf,
}

impl Client {
    /// Connects to the manager that serves the socket.
    ///
    /// # Errors
    /// If nothing answers there, saying why and what to do.
    pub async fn connect(socket: &Path) -> Result<Self> {
        // tonic hides the reason of a failed connection; this finds it out.
        drop(
            UnixStream::connect(socket)
                .await
                .map_err(|e| unreachable(socket, &e))?,
        );
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The name is never looked up: the connector knows where to go.
        let endpoint = Endpoint::from_static("http://swarmd").connect_timeout(CALL_TIMEOUT);
        let channel = endpoint.connect_with_connector_lazy(connector);
        Ok(Self {
            channel,
            socket: socket.to_owned(),
        })
    }

    /// The same manager over a new connection.
    ///
    /// # Errors
    /// If nothing answers.
    pub async fn again(&self) -> Result<Self> {
        Self::connect(&self.socket).await
    }

    /// Objects of the cluster.
    pub fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Status, progress, explanations.
    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Output of tasks.
    pub fn logs(&self) -> LogsClient<Channel> {
        LogsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// The answer to a call, waited for no longer than [`CALL_TIMEOUT`].
///
/// # Errors
/// If the cluster refuses or does not answer; `attempt` is a verb with its object.
pub fn call<'a, T: 'a>(
    attempt: &'a str,
    answer: impl Future<Output = Result<Response<T>, Status>> + 'a,
) -> impl Future<Output = Result<T>> + 'a {
    // Requests are large and travel inside the future; a box keeps the callers' futures small.
    let answer = Box::pin(answer);
    async move {
        match tokio::time::timeout(CALL_TIMEOUT, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(CliError::call(attempt, &lost(status))),
            Err(_) => {
                let text = format!(
                    "no answer within {} seconds; what it changes may still be done",
                    CALL_TIMEOUT.as_secs()
                );
                Err(CliError::call(attempt, &Status::unavailable(text)))
            }
        }
    }
}

/// tonic reports a broken connection as an unknown error with a text about transports.
pub fn lost(status: Status) -> Status {
    let broken = std::error::Error::source(&status).is_some();
    match status.code() {
        Code::Unknown | Code::Unavailable | Code::Cancelled | Code::Internal if broken => {
            Status::unavailable("the connection to swarmd broke")
        }
        _ => status,
    }
}

fn unreachable(socket: &Path, error: &io::Error) -> CliError {
    let shown = socket.display();
    let (what, hint) = match error.kind() {
        io::ErrorKind::NotFound => ("no such file", "is swarmd running on this machine?"),
        io::ErrorKind::ConnectionRefused => {
            ("nobody answers there", "is swarmd running on this machine?")
        }
        io::ErrorKind::PermissionDenied => {
            ("permission denied", "run this as the user that runs swarmd")
        }
        _ => {
            return CliError::Failed(format!(
                "cannot reach swarmd at {shown}: {error} (set --socket or SWARM_SOCKET)"
            ));
        }
    };
    CliError::Failed(format!(
        "cannot reach swarmd at {shown}: {what}: {hint} (set --socket or SWARM_SOCKET)"
    ))
}
