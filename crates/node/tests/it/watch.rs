//! The watch API: order, resuming, and what it never shows.

use tonic::transport::Channel;
use tonic::{Code, Streaming};
use wire::api;
use wire::api::watch_client::WatchClient;

use crate::support::{Cluster, Machine, create, refused, soon, spec, update};

fn services() -> api::WatchRequest {
    api::WatchRequest {
        entries: vec![api::watch_request::WatchEntry {
            kind: "service".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn watch(machine: &Machine, request: api::WatchRequest) -> Streaming<api::WatchMessage> {
    let mut client: WatchClient<Channel> = WatchClient::new(machine.channel().await);
    let mut stream = client.watch(request).await.expect("a watch").into_inner();
    let first = next(&mut stream).await;
    assert_eq!(
        first,
        api::WatchMessage::default(),
        "the first message is empty"
    );
    stream
}

async fn next(stream: &mut Streaming<api::WatchMessage>) -> api::WatchMessage {
    let message = soon("a message", stream.message()).await;
    message.expect("no error").expect("not the end")
}

/// The name of the one service in a message, what happened to it, and the version.
fn told(message: &api::WatchMessage) -> (String, i32, u64) {
    let [event] = &message.events[..] else {
        panic!("one event: {message:?}");
    };
    let object = event.object.as_ref().and_then(|o| o.object.as_ref());
    let Some(api::object::Object::Service(service)) = object else {
        panic!("a service: {message:?}");
    };
    let name = service.spec.as_ref().and_then(|s| s.annotations.clone());
    let version = message.version.expect("a version").index;
    (name.expect("a name").name, event.action, version)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_in_order_and_again_from_a_version() {
    use api::WatchActionKind as Action;
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let mut stream = watch(&cluster.first, services()).await;
    let first = create(&mut control, spec("a", 0)).await.unwrap();
    create(&mut control, spec("b", 0)).await.unwrap();
    let mut changed = spec("a", 0);
    changed
        .annotations
        .as_mut()
        .unwrap()
        .labels
        .insert("k".into(), "v".into());
    update(&mut control, &first, changed).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(told(&next(&mut stream).await));
    }
    let order: Vec<_> = seen.iter().map(|(n, a, _)| (n.as_str(), *a)).collect();
    let (create, update) = (
        Action::WatchActionCreate as i32,
        Action::WatchActionUpdate as i32,
    );
    assert_eq!(order, [("a", create), ("b", create), ("a", update)]);
    let mut request = services();
    request.resume_from = Some(api::Version { index: seen[0].2 });
    let mut again = watch(&cluster.first, request).await;
    assert_eq!(told(&next(&mut again).await), seen[1]);
    assert_eq!(told(&next(&mut again).await), seen[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_kept_any_more_is_out_of_range() {
    let mut cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    create(&mut control, spec("a", 0)).await.unwrap();
    cluster.first.stop().await;
    cluster.first.resume().await;
    let mut client = WatchClient::new(cluster.first.channel().await);
    let kept = async |index| {
        let mut request = services();
        request.resume_from = Some(api::Version { index });
        client.clone().watch(request).await
    };
    // What was written before the restart is read back as a state, or as changes.
    match kept(0).await {
        Err(status) => assert_eq!(status.code(), Code::OutOfRange),
        Ok(stream) => drop(stream),
    }
    let mut unknown = services();
    unknown.entries[0].kind = "daemon".into();
    refused(
        client.watch(unknown).await,
        Code::InvalidArgument,
        "unknown kind",
    );
}
