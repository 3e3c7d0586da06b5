//! Certificates and tokens: who gets in, who stays in, who is kept out.

use tonic::Code;
use types::NodeRole;
use wire::api;
use wire::api::dispatcher_client::DispatcherClient;
use wire::api::node_ca_client::NodeCaClient;
use wire::api::raft_membership_client::RaftMembershipClient;

use crate::support::{Cluster, Machine, join, refused, remove_node, set_role};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_and_addresses_are_refused_in_one_sentence() {
    let cluster = Cluster::found().await;
    let other = Cluster::found().await;
    let mut machine = Machine::new("w1");
    let (token, first) = (&cluster.worker_token, &cluster.first);
    let cut = &token[..token.len() - 3];
    let error = machine.fails(join(cut, first)).await;
    assert!(error.starts_with("cannot join: "), "{error}");
    let error = machine.fails(join(&other.worker_token, first)).await;
    assert!(
        error.contains("another cluster") || error.contains("root"),
        "{error}"
    );
    let mut wrong = token.clone().into_bytes();
    let last = wrong.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let wrong = String::from_utf8(wrong).unwrap();
    let error = machine.fails(join(&wrong, first)).await;
    assert!(error.contains("valid join token"), "{error}");
    let nobody = Machine::new("nobody");
    let error = machine.fails(join(token, &nobody)).await;
    assert!(error.contains("refused"), "{error}");
    assert!(error.contains(&nobody.listen.to_string()), "{error}");
    machine.start(join(token, first)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_counts_from_then_on_and_the_other_one_stays() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let list = control.list_clusters(api::ListClustersRequest::default());
    let found = list.await.unwrap().into_inner().clusters.remove(0);
    let request = api::UpdateClusterRequest {
        cluster_id: found.id,
        cluster_version: found.meta.and_then(|m| m.version),
        spec: found.spec,
        rotation: Some(api::KeyRotation {
            worker_join_token: true,
            ..Default::default()
        }),
    };
    let updated = control.update_cluster(request).await.unwrap().into_inner();
    let root = updated.cluster.unwrap().root_ca.unwrap();
    let tokens = root.join_tokens.unwrap();
    assert_eq!(tokens.manager, cluster.manager_token);
    let mut machine = Machine::new("w1");
    let error = machine
        .fails(join(&cluster.worker_token, &cluster.first))
        .await;
    assert!(error.contains("valid join token"), "{error}");
    machine.start(join(&tokens.worker, &cluster.first)).await;
}

/// A request for a certificate like the ones that nodes make.
fn request(csr: &pki::Csr) -> tonic::Request<api::IssueNodeCertificateRequest> {
    let mut request = tonic::Request::new(api::IssueNodeCertificateRequest {
        csr: csr.pem().as_bytes().to_vec(),
        ..Default::default()
    });
    let label = types::node::OWN_AGENT_LABEL;
    request
        .metadata_mut()
        .insert(label, "1".parse().expect("text"));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_renews_by_itself_until_its_node_is_removed() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut worker, ready) = cluster.join("w1", NodeRole::Worker).await;
    worker.stop().await;
    let channel = cluster.dial(worker.credentials()).await;
    let mut ca = NodeCaClient::new(channel.clone());
    let (csr, _key) = pki::Csr::generate().unwrap();
    let id = ready.node_id.to_string();
    let issued = ca.issue_node_certificate(request(&csr)).await.unwrap();
    assert_eq!(issued.into_inner().node_id, id);
    let asked = api::NodeCertificateStatusRequest {
        node_id: id.clone(),
    };
    let status = ca
        .node_certificate_status(asked)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.certificate.unwrap().csr, csr.pem().as_bytes());
    remove_node(&mut control, &id).await.unwrap();
    let again = ca.issue_node_certificate(request(&csr)).await;
    refused(
        again,
        Code::PermissionDenied,
        "was removed from the cluster",
    );
    let mut dispatcher = DispatcherClient::new(channel);
    let session = dispatcher.session(api::SessionRequest::default()).await;
    refused(
        session,
        Code::PermissionDenied,
        "was removed from the cluster",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_manager_cannot_come_back_by_its_old_certificate() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut second, ready) = cluster.join("m2", NodeRole::Manager).await;
    cluster.voters(&cluster.first, 2).await;
    let stolen = second.credentials();
    let id = ready.node_id.to_string();
    set_role(&mut control, &id, NodeRole::Worker).await.unwrap();
    cluster.voters(&cluster.first, 1).await;
    let mut members = RaftMembershipClient::new(cluster.dial(stolen).await);
    let back = members.join(api::JoinRequest {
        addr: second.listen.to_string(),
    });
    let status = back.await.expect_err("it must not come back");
    // Before or after the role manager has seen that it left the log.
    assert_eq!(status.code(), Code::PermissionDenied);
    let said = status.message();
    let known = ["is a worker", "is not a manager any more"];
    assert!(known.iter().any(|k| said.contains(k)), "{said}");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_can_dial_does_not_join_the_log() {
    let cluster = Cluster::found().await;
    let own = cluster.first.credentials();
    let mut members = RaftMembershipClient::new(cluster.dial(own).await);
    let addr = String::from("nonsense");
    let joined = members.join(api::JoinRequest { addr }).await;
    refused(joined, Code::InvalidArgument, "no address");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_not_call_what_managers_call() {
    let cluster = Cluster::found().await;
    let (mut worker, _) = cluster.join("w1", NodeRole::Worker).await;
    worker.stop().await;
    let channel = cluster.dial(worker.credentials()).await;
    let mut control = api::control_client::ControlClient::new(channel);
    let listed = control.list_nodes(api::ListNodesRequest::default()).await;
    refused(listed, Code::PermissionDenied, "may not call");
}
