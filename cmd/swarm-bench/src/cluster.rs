//! A cluster on loopback and questions to it over its own API.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use integration::{Binaries, Cluster, Node, Rig};
use tonic::transport::Channel;
use wire::api::{self, control_client::ControlClient};
use wire::swarm::v1::{StatusRequest, StatusResponse, cluster_client::ClusterClient};

/// Largest answer accepted: the list of all that a benchmark has written.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// An empty ground for nodes with pretended containers.
pub(crate) fn with_executor(executor: &str) -> anyhow::Result<Cluster> {
    Cluster::loopback_with(Binaries::beside_this_program()?, executor)
}

/// An empty ground where every node is a host of its own, with pretended containers.
pub(crate) fn on_hosts(hosts: usize) -> anyhow::Result<Cluster> {
    if let Some(missing) = Rig::missing() {
        bail!("cannot make hosts on this machine: it {missing}");
    }
    let binaries = Binaries::beside_this_program()?;
    Cluster::on_rig_with(Rig::up_bare(hosts)?, binaries, "sim")
}

/// Waits for the answer to a question that is asked again and again.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        let answer = ask().await;
        if let Ok(Some(answer)) = answer {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            let secs = limit.as_secs();
            match answer {
                Err(why) => bail!("not within {secs} s: {what}: {why:#}"),
                Ok(_) => bail!("not within {secs} s: {what}"),
            }
        }
        // Asking costs the manager something; a fifth of its time at most.
        let pause = (asked.elapsed() * 4).max(Duration::from_millis(2));
        tokio::time::sleep(pause).await;
    }
}

/// The API of a node, through its control socket.
pub(crate) async fn control(node: &Node) -> anyhow::Result<ControlClient<Channel>> {
    let channel = node.local_channel().await?;
    Ok(ControlClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// How the managers are, as one of them sees it.
pub(crate) async fn status(node: &Node) -> anyhow::Result<StatusResponse> {
    let mut client = ClusterClient::new(node.local_channel().await?);
    Ok(client.status(StatusRequest {}).await?.into_inner())
}

/// The manager that leads, as a manager sees it.
pub(crate) async fn leader(cluster: &Cluster, via: usize) -> anyhow::Result<usize> {
    let status = status(cluster.node(via)).await?;
    let leads = |m: &&wire::swarm::v1::Member| m.node_id == status.leader_node_id;
    let found = status.members.iter().find(leads).context("nobody leads")?;
    cluster.named(&found.hostname)
}

/// A service of containers that sleep.
pub(crate) fn sleepers(name: &str, image: &str, replicas: u64) -> api::ServiceSpec {
    let container = api::ContainerSpec {
        image: image.to_owned(),
        command: vec!["sleep".into(), "100000".into()],
        // A sleep that is process 1 takes no notice of the usual signal.
        stop_signal: "SIGKILL".into(),
        ..Default::default()
    };
    let task = api::TaskSpec {
        runtime: Some(api::task_spec::Runtime::Container(container)),
        ..Default::default()
    };
    let annotations = api::Annotations {
        name: name.to_owned(),
        ..Default::default()
    };
    api::ServiceSpec {
        annotations: Some(annotations),
        task: Some(task),
        mode: Some(api::service_spec::Mode::Replicated(
            api::ReplicatedService { replicas },
        )),
        ..Default::default()
    }
}

/// Makes a service and returns its id.
pub(crate) async fn create(
    client: &mut ControlClient<Channel>,
    spec: api::ServiceSpec,
) -> anyhow::Result<String> {
    let request = api::CreateServiceRequest { spec: Some(spec) };
    let created = client.create_service(request).await?.into_inner();
    Ok(created.service.context("read the new service")?.id)
}

/// How many tasks of a service run.
pub(crate) async fn running(
    client: &mut ControlClient<Channel>,
    service: &str,
) -> anyhow::Result<u64> {
    let request = api::ListServiceStatusesRequest {
        services: vec![service.to_owned()],
    };
    let answer = client.list_service_statuses(request).await?.into_inner();
    Ok(answer
        .statuses
        .first()
        .map_or(0, |status| status.running_tasks))
}
