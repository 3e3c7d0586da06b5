//! A manager that answers each method from a script. Methods without a script are unimplemented.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;
use tokio::process::Command;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

type Handler =
    Arc<dyn Fn(http::Request<Body>) -> BoxFuture<http::Response<Body>, Infallible> + Send + Sync>;

/// What a server-streaming method sends.
pub type Sent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A command that takes longer hangs.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// Methods by path.
#[derive(Default, Clone)]
pub struct Script(BTreeMap<&'static str, Handler>);

impl Script {
    /// Answers a unary method.
    pub fn unary<Q, A>(
        mut self,
        path: &'static str,
        answer: impl Fn(Q) -> Result<A, Status> + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let handler: Handler = Arc::new(move |request| {
            let answer = answer.clone();
            Box::pin(async move {
                let service = tower::service_fn(move |request: Request<Q>| {
                    let answered = answer(request.into_inner()).map(Response::new);
                    async move { answered }
                });
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<A, Q>::default());
                Ok(grpc.unary(service, request).await)
            })
        });
        self.0.insert(path, handler);
        self
    }

    /// Answers a server-streaming method; `answer` gets the number of the call, from 0.
    pub fn stream<Q, A>(
        mut self,
        path: &'static str,
        answer: impl Fn(Q, usize) -> Sent<A> + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let calls = Arc::new(Mutex::new(0));
        let handler: Handler = Arc::new(move |request| {
            let (answer, calls) = (answer.clone(), calls.clone());
            Box::pin(async move {
                let service = tower::service_fn(move |request: Request<Q>| {
                    let mut calls = calls.lock().unwrap();
                    let sent = answer(request.into_inner(), *calls);
                    *calls += 1;
                    async move { Ok::<_, Status>(Response::new(sent)) }
                });
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<A, Q>::default());
                Ok(grpc.server_streaming(service, request).await)
            })
        });
        self.0.insert(path, handler);
        self
    }
}

/// Messages, and then nothing for ever.
pub fn open<T: Send + 'static>(messages: Vec<T>) -> Sent<T> {
    Box::pin(stream::iter(messages.into_iter().map(Ok)).chain(stream::pending()))
}

/// Messages, and then the end with a status.
pub fn ended<T: Send + 'static>(messages: Vec<T>, status: Status) -> Sent<T> {
    let end = stream::once(async move { Err(status) });
    Box::pin(stream::iter(messages.into_iter().map(Ok)).chain(end))
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program against a manager with this script.
pub async fn run(script: Script, line: &[&str]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(serve(listener, script));
    let outcome = run_at(&socket, line).await;
    server.abort();
    outcome
}

/// Runs the program against a manager with this script; its output is closed from the start.
pub async fn run_unread(script: Script, line: &[&str]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(serve(listener, script));
    let mut child = Command::new(env!("CARGO_BIN_EXE_swarmctl"))
        .args(line)
        .env("SWARM_SOCKET", &socket)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
        .await
        .expect("the command ends")
        .unwrap();
    server.abort();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program with a socket that may not be there.
pub async fn run_at(socket: &PathBuf, line: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_swarmctl"))
        .args(line)
        .env("SWARM_SOCKET", socket)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DEADLINE, output)
        .await
        .expect("the command ends")
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

async fn serve(listener: UnixListener, script: Script) {
    while let Ok((stream, _)) = listener.accept().await {
        let script = script.clone();
        let service =
            hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let request = request.map(Body::new);
                let handler = script.0.get(request.uri().path()).cloned();
                async move {
                    match handler {
                        Some(handler) => handler(request).await,
                        None => Ok(Status::unimplemented("not in the script").into_http()),
                    }
                }
            });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            // A command that ends drops its connection, which is an error here.
            let _dropped = connection.await;
        });
    }
}
