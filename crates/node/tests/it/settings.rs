//! Settings of the cluster: each one has its effect, or is refused by name.

use tonic::transport::Channel;
use tonic::{Code, Status};
use wire::api;
use wire::api::control_client::ControlClient;

use crate::support::{Cluster, annotations, create, eventually, refused, running, spec};

type Control = ControlClient<Channel>;

async fn change(
    control: &mut Control,
    change: impl Fn(&mut api::ClusterSpec),
) -> Result<api::Cluster, Status> {
    let list = control.list_clusters(api::ListClustersRequest::default());
    let found = list.await?.into_inner().clusters.remove(0);
    let mut spec = found.spec.unwrap_or_default();
    change(&mut spec);
    let request = api::UpdateClusterRequest {
        cluster_id: found.id,
        cluster_version: found.meta.and_then(|m| m.version),
        spec: Some(spec),
        rotation: None,
    };
    let updated = control.update_cluster(request).await?.into_inner();
    Ok(updated.cluster.expect("the cluster"))
}

fn raft(spec: &mut api::ClusterSpec) -> &mut api::RaftConfig {
    spec.raft.as_mut().expect("settings of the log")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timing_of_the_log_is_refused_by_name_and_may_be_left_out() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let changed = change(&mut control, |spec| raft(spec).election_tick += 1).await;
    refused(changed, Code::Unimplemented, "spec.raft.election_tick");
    let changed = change(&mut control, |spec| raft(spec).heartbeat_tick += 1).await;
    refused(changed, Code::Unimplemented, "spec.raft.heartbeat_tick");
    let kept = change(&mut control, |spec| {
        raft(spec).election_tick = 0;
        raft(spec).heartbeat_tick = 0;
    });
    let spec = kept.await.unwrap().spec.unwrap();
    let ticks = spec.raft.unwrap();
    assert_eq!((ticks.heartbeat_tick, ticks.election_tick), (1, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_name_no_log_driver_get_that_of_the_cluster() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let driver = api::Driver {
        name: "json-file".to_owned(),
        options: [("max-size".to_owned(), "1m".to_owned())].into(),
    };
    let set = change(&mut control, |spec| {
        spec.task_defaults.get_or_insert_default().log_driver = Some(driver.clone());
    });
    set.await.unwrap();
    let web = create(&mut control, spec("web", 1)).await.unwrap();
    let tasks = running(&mut control, &web.id, 1).await;
    assert_eq!(tasks[0].log_driver.as_ref(), Some(&driver));

    let mut own = spec("own", 1);
    own.task.as_mut().unwrap().log_driver = Some(api::Driver {
        name: "none".to_owned(),
        ..Default::default()
    });
    let own = create(&mut control, own).await.unwrap();
    let tasks = running(&mut control, &own.id, 1).await;
    assert_eq!(tasks[0].log_driver, None, "its spec says it");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_made_as_often_and_kept_as_long_as_the_settings_say() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let set = change(&mut control, |spec| {
        raft(spec).snapshot_interval = 10;
        raft(spec).keep_old_snapshots = 3;
    });
    set.await.unwrap();
    let dir = cluster.first.state_dir().join("raft").join("snapshots");
    let files = || {
        let entries = std::fs::read_dir(&dir).into_iter().flatten();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut whole: Vec<_> = names.filter(|n| !n.starts_with("tmp")).collect();
        whole.sort();
        whole
    };
    let mut number = 0;
    eventually("there are four snapshots", async || {
        number += 1;
        let spec = api::ConfigSpec {
            annotations: Some(annotations(&format!("c{number}"))),
            data: vec![0; 8].into(),
            ..Default::default()
        };
        let request = api::CreateConfigRequest { spec: Some(spec) };
        control.create_config(request).await.unwrap();
        (files().len() >= 4).then_some(())
    })
    .await;
    // Ten entries each, and some while the file is written; the default would need forty thousand.
    assert!(number < 4_000, "{number} writes");
}
