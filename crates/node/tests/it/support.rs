//! Whole nodes in this process: real managers on loopback with TLS, simulated containers.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use executor_sim::{SimConfig, SimEngine, SimExecutor};
use node::{Node, NodeConfig, NodeError, Ready, Runner, Start};
use pki::PrivateKeyPem;
use pki::files::{CHAIN_FILE, KEY_FILE, NodeCredentials, ROOT_FILE};
use tonic::transport::Channel;
use tonic::{Code, Status};
use transport::{Credentials, Dialer};
use types::NodeRole;
use types::node::Availability;
use wire::api::control_client::ControlClient;
use wire::swarm::v1::cluster_client::ClusterClient;
use wire::{api, swarm::v1 as pb};

/// Nothing that a test waits for takes this long on a healthy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Pause between two looks at a condition.
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// Waits until `look` finds something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    };
    let found = tokio::time::timeout(DEADLINE, found).await;
    found.unwrap_or_else(|_| panic!("it never happened that {what}"))
}

/// Waits for something that must come.
pub async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(DEADLINE, coming).await;
    came.unwrap_or_else(|_| panic!("{what} never came"))
}

/// The status of a call that must be refused with `code`, for a reason that has `text` in it.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, text: &str) -> Status {
    let status = result.expect_err("the call must be refused");
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(text), "{status}");
    status
}

/// A machine: its disk, its containers, and the node while it runs.
pub struct Machine {
    pub name: String,
    pub dir: tempfile::TempDir,
    pub listen: SocketAddr,
    pub engine: Arc<SimEngine>,
    pub node: Option<Node>,
}

impl Machine {
    pub fn new(name: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let config = SimConfig {
            hostname: name.to_owned(),
            ..SimConfig::default()
        };
        Self {
            name: name.to_owned(),
            dir: tempfile::tempdir().expect("a directory"),
            listen: free.local_addr().expect("its address"),
            engine: Arc::new(SimEngine::new(config)),
            node: None,
        }
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    pub fn config(&self, start: Start) -> NodeConfig {
        NodeConfig {
            state_dir: self.state_dir(),
            listen_addr: Some(self.listen),
            advertise_addr: None,
            control_socket: self.socket(),
            executor: Arc::new(SimExecutor::attach(self.engine.clone())),
            runner: Runner::default(),
            hostname: Some(self.name.clone()),
            labels: Default::default(),
            availability: Availability::Active,
            start,
            metrics_addr: None,
        }
    }

    /// Leaves with the executor that ran this machine's tasks.
    pub async fn leave(&self, force: bool) -> Result<node::Left, NodeError> {
        let executor = Arc::new(SimExecutor::attach(self.engine.clone()));
        node::leave(&self.state_dir(), force, Ok(executor)).await
    }

    pub async fn try_start(&mut self, start: Start) -> Result<Ready, NodeError> {
        let mut node = Node::start(self.config(start)).await?;
        let ready = node.ready().await?;
        self.node = Some(node);
        Ok(ready)
    }

    pub async fn start(&mut self, start: Start) -> Ready {
        let ready = soon("a ready node", self.try_start(start)).await;
        ready.unwrap_or_else(|e| panic!("{} does not start: {e}", self.name))
    }

    pub async fn resume(&mut self) -> Ready {
        self.start(run(false)).await
    }

    pub async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop().await.expect("it had not ended before");
        }
    }

    /// The error of a start that must fail.
    pub async fn fails(&mut self, start: Start) -> String {
        let error = soon("a refusal", self.try_start(start)).await;
        error.expect_err("the start must fail").to_string()
    }

    pub async fn channel(&self) -> Channel {
        let channel = transport::connect_local(&self.socket()).await;
        channel.expect("the control socket answers")
    }

    pub async fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel().await)
    }

    pub async fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel().await)
    }

    /// The credentials on its disk, as somebody who copied them would use them.
    pub fn credentials(&self) -> Arc<Credentials> {
        let read = |name| {
            let path = self.state_dir().join("certificates").join(name);
            std::fs::read(path).expect("the node has credentials")
        };
        let text = |name| String::from_utf8(read(name)).expect("text");
        let key = PrivateKeyPem::new(text(KEY_FILE));
        let now = manager::clock::now();
        let node = NodeCredentials::check(&read(ROOT_FILE), &text(CHAIN_FILE), key, now);
        Credentials::new(node.expect("valid credentials")).expect("usable credentials")
    }
}

pub fn run(force_new_cluster: bool) -> Start {
    Start::Run { force_new_cluster }
}

pub fn join(token: &str, through: &Machine) -> Start {
    Start::Join {
        token: token.to_owned(),
        addr: through.listen.to_string(),
    }
}

/// A cluster: its founder and its tokens.
pub struct Cluster {
    pub first: Machine,
    pub ready: Ready,
    pub worker_token: String,
    pub manager_token: String,
}

impl Cluster {
    pub async fn found() -> Self {
        let mut first = Machine::new("m1");
        let ready = first.start(Start::Init).await;
        let (worker_token, manager_token) = ready.join_tokens.clone().expect("join tokens");
        Self {
            first,
            ready,
            worker_token,
            manager_token,
        }
    }

    pub async fn control(&self) -> ControlClient<Channel> {
        self.first.control().await
    }

    pub async fn join(&self, name: &str, role: NodeRole) -> (Machine, Ready) {
        let token = match role {
            NodeRole::Worker => &self.worker_token,
            NodeRole::Manager => &self.manager_token,
        };
        let mut machine = Machine::new(name);
        let ready = machine.start(join(token, &self.first)).await;
        (machine, ready)
    }

    /// Waits until the cluster has this many voters that answer.
    pub async fn voters(&self, seen_by: &Machine, count: usize) -> Vec<pb::Member> {
        let mut cluster = seen_by.cluster().await;
        eventually("all managers vote", async || {
            let status = cluster
                .status(pb::StatusRequest {})
                .await
                .ok()?
                .into_inner();
            let voters: Vec<_> = status
                .members
                .into_iter()
                .filter(|m| m.role() != pb::member::Role::Learner)
                .collect();
            (voters.len() == count && status.has_quorum).then_some(voters)
        })
        .await
    }

    /// A channel to the first manager with somebody's credentials.
    pub async fn dial(&self, credentials: Arc<Credentials>) -> Channel {
        let addr = self.first.listen.to_string();
        let channel = Dialer::member(credentials).connect(&addr).await;
        channel.expect("the first manager answers")
    }
}

/// A service of `replicas` tasks with a name.
pub fn spec(name: &str, replicas: u64) -> api::ServiceSpec {
    let container = api::ContainerSpec {
        image: "busybox:latest".to_owned(),
        ..Default::default()
    };
    api::ServiceSpec {
        annotations: Some(annotations(name)),
        task: Some(api::TaskSpec {
            runtime: Some(api::task_spec::Runtime::Container(container)),
            ..Default::default()
        }),
        mode: Some(api::service_spec::Mode::Replicated(
            api::ReplicatedService { replicas },
        )),
        ..Default::default()
    }
}

pub fn annotations(name: &str) -> api::Annotations {
    api::Annotations {
        name: name.to_owned(),
        ..Default::default()
    }
}

pub fn container(spec: &mut api::ServiceSpec) -> &mut api::ContainerSpec {
    match spec.task.as_mut().and_then(|t| t.runtime.as_mut()) {
        Some(api::task_spec::Runtime::Container(container)) => container,
        _ => panic!("a service of containers"),
    }
}

pub async fn create(
    control: &mut ControlClient<Channel>,
    spec: api::ServiceSpec,
) -> Result<api::Service, Status> {
    let request = api::CreateServiceRequest { spec: Some(spec) };
    let reply = control.create_service(request).await?;
    Ok(reply.into_inner().service.expect("the service"))
}

pub async fn update(
    control: &mut ControlClient<Channel>,
    service: &api::Service,
    spec: api::ServiceSpec,
) -> Result<api::Service, Status> {
    let request = api::UpdateServiceRequest {
        service_id: service.id.clone(),
        service_version: service.meta.as_ref().and_then(|m| m.version),
        spec: Some(spec),
        ..Default::default()
    };
    let reply = control.update_service(request).await?;
    Ok(reply.into_inner().service.expect("the service"))
}

pub async fn service(control: &mut ControlClient<Channel>, id: &str) -> api::Service {
    let request = api::GetServiceRequest {
        service_id: id.to_owned(),
        ..Default::default()
    };
    let reply = control.get_service(request).await.expect("the service");
    reply.into_inner().service.expect("the service")
}

pub async fn node(control: &mut ControlClient<Channel>, id: &str) -> api::Node {
    let request = api::GetNodeRequest {
        node_id: id.to_owned(),
    };
    let reply = control.get_node(request).await.expect("the node");
    reply.into_inner().node.expect("the node")
}

/// Changes a node's spec, again if it changed meanwhile.
pub async fn change_node(
    control: &mut ControlClient<Channel>,
    id: &str,
    change: impl Fn(&mut api::NodeSpec),
) -> Result<api::Node, Status> {
    loop {
        let found = node(control, id).await;
        let mut spec = found.spec.unwrap_or_default();
        change(&mut spec);
        let request = api::UpdateNodeRequest {
            node_id: id.to_owned(),
            node_version: found.meta.and_then(|m| m.version),
            spec: Some(spec),
        };
        match control.update_node(request).await {
            Err(e) if e.message().contains("out of sequence") => {}
            reply => return Ok(reply?.into_inner().node.expect("the node")),
        }
    }
}

pub async fn set_role(
    control: &mut ControlClient<Channel>,
    id: &str,
    role: NodeRole,
) -> Result<api::Node, Status> {
    let role = api::NodeRole::from(role);
    change_node(control, id, |spec| spec.set_desired_role(role)).await
}

pub async fn remove_node(control: &mut ControlClient<Channel>, id: &str) -> Result<(), Status> {
    let request = api::RemoveNodeRequest {
        node_id: id.to_owned(),
        force: true,
    };
    control.remove_node(request).await.map(drop)
}

/// Waits until so many tasks of a service run; returns them.
pub async fn running(
    control: &mut ControlClient<Channel>,
    service: &str,
    count: usize,
) -> Vec<api::Task> {
    let filters = api::list_tasks_request::Filters {
        service_ids: vec![service.to_owned()],
        desired_states: vec![api::TaskState::Running as i32],
        ..Default::default()
    };
    let request = api::ListTasksRequest {
        filters: Some(filters),
    };
    eventually("the tasks run", async || {
        let reply = control.list_tasks(request.clone()).await.ok()?;
        let mut tasks = reply.into_inner().tasks;
        tasks.retain(|t| {
            let state = t.status.as_ref().map(|s| s.state());
            state == Some(api::TaskState::Running)
        });
        (tasks.len() == count).then_some(tasks)
    })
    .await
}
