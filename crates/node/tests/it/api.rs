//! The control API: what it checks, and with which code it refuses.

use std::time::Duration;

use tonic::Code;
use types::NodeRole;
use wire::api;
use wire::swarm::v1 as pb;

use crate::support::{self, Cluster, annotations, container, create, refused, spec, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_service_is_refused_with_the_reason_and_nothing_is_made() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let changed = |change: fn(&mut api::ServiceSpec)| {
        let mut spec = spec("web", 1);
        change(&mut spec);
        spec
    };
    type Change = fn(&mut api::ServiceSpec);
    let cases: [(&str, Change); 6] = [
        ("name", |s| s.annotations = Some(annotations("no spaces"))),
        ("image", |s| container(s).image = "UPPER CASE".into()),
        ("replicated.replicas", |s| s.mode = spec("", u64::MAX).mode),
        ("constraint", |s| {
            let constraints = vec!["node.id ~ x".into()];
            let placement = api::Placement {
                constraints,
                ..Default::default()
            };
            s.task.as_mut().expect("a task").placement = Some(placement);
        }),
        ("secret", |s| {
            let file = api::FileTarget {
                name: "key".into(),
                uid: "0".into(),
                gid: "0".into(),
                mode: 0o400,
            };
            container(s).secrets.push(api::SecretReference {
                secret_id: types::SecretId::MIN.to_string(),
                secret_name: "key".into(),
                target: Some(api::secret_reference::Target::File(file)),
            });
        }),
        ("mode", |s| s.mode = None),
    ];
    for (field, change) in cases {
        let result = create(&mut control, changed(change)).await;
        refused(result, Code::InvalidArgument, field);
    }
    let request = api::CreateServiceRequest { spec: None };
    refused(
        control.create_service(request).await,
        Code::InvalidArgument,
        "spec",
    );
    let listed = control.list_services(api::ListServicesRequest::default());
    assert!(listed.await.unwrap().into_inner().services.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_unique_updates_are_in_sequence_and_some_things_never_change() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let first = create(&mut control, spec("web", 0)).await.unwrap();
    let taken = create(&mut control, spec("WEB", 0)).await;
    refused(
        taken,
        Code::AlreadyExists,
        "name conflicts with an existing object",
    );
    let no_way_back = rollback(&mut control, &first).await;
    refused(
        no_way_back,
        Code::FailedPrecondition,
        "does not have a previous spec",
    );
    let second = update(&mut control, &first, spec("web", 1)).await.unwrap();
    let stale = update(&mut control, &first, spec("web", 2)).await;
    refused(stale, Code::FailedPrecondition, "update out of sequence");
    let renamed = update(&mut control, &second, spec("api", 1)).await;
    refused(renamed, Code::Unimplemented, "renamed");
    let mut global = spec("web", 1);
    global.mode = Some(api::service_spec::Mode::Global(api::GlobalService {}));
    let other_mode = update(&mut control, &second, global).await;
    refused(other_mode, Code::Unimplemented, "mode");
    let mut unknown = second.clone();
    unknown.id = types::ServiceId::MIN.to_string();
    let unknown = update(&mut control, &unknown, spec("web", 1)).await;
    refused(unknown, Code::NotFound, "not found");
    let second = support::service(&mut control, &second.id).await;
    let third = rollback(&mut control, &second).await.unwrap();
    assert_eq!(third.spec.and_then(|s| s.mode), spec("web", 0).mode);
    assert_eq!(third.spec_version, first.spec_version);
}

async fn rollback(
    control: &mut api::control_client::ControlClient<tonic::transport::Channel>,
    service: &api::Service,
) -> Result<api::Service, tonic::Status> {
    use api::update_service_request::Rollback;
    let request = api::UpdateServiceRequest {
        service_id: service.id.clone(),
        service_version: service.meta.as_ref().and_then(|m| m.version),
        spec: service.spec.clone(),
        rollback: Rollback::Previous.into(),
    };
    let reply = control.update_service(request).await?;
    Ok(reply.into_inner().service.expect("the service"))
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_never_come_back_and_stay_while_they_are_used() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let secret_spec = api::SecretSpec {
        annotations: Some(annotations("key")),
        data: b"canary-7f3a".to_vec().into(),
        ..Default::default()
    };
    let request = api::CreateSecretRequest {
        spec: Some(secret_spec.clone()),
    };
    let made = control.create_secret(request).await.unwrap().into_inner();
    let secret = made.secret.expect("the secret");
    let mut using = spec("web", 0);
    let file = api::FileTarget {
        name: "key".into(),
        uid: "0".into(),
        gid: "0".into(),
        mode: 0o400,
    };
    container(&mut using).secrets.push(api::SecretReference {
        secret_id: secret.id.clone(),
        secret_name: "key".into(),
        target: Some(api::secret_reference::Target::File(file)),
    });
    let service = create(&mut control, using).await.unwrap();
    let get = api::GetSecretRequest {
        secret_id: secret.id.clone(),
    };
    let shown = format!(
        "{secret:?} {:?} {:?}",
        control.get_secret(get).await.unwrap(),
        control
            .list_secrets(api::ListSecretsRequest::default())
            .await
            .unwrap(),
    );
    assert!(!shown.contains("canary"), "{shown}");
    let mut other_data = secret_spec.clone();
    other_data.data = b"other".to_vec().into();
    let changed = api::UpdateSecretRequest {
        secret_id: secret.id.clone(),
        secret_version: secret.meta.and_then(|m| m.version),
        spec: Some(other_data),
    };
    let changed = control.update_secret(changed).await;
    refused(
        changed,
        Code::InvalidArgument,
        "only updates to Labels are allowed",
    );
    let remove = api::RemoveSecretRequest {
        secret_id: secret.id,
    };
    let in_use = control.remove_secret(remove.clone()).await;
    refused(
        in_use,
        Code::InvalidArgument,
        "secret 'key' is in use by the following service: web",
    );
    let request = api::RemoveServiceRequest {
        service_id: service.id,
    };
    control.remove_service(request).await.unwrap();
    control.remove_secret(remove).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_object_shows_tokens_and_never_keys_and_keeps_its_rules() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let list = control.list_clusters(api::ListClustersRequest::default());
    let found = list.await.unwrap().into_inner().clusters.remove(0);
    let root = found.root_ca.clone().expect("the root");
    assert!(root.ca_key.is_empty());
    assert_eq!(root.join_tokens.unwrap().worker, cluster.worker_token);
    type Change = fn(&mut api::ClusterSpec);
    let cases: [(Code, &str, Change); 4] = [
        (Code::InvalidArgument, "one hour", |s| {
            let expiry = s.ca_config.get_or_insert_default();
            expiry.node_cert_expiry = Some(wire::convert::duration(Duration::from_secs(60)));
        }),
        (Code::InvalidArgument, "name", |s| {
            s.annotations = Some(annotations("other"))
        }),
        (Code::Unimplemented, "auto_lock", |s| {
            s.encryption_config
                .get_or_insert_default()
                .auto_lock_managers = true;
        }),
        (Code::Unimplemented, "rotation of the root", |s| {
            s.ca_config.get_or_insert_default().force_rotate += 1;
        }),
    ];
    for (code, text, change) in cases {
        let mut spec = found.spec.clone().unwrap();
        change(&mut spec);
        let request = api::UpdateClusterRequest {
            cluster_id: found.id.clone(),
            cluster_version: found.meta.as_ref().and_then(|m| m.version),
            spec: Some(spec),
            rotation: None,
        };
        refused(control.update_cluster(request).await, code, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_fit_the_log_costs_nobody_the_leader() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let term = async || {
        let mut cluster = cluster.first.cluster().await;
        let status = cluster.status(pb::StatusRequest {}).await;
        status.unwrap().into_inner().term
    };
    let before = term().await;
    let mut huge = spec("web", 1);
    container(&mut huge).env = vec![format!("A={}", "x".repeat(3 << 20))];
    refused(
        create(&mut control, huge).await,
        Code::InvalidArgument,
        "in the log",
    );
    create(&mut control, spec("web", 1)).await.unwrap();
    assert_eq!(term().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_is_removed_only_by_force_and_the_last_manager_stays() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (worker, ready) = cluster.join("w1", NodeRole::Worker).await;
    let id = ready.node_id.to_string();
    let request = api::RemoveNodeRequest {
        node_id: id.clone(),
        force: false,
    };
    let running = control.remove_node(request).await;
    refused(
        running,
        Code::FailedPrecondition,
        "is not down and can't be removed",
    );
    let own = cluster.ready.node_id.to_string();
    let last = support::set_role(&mut control, &own, NodeRole::Worker).await;
    refused(last, Code::FailedPrecondition, "last manager");
    let member = support::remove_node(&mut control, &own).await;
    refused(member, Code::FailedPrecondition, "must be demoted");
    let web = create(&mut control, spec("web", 4)).await.unwrap();
    support::running(&mut control, &web.id, 4).await;
    support::remove_node(&mut control, &id).await.unwrap();
    let tasks = support::running(&mut control, &web.id, 4).await;
    assert!(tasks.iter().all(|t| t.node_id == own));
    drop(worker);
}
