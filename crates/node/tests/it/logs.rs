//! The log broker: lines of the right tasks, warnings for the rest, nothing from strangers.

use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use types::NodeRole;
use wire::api;
use wire::api::log_broker_client::LogBrokerClient;
use wire::api::logs_client::LogsClient;

use crate::support::{
    Cluster, create, eventually, refused, remove_node, running, service, soon, spec, update,
};

fn chatty(name: &str, replicas: u64) -> api::ServiceSpec {
    let mut spec = spec(name, replicas);
    let labels = &mut spec
        .annotations
        .as_mut()
        .expect("the spec has a name")
        .labels;
    labels.insert("sim.log".into(), "hello".into());
    spec
}

async fn subscribe(
    cluster: &Cluster,
    service: &str,
    follow: bool,
) -> Result<Streaming<api::SubscribeLogsMessage>, Status> {
    let mut logs: LogsClient<Channel> = LogsClient::new(cluster.first.channel().await);
    let request = api::SubscribeLogsRequest {
        selector: Some(api::LogSelector {
            service_ids: vec![service.to_owned()],
            ..Default::default()
        }),
        options: Some(api::LogSubscriptionOptions {
            follow,
            ..Default::default()
        }),
    };
    Ok(logs.subscribe_logs(request).await?.into_inner())
}

/// The tasks that lines came from until the stream ended, and how it did.
async fn read(mut stream: Streaming<api::SubscribeLogsMessage>) -> (Vec<String>, Option<Status>) {
    let mut tasks = Vec::new();
    loop {
        match soon("a line or the end", stream.message()).await {
            Ok(Some(message)) => {
                let of = message.messages.into_iter().filter_map(|m| m.context);
                tasks.extend(of.map(|context| context.task_id));
            }
            Ok(None) => return (sorted(tasks), None),
            Err(status) => return (sorted(tasks), Some(status)),
        }
    }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids.dedup();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_of_a_service_is_read_once_and_a_node_that_is_gone_costs_its_own_lines() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut worker, ready) = cluster.join("w1", NodeRole::Worker).await;
    let web = create(&mut control, chatty("web", 4)).await.unwrap();
    let tasks = running(&mut control, &web.id, 4).await;
    let stream = subscribe(&cluster, &web.id, false).await.unwrap();
    let (seen, end) = read(stream).await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(seen, sorted(tasks.iter().map(|t| t.id.clone()).collect()));
    worker.stop().await;
    let gone = ready.node_id.to_string();
    let here = tasks.iter().filter(|t| t.node_id != gone);
    let here = sorted(here.map(|t| t.id.clone()).collect());
    eventually("the broker misses the node", async || {
        let stream = subscribe(&cluster, &web.id, false).await.unwrap();
        let (seen, end) = read(stream).await;
        let end = end.filter(|e| e.message().contains("node w1 is not available"))?;
        assert!(end.message().starts_with("warning: incomplete log stream"));
        assert_eq!(seen, here);
        Some(())
    })
    .await;
    let unknown = subscribe(&cluster, &types::ServiceId::MIN.to_string(), false).await;
    refused(unknown, Code::NotFound, "not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn following_shows_tasks_that_come_later_and_ends_with_leadership() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut second, _) = cluster.join("m2", NodeRole::Manager).await;
    cluster.voters(&cluster.first, 2).await;
    let web = create(&mut control, chatty("web", 1)).await.unwrap();
    running(&mut control, &web.id, 1).await;
    let mut stream = subscribe(&cluster, &web.id, true).await.unwrap();
    let mut seen = Vec::new();
    let mut lines = async |count: usize| {
        while seen.len() < count {
            let message = soon("a line", stream.message()).await.unwrap().unwrap();
            let of = message.messages.into_iter().filter_map(|m| m.context);
            seen.extend(of.map(|context| context.task_id));
            seen = sorted(std::mem::take(&mut seen));
        }
    };
    lines(1).await;
    let found = service(&mut control, &web.id).await;
    update(&mut control, &found, chatty("web", 3))
        .await
        .unwrap();
    lines(3).await;
    let mut client = cluster.first.cluster().await;
    let request = wire::swarm::v1::TransferLeadershipRequest::default();
    client.transfer_leadership(request).await.unwrap();
    let (_, end) = read(stream).await;
    let end = end.expect("a reason");
    // Whoever follows asks the next leader for the rest.
    assert_eq!(end.code(), Code::Aborted, "{end}");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_publishes_its_own_lines_only_and_is_cut_off_when_it_is_removed() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut worker, ready) = cluster.join("w1", NodeRole::Worker).await;
    worker.stop().await;
    let web = create(&mut control, chatty("web", 1)).await.unwrap();
    let [task] = &running(&mut control, &web.id, 1).await[..] else {
        panic!("one task");
    };
    let mut broker = LogBrokerClient::new(cluster.dial(worker.credentials()).await);
    let listening = broker.listen_subscriptions(api::ListenSubscriptionsRequest {});
    let mut listening = listening.await.unwrap().into_inner();
    let reader = {
        let mut logs = LogsClient::new(cluster.first.channel().await);
        let request = api::SubscribeLogsRequest {
            selector: Some(api::LogSelector {
                node_ids: vec![ready.node_id.to_string()],
                ..Default::default()
            }),
            options: Some(api::LogSubscriptionOptions {
                follow: true,
                ..Default::default()
            }),
        };
        logs.subscribe_logs(request).await.unwrap().into_inner()
    };
    let subscription = soon("a subscription", listening.message()).await;
    let subscription_id = subscription.unwrap().unwrap().id;
    let line = |node_id: &str, task_id: &str| api::PublishLogsMessage {
        subscription_id: subscription_id.clone(),
        messages: vec![api::LogMessage {
            context: Some(api::LogContext {
                node_id: node_id.to_owned(),
                task_id: task_id.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }],
        close: false,
    };
    let own = ready.node_id.to_string();
    let other = cluster.ready.node_id.to_string();
    for foreign in [line(&other, ""), line(&own, &task.id)] {
        let published = broker.publish_logs(tokio_stream::once(foreign)).await;
        refused(published, Code::PermissionDenied, "only its own logs");
    }
    let mut guessed = line(&own, "");
    guessed.subscription_id = "sub0000000000000001".into();
    let published = broker.publish_logs(tokio_stream::once(guessed)).await;
    refused(published, Code::NotFound, "no log subscription");
    let (lines, stream) = tokio::sync::mpsc::channel(1);
    lines.send(line(&own, "")).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let open = tokio::spawn(async move { broker.publish_logs(stream).await });
    remove_node(&mut control, &own).await.unwrap();
    let cut = soon("the end of the lines", open).await.unwrap();
    // The gate and the broker both end it, and both say why.
    let cut = cut.expect_err("the lines of a removed node must be refused");
    assert!(
        [Code::Aborted, Code::PermissionDenied].contains(&cut.code()),
        "{cut}"
    );
    assert!(cut.message().contains("removed"), "{cut}");
    match soon("the end of the subscriptions", listening.message()).await {
        Ok(None) => {}
        other => drop(refused(other, Code::PermissionDenied, "removed")),
    }
    drop(reader);
}
