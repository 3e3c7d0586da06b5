//! What the API refuses, and how.

use std::fs;

use anyhow::Context;
use integration::{Cluster, Node, Role};
use tonic::Code;
use tonic::transport::Channel;
use wire::api::{self, control_client::ControlClient};

use crate::support::{SOON, sleepers};

fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}

async fn local(node: &Node) -> anyhow::Result<ControlClient<Channel>> {
    let channel = node.local_channel().await?;
    Ok(ControlClient::new(channel).max_encoding_message_size(64 << 20))
}

#[test]
fn a_name_is_taken_once() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 0)?;
    sleepers(&cluster, 0, "web", 1)?;
    let line = [
        "service", "create", "--detach", "--name", "web", "busybox", "sleep", "900",
    ];
    let said = cluster.ctl(0, &line)?.refused(1)?;
    assert!(said.contains("web") && said.contains("exist"), "{said}");
    assert_eq!(cluster.list_services(0)?.len(), 1);
    Ok(())
}

#[test]
fn a_stale_version_changes_nothing() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 0)?;
    sleepers(&cluster, 0, "web", 1)?;
    let (first, second) = block_on(async {
        let mut client = local(cluster.node(0)).await?;
        let listed = client
            .list_services(api::ListServicesRequest::default())
            .await?
            .into_inner();
        let service = listed
            .services
            .into_iter()
            .next()
            .context("find the service")?;
        let mut spec = service.spec.clone().context("find its spec")?;
        let annotations = spec.annotations.get_or_insert_default();
        annotations.labels.insert("colour".into(), "blue".into());
        let update = api::UpdateServiceRequest {
            service_id: service.id.clone(),
            service_version: service.meta.and_then(|meta| meta.version),
            spec: Some(spec),
            ..Default::default()
        };
        let first = client.update_service(update.clone()).await;
        anyhow::Ok((first, client.update_service(update).await))
    })??;
    first?;
    let refused = second.err().context("the second update must fail")?;
    assert!(
        refused.message().contains("update out of sequence"),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn requests_that_are_too_large_are_refused_and_the_manager_goes_on() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    let codes = block_on(async {
        let mut codes = Vec::new();
        for (name, bytes) in [("big", 1_001 << 10), ("huge", 20 << 20)] {
            let mut client = local(cluster.node(0)).await?;
            let annotations = api::Annotations {
                name: name.into(),
                ..Default::default()
            };
            let spec = api::ConfigSpec {
                annotations: Some(annotations),
                data: vec![7; bytes].into(),
                ..Default::default()
            };
            let request = api::CreateConfigRequest { spec: Some(spec) };
            let refused = client
                .create_config(request)
                .await
                .err()
                .context("must fail")?;
            eprintln!("{refused}");
            codes.push(refused.code());
        }
        anyhow::Ok(codes)
    })??;
    assert_eq!(codes[0], Code::InvalidArgument);
    assert!(
        [Code::OutOfRange, Code::ResourceExhausted].contains(&codes[1]),
        "{codes:?}"
    );
    assert_eq!(cluster.ctl_ok(0, &["config", "ls", "-q"])?, "");
    Ok(())
}

#[test]
fn a_workers_certificate_opens_nothing_that_is_for_managers() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 1)?;
    let addr = cluster.node(0).endpoint();
    let (worker, manager) = block_on(async {
        let channel = cluster.node(1).dialer()?.connect(&addr).await?;
        let request = api::ListNodesRequest::default();
        let worker = ControlClient::new(channel)
            .list_nodes(request.clone())
            .await;
        let channel = cluster.node(0).dialer()?.connect(&addr).await?;
        anyhow::Ok((
            worker,
            ControlClient::new(channel).list_nodes(request).await,
        ))
    })??;
    assert_eq!(
        worker.err().map(|status| status.code()),
        Some(Code::PermissionDenied)
    );
    assert_eq!(manager?.into_inner().nodes.len(), 2);
    Ok(())
}

#[test]
fn a_removed_workers_certificate_opens_nothing_at_all() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 1)?;
    let worker = cluster.row(0, 1)?.id;
    cluster.ctl_ok(0, &["node", "rm", "--force", &worker])?;
    let ended = cluster.ended(1, SOON)?;
    assert!(!ended.success(), "{ended}");
    let log = cluster.node(1).log_tail(5);
    assert!(log.contains("removed from the cluster"), "{log}");
    let said = cluster.start(1, &["run"]).and_then(|()| cluster.ready(1));
    assert!(said.is_err(), "a removed node served again: {said:?}");
    Ok(())
}

#[test]
fn specs_that_make_no_sense_are_refused_with_the_field() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    let cases: [(i32, &str, &[&str]); 8] = [
        (
            1,
            "constraint",
            &["--constraint", "node.hostname=", "busybox"],
        ),
        (1, "image", &["Not An Image"]),
        (2, "replicas", &["--replicas=-1", "busybox"]),
        (
            2,
            "replicas",
            &["--replicas=99999999999999999999", "busybox"],
        ),
        (2, "limit-memory", &["--limit-memory=12q", "busybox"]),
        (2, "restart-delay", &["--restart-delay=soon", "busybox"]),
        (
            1,
            "replicas",
            &["--replicas=18446744073709551615", "busybox"],
        ),
        (1, "name", &["--name=-bad-", "busybox"]),
    ];
    for (code, word, flags) in cases {
        let line: Vec<_> = ["service", "create", "--detach"]
            .iter()
            .chain(flags)
            .copied()
            .collect();
        let done = cluster.ctl(0, &line)?;
        assert!([1, 2].contains(&done.code), "{flags:?}: {done:?}");
        assert_eq!(done.code, code, "{flags:?}: {done:?}");
        assert!(
            done.err.to_lowercase().contains(word),
            "{flags:?}: {done:?}"
        );
    }
    assert_eq!(cluster.list_services(0)?, []);
    Ok(())
}

#[test]
fn zero_replicas_converge_at_once() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    let line = [
        "service",
        "create",
        "--quiet",
        "--timeout=10s",
        "--name=none",
        "--replicas=0",
        "busybox",
    ];
    cluster.ctl_ok(0, &line)?;
    assert_eq!(cluster.list_services(0)?[0].replicas, "0/0");
    Ok(())
}

#[test]
fn a_damaged_log_is_named_and_not_passed_over() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    for n in 0..20 {
        let name = format!("--name=s{n}");
        cluster.ctl_ok(
            0,
            &[
                "service",
                "create",
                "--detach",
                &name,
                "--replicas=0",
                "busybox",
            ],
        )?;
    }
    cluster.kill(0)?;
    let log = cluster.node(0).state_dir.join("raft/log");
    let files = fs::read_dir(&log)?.flatten().map(|entry| entry.path());
    let file = files.max_by_key(|path| path.metadata().map_or(0, |m| m.len()));
    let file = file.context("find a log file")?;
    let mut bytes = fs::read(&file)?;
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .context("find the end of the log")?;
    bytes[used / 2] ^= 0x10;
    fs::write(&file, &bytes)?;
    let said = cluster.swarmd(0, &["run"])?.refused(1)?;
    assert!(said.contains("raft"), "{said}");
    bytes[used / 2] ^= 0x10;
    fs::write(&file, &bytes)?;
    cluster.resume(0)?;
    assert_eq!(cluster.list_services(0)?.len(), 20);
    Ok(())
}

#[test]
fn joining_as_a_manager_needs_the_managers_token() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    let worker = cluster.join(0, Role::Worker, &[])?;
    let manager = cluster.join(0, Role::Manager, &[])?;
    assert_eq!(cluster.row(0, worker)?.manager_status, "");
    cluster.wait("the second manager to be reachable", SOON, |cluster| {
        Ok((cluster.row(0, manager)?.manager_status == "Reachable").then_some(()))
    })
}
