//! The demo service: created, watched and removed through the control socket, as any client does.

use std::time::Duration;

use anyhow::Context;
use tonic::transport::Channel;
use wire::api;
use wire::api::control_client::ControlClient;
use wire::swarm::v1 as pb;
use wire::swarm::v1::cluster_client::ClusterClient;

use super::nodes::Nodes;
use crate::cli::DevArgs;

/// Name of the demo service.
pub const NAME: &str = "helloworld";

/// Its replicas.
pub const REPLICAS: u64 = 10;

/// What each task runs: it says hello and ends at once when it is told to.
const SCRIPT: &str = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); \
                      echo \"hello $i from task $TASK on $NODE\"; sleep 2 & wait $!; done";

/// How the deployment went.
pub enum Outcome {
    /// All replicas run.
    Converged,
    /// They did not in time; with the present reason.
    TimedOut(String),
}

async fn channel(nodes: &Nodes) -> anyhow::Result<Channel> {
    transport::connect_local(&nodes.control_socket())
        .await
        .context("cannot reach the first manager")
}

fn spec(image: &str) -> api::ServiceSpec {
    let container = api::ContainerSpec {
        image: image.to_owned(),
        command: ["sh", "-c", SCRIPT].map(str::to_owned).to_vec(),
        env: vec![
            "TASK={{.Task.Name}}".to_owned(),
            "NODE={{.Node.Hostname}}".to_owned(),
        ],
        ..Default::default()
    };
    api::ServiceSpec {
        annotations: Some(api::Annotations {
            name: NAME.to_owned(),
            ..Default::default()
        }),
        task: Some(api::TaskSpec {
            runtime: Some(api::task_spec::Runtime::Container(container)),
            ..Default::default()
        }),
        mode: Some(api::service_spec::Mode::Replicated(
            api::ReplicatedService { replicas: REPLICAS },
        )),
        ..Default::default()
    }
}

/// Creates the service and shows it converge.
pub async fn deploy(nodes: &Nodes, args: &DevArgs) -> anyhow::Result<Outcome> {
    let channel = channel(nodes).await?;
    let mut control = ControlClient::new(channel.clone());
    let request = api::CreateServiceRequest {
        spec: Some(spec(&args.image)),
    };
    let created = control.create_service(request).await;
    let created = created.map_err(|e| anyhow::anyhow!("cannot create {NAME}: {}", e.message()))?;
    let service_id = created.into_inner().service.unwrap_or_default().id;
    let mut blocked = String::new();
    let watch = watch(channel, service_id, &mut blocked);
    match tokio::time::timeout(Duration::from_secs(args.timeout), watch).await {
        Ok(watched) => watched.map(|()| Outcome::Converged),
        Err(_) => Ok(Outcome::TimedOut(blocked)),
    }
}

async fn watch(channel: Channel, id: String, blocked: &mut String) -> anyhow::Result<()> {
    let mut cluster = ClusterClient::new(channel);
    let request = pb::WatchServiceRequest {
        service_id: id,
        ..Default::default()
    };
    let mut stream = cluster.watch_service(request).await?.into_inner();
    let mut shown = String::new();
    while let Some(progress) = stream.message().await? {
        blocked.clone_from(&progress.blocked_by);
        let line = match progress.blocked_by.as_str() {
            "" => format!(
                "{} of {} running",
                progress.tasks_running, progress.tasks_desired
            ),
            why => format!(
                "{} of {} running; {why}",
                progress.tasks_running, progress.tasks_desired
            ),
        };
        if line != shown {
            println!("  {line}");
            shown = line;
        }
        if progress.converged {
            return Ok(());
        }
    }
    anyhow::bail!("the manager stopped answering")
}

/// Removes the service and waits until its tasks are gone.
pub async fn remove(nodes: &Nodes) -> anyhow::Result<()> {
    let mut control = ControlClient::new(channel(nodes).await?);
    let filters = api::list_services_request::Filters {
        names: vec![NAME.to_owned()],
        ..Default::default()
    };
    let request = api::ListServicesRequest {
        filters: Some(filters),
    };
    for service in control.list_services(request).await?.into_inner().services {
        let request = api::RemoveServiceRequest {
            service_id: service.id,
        };
        control.remove_service(request).await?;
    }
    while !control
        .list_tasks(api::ListTasksRequest::default())
        .await?
        .into_inner()
        .tasks
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
