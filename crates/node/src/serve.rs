//! Serving: the control socket always, the manager's port while there is a manager.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use manager::Manager;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Layer, Service};
use transport::{Closer, Credentials, GateLayer, Incoming, Listener, LocalListener};

use crate::error::NodeError;

/// How long open calls may take to end when a server stops.
const GRACE: Duration = Duration::from_millis(500);

/// A server that runs until it is stopped.
pub struct Serving {
    stop: CancellationToken,
    closer: Closer,
    task: JoinHandle<()>,
}

impl Serving {
    fn start<L>(incoming: Incoming, layer: L, routes: Routes) -> Self
    where
        L: Layer<Routes> + Clone + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
    {
        let stop = CancellationToken::new();
        let closer = incoming.closer();
        let signal = stop.clone().cancelled_owned();
        let server = transport::server_builder().layer(layer).add_routes(routes);
        let served = server.serve_with_incoming_shutdown(incoming, signal);
        let task = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "a server ended");
            }
        });
        Self { stop, closer, task }
    }

    /// Stops accepting, lets open calls end for a moment, then closes every connection.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.closer.close();
            // What does not end now ends with the process.
            let _late = tokio::time::timeout(GRACE, self.task).await;
        }
    }
}

/// Serves a manager on its port.
///
/// # Errors
/// If the port cannot be gone on with.
pub fn manager(
    manager: &Manager,
    credentials: Arc<Credentials>,
    port: std::net::TcpListener,
) -> Result<Serving, NodeError> {
    let listener = Listener::over(port, credentials.clone())?;
    let gate = GateLayer::new(credentials, manager.view());
    Ok(Serving::start(listener.incoming(), gate, manager.routes()))
}

/// Serves a manager on the control socket.
///
/// # Errors
/// If the socket cannot be made.
pub async fn control(
    manager: &Manager,
    credentials: Arc<Credentials>,
    path: &Path,
) -> Result<Serving, NodeError> {
    let listener = LocalListener::bind(path).await?;
    let gate = GateLayer::new(credentials, manager.view());
    Ok(Serving::start(listener.incoming(), gate, manager.routes()))
}

/// Answers on the control socket of a node that is no manager, with where the managers are.
///
/// # Errors
/// If the socket cannot be made.
pub async fn no_control(path: &Path, managers: &[String]) -> Result<Serving, NodeError> {
    let listener = LocalListener::bind(path).await?;
    let whereabouts = match managers {
        [] => "run this command on a manager".to_owned(),
        known => format!("run this command on a manager: {}", known.join(", ")),
    };
    let text = format!("this node is not a manager; {whereabouts}");
    let layer = RefuseLayer { text: text.into() };
    Ok(Serving::start(
        listener.incoming(),
        layer,
        Routes::default(),
    ))
}

/// Answers every call with one refusal.
#[derive(Clone)]
struct RefuseLayer {
    text: Arc<str>,
}

#[derive(Clone)]
struct Refuse {
    text: Arc<str>,
}

impl<S> Layer<S> for RefuseLayer {
    type Service = Refuse;

    fn layer(&self, _: S) -> Refuse {
        Refuse {
            text: self.text.clone(),
        }
    }
}

impl Service<Request<Body>> for Refuse {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let status = Status::failed_precondition(self.text.to_string());
        std::future::ready(Ok(status.into_http()))
    }
}
