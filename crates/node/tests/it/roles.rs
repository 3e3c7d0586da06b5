//! Managers come and go: promoted, demoted, cut off from their disks, in every position.

use tonic::Code;
use types::NodeRole;
use wire::api;
use wire::swarm::v1 as pb;

use crate::support::{
    Cluster, create, eventually, node, refused, running, service, set_role, spec,
};

#[tokio::test(flavor = "multi_thread")]
async fn workers_become_managers_and_the_leader_becomes_a_worker_and_nothing_is_lost() {
    let mut cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let web = create(&mut control, spec("web", 6)).await.unwrap();
    let (mut second, two) = cluster.join("w2", NodeRole::Worker).await;
    let (mut third, three) = cluster.join("w3", NodeRole::Worker).await;
    let refusal = second
        .control()
        .await
        .list_nodes(api::ListNodesRequest::default())
        .await;
    refused(
        refusal,
        Code::FailedPrecondition,
        "this node is not a manager",
    );
    for ready in [&two, &three] {
        let id = ready.node_id.to_string();
        set_role(&mut control, &id, NodeRole::Manager)
            .await
            .unwrap();
    }
    cluster.voters(&cluster.first, 3).await;
    let first_id = cluster.ready.node_id.to_string();
    let before = running(&mut control, &web.id, 6).await;
    set_role(&mut control, &first_id, NodeRole::Worker)
        .await
        .unwrap();
    cluster.voters(&second, 2).await;
    let mut control = second.control().await;
    eventually("the former leader is a worker", async || {
        let role = node(&mut control, &first_id).await.role();
        (role == api::NodeRole::Worker).then_some(())
    })
    .await;
    eventually("it says that it is none", async || {
        let mut client = match transport::connect_local(&cluster.first.socket()).await {
            Ok(channel) => api::control_client::ControlClient::new(channel),
            Err(_) => return None,
        };
        let refusal = client.list_nodes(api::ListNodesRequest::default()).await;
        let refusal = refusal.err()?;
        refusal
            .message()
            .contains("this node is not a manager")
            .then_some(())
    })
    .await;
    eventually("no log is left on the worker", async || {
        let entries = std::fs::read_dir(cluster.first.state_dir()).unwrap();
        let mut names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let raft = cluster.first.state_dir().join("raft");
        let empty = !raft.join("member").exists() && !raft.join("log").exists();
        (empty && !names.any(|n| n.starts_with("raft."))).then_some(())
    })
    .await;
    let after = running(&mut control, &web.id, 6).await;
    let ids = |tasks: &[api::Task]| tasks.iter().map(|t| t.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after), "no task moved");
    set_role(&mut control, &first_id, NodeRole::Manager)
        .await
        .unwrap();
    cluster.voters(&second, 3).await;
    for machine in [&mut cluster.first, &mut second, &mut third] {
        machine.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_leaders_keeps_everything() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (second, two) = cluster.join("m2", NodeRole::Manager).await;
    let (_third, _) = cluster.join("m3", NodeRole::Manager).await;
    cluster.voters(&cluster.first, 3).await;
    let web = create(&mut control, spec("web", 6)).await.unwrap();
    let before = running(&mut control, &web.id, 6).await;
    let to = two.node_id.to_string();
    let mut client = cluster.first.cluster().await;
    let request = pb::TransferLeadershipRequest {
        node_id: to.clone(),
    };
    let moved = client
        .transfer_leadership(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(moved.leader_node_id, to);
    // Through the former leader, which passes the calls on, and through the new one.
    for machine in [&cluster.first, &second] {
        let mut control = machine.control().await;
        assert_eq!(service(&mut control, &web.id).await.spec, web.spec);
        let after = running(&mut control, &web.id, 6).await;
        assert_eq!(before.len(), after.len());
        for (old, new) in before.iter().zip(&after) {
            assert_eq!((&old.id, &old.node_id), (&new.id, &new.node_id));
        }
        let list = control.list_clusters(api::ListClustersRequest::default());
        let found = list.await.unwrap().into_inner().clusters.remove(0);
        let tokens = found.root_ca.unwrap().join_tokens.unwrap();
        assert_eq!(tokens.worker, cluster.worker_token);
    }
    let unknown = pb::TransferLeadershipRequest {
        node_id: types::NodeId::MIN.to_string(),
    };
    let unknown = client.transfer_leadership(unknown).await;
    refused(unknown, Code::NotFound, "not a voting manager");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_was_demoted_and_lost_its_log_comes_back_as_a_worker() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (_second, _) = cluster.join("m2", NodeRole::Manager).await;
    let (mut third, three) = cluster.join("m3", NodeRole::Manager).await;
    let id = three.node_id.to_string();
    cluster.voters(&cluster.first, 3).await;
    // It hears nothing of its demotion, and starts with a manager's certificate and without a log,
    // as one does that dies between its removal from the log and its new certificate.
    third.stop().await;
    set_role(&mut control, &id, NodeRole::Worker).await.unwrap();
    cluster.voters(&cluster.first, 2).await;
    std::fs::remove_dir_all(third.state_dir().join("raft")).unwrap();
    third.resume().await;
    eventually("it is a worker", async || {
        let mut client = match transport::connect_local(&third.socket()).await {
            Ok(channel) => api::control_client::ControlClient::new(channel),
            Err(_) => return None,
        };
        let refusal = client.list_nodes(api::ListNodesRequest::default()).await;
        let text = refusal.err()?.message().to_owned();
        let role = node(&mut control, &id).await.role();
        let is_worker = role == api::NodeRole::Worker && text.contains("not a manager");
        is_worker.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_lost_its_log_comes_back_as_a_new_member() {
    let cluster = Cluster::found().await;
    let (_second, _) = cluster.join("m2", NodeRole::Manager).await;
    let (mut third, three) = cluster.join("m3", NodeRole::Manager).await;
    let id = three.node_id.to_string();
    let member = |members: &[pb::Member]| {
        let found = members.iter().find(|m| m.node_id == id);
        found.map(|m| m.raft_id)
    };
    let before = member(&cluster.voters(&cluster.first, 3).await);
    third.stop().await;
    std::fs::remove_dir_all(third.state_dir().join("raft")).unwrap();
    third.resume().await;
    let after = eventually("it votes again", async || {
        let now = member(&cluster.voters(&cluster.first, 3).await);
        (now.is_some() && now != before).then_some(now)
    })
    .await;
    assert_ne!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_failure_than_the_managers_bear_is_prevented() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut second, _) = cluster.join("m2", NodeRole::Manager).await;
    let (mut third, three) = cluster.join("m3", NodeRole::Manager).await;
    cluster.voters(&cluster.first, 3).await;
    second.stop().await;
    let mut client = cluster.first.cluster().await;
    eventually("the leader misses it", async || {
        let status = client.status(pb::StatusRequest {}).await.ok()?.into_inner();
        let gone = |m: &&pb::Member| m.reachability() == pb::member::Reachability::Unreachable;
        (status.members.iter().filter(gone).count() == 1).then_some(())
    })
    .await;
    let id = three.node_id.to_string();
    let demoted = set_role(&mut control, &id, NodeRole::Worker).await;
    refused(demoted, Code::FailedPrecondition, "loss of quorum");
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_switched_off_comes_back_with_everything() {
    let mut cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut second, _) = cluster.join("m2", NodeRole::Manager).await;
    let (mut third, _) = cluster.join("m3", NodeRole::Manager).await;
    let (mut worker, _) = cluster.join("w1", NodeRole::Worker).await;
    cluster.voters(&cluster.first, 3).await;
    let web = create(&mut control, spec("web", 8)).await.unwrap();
    let before = running(&mut control, &web.id, 8).await;
    for machine in [&mut worker, &mut third, &mut second, &mut cluster.first] {
        machine.stop().await;
    }
    tokio::join!(
        worker.resume(),
        cluster.first.resume(),
        second.resume(),
        third.resume()
    );
    let mut control = cluster.control().await;
    let after = running(&mut control, &web.id, 8).await;
    let ids = |tasks: &[api::Task]| tasks.iter().map(|t| t.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after));
}
