//! What a node may do follows what the cluster says of it now, not its certificate; and a node is
//! asked for a new certificate when the two differ, or when somebody wants it.

use tonic::{Code, Status, Streaming};
use types::NodeRole;
use wire::api::control_client::ControlClient;
use wire::api::dispatcher_client::DispatcherClient;
use wire::api::logs_client::LogsClient;
use wire::api::watch_client::WatchClient;
use wire::swarm::v1::cluster_client::ClusterClient;
use wire::{api, swarm::v1 as pb};

use crate::support::{
    Cluster, create, eventually, node, refused, remove_node, running, set_role, soon, spec,
};

/// The end of a stream, whatever comes before it.
async fn end_of<T: Send + 'static>(mut stream: Streaming<T>) -> Status {
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("an orderly end"),
                Err(status) => return status,
            }
        }
    };
    soon("the end of the stream", end).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_certificate_of_a_demoted_manager_opens_nothing_and_what_it_had_open_ends() {
    const GONE: &str = "is not a manager any more";
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let web = create(&mut control, spec("web", 1)).await.unwrap();
    let (second, ready) = cluster.join("m2", NodeRole::Manager).await;
    cluster.voters(&cluster.first, 2).await;
    let channel = cluster.dial(second.credentials()).await;
    let id = ready.node_id.to_string();

    let mut watching = WatchClient::new(channel.clone());
    let watch = watching.watch(api::WatchRequest::default()).await;
    let watch = watch.unwrap().into_inner();
    let selector = api::LogSelector {
        service_ids: vec![web.id.clone()],
        ..Default::default()
    };
    let options = api::LogSubscriptionOptions {
        follow: true,
        ..Default::default()
    };
    let request = api::SubscribeLogsRequest {
        selector: Some(selector),
        options: Some(options),
    };
    let mut logs = LogsClient::new(channel.clone());
    let lines = logs.subscribe_logs(request).await.unwrap().into_inner();
    let request = pb::WatchServiceRequest {
        service_id: web.id,
        ..Default::default()
    };
    let mut progress = ClusterClient::new(channel.clone());
    let progress = progress.watch_service(request).await.unwrap().into_inner();

    set_role(&mut control, &id, NodeRole::Worker).await.unwrap();
    let ended = tokio::join!(end_of(watch), end_of(lines), end_of(progress));
    for status in [ended.0, ended.1, ended.2] {
        refused::<()>(Err(status), Code::PermissionDenied, GONE);
    }
    let mut stolen = ControlClient::new(channel.clone());
    let listed = stolen.list_nodes(api::ListNodesRequest::default()).await;
    refused(listed, Code::PermissionDenied, GONE);
    let watch = watching.watch(api::WatchRequest::default()).await;
    refused(watch, Code::PermissionDenied, GONE);
    // It is a worker, and may be one with any certificate.
    let mut dispatcher = DispatcherClient::new(channel);
    let session = dispatcher.session(api::SessionRequest::default()).await;
    session.expect("a worker has sessions");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_node_had_open_ends() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut worker, ready) = cluster.join("w1", NodeRole::Worker).await;
    let id = ready.node_id.to_string();
    worker.stop().await;
    let mut dispatcher = DispatcherClient::new(cluster.dial(worker.credentials()).await);
    let session = dispatcher.session(api::SessionRequest::default());
    let session = session.await.unwrap().into_inner();
    remove_node(&mut control, &id).await.unwrap();
    let end = end_of(session).await;
    let said = end.message();
    assert!(
        said.contains("removed") || said.contains("not part of the cluster"),
        "{end}"
    );
}

/// The certificate that the cluster has stored of a node, and what state that is in.
async fn certificate(
    control: &mut ControlClient<tonic::transport::Channel>,
    id: &str,
) -> (Vec<u8>, api::issuance_status::State) {
    let found = node(control, id).await.certificate.expect("a certificate");
    let state = found.status.as_ref().expect("a state").state();
    (found.certificate, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_asked_to_has_a_new_certificate_soon_and_its_tasks_do_not_notice() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (worker, ready) = cluster.join("w1", NodeRole::Worker).await;
    let web = create(&mut control, spec("web", 4)).await.unwrap();
    let before = running(&mut control, &web.id, 4).await;
    let own = cluster.ready.node_id.to_string();
    for id in [ready.node_id.to_string(), own] {
        let old = certificate(&mut control, &id).await;
        let request = pb::RotateCertificateRequest {
            node_id: id.clone(),
        };
        let mut client = cluster.first.cluster().await;
        client.rotate_certificate(request).await.unwrap();
        eventually("it has a new certificate", async || {
            let new = certificate(&mut control, &id).await;
            let issued = new.1 == api::issuance_status::State::Issued;
            (issued && new.0 != old.0).then_some(())
        })
        .await;
    }
    let stored = certificate(&mut control, &ready.node_id.to_string()).await;
    eventually("it uses the new certificate", async || {
        let chain = worker
            .state_dir()
            .join("certificates")
            .join(pki::files::CHAIN_FILE);
        (std::fs::read(chain).ok()? == stored.0).then_some(())
    })
    .await;
    let after = running(&mut control, &web.id, 4).await;
    let ids = |tasks: &[api::Task]| tasks.iter().map(|t| t.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after));

    let id = types::NodeId::MIN.to_string();
    let request = pb::RotateCertificateRequest { node_id: id };
    let mut client = cluster.first.cluster().await;
    let unknown = client.rotate_certificate(request).await;
    refused(unknown, Code::NotFound, "not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_tasks_leaves_out_what_was_not_asked_for() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let web = create(&mut control, spec("web", 3)).await.unwrap();
    running(&mut control, &web.id, 3).await;
    for summary in [false, true] {
        let request = pb::StreamTasksRequest {
            summary,
            page_size: 2,
            ..Default::default()
        };
        let mut client = cluster.first.cluster().await;
        let mut pages = client.stream_tasks(request).await.unwrap().into_inner();
        let mut tasks = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            tasks.extend(page.tasks);
        }
        assert_eq!(tasks.len(), 3);
        for task in tasks {
            assert_eq!(task.spec.is_none(), summary);
            assert_eq!(task.service_id, web.id);
            assert!(task.status.is_some());
        }
    }
}
