//! A stock Docker Engine as a worker: it joins with its own command and knows nothing of us.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use integration::{Cluster, Role};
use pki::csr::CheckedCsr;
use pki::{CertificateOrder, Csr, NodeChain, PrivateKeyPem, RootCa, Serial};
use types::{NodeRole, Timestamp};

use crate::support::{IMAGE, SOON, count_on, prepared, sleepers};

/// An engine that is a node.
struct Engine {
    host: usize,
    id: String,
    name: String,
}

/// `docker swarm join` on a host.
fn join(cluster: &Cluster, via: usize, host: usize, role: Role) -> anyhow::Result<String> {
    let token = cluster.token(via, role)?;
    let (seed, own) = (cluster.node(via).endpoint(), cluster.rig()?.address(host));
    let line = [
        "swarm",
        "join",
        "--token",
        &token,
        "--advertise-addr",
        &own,
        &seed,
    ];
    cluster.rig()?.docker(host, &line)?.ok()
}

/// Joins the engine of a host as a worker and waits until it is ready.
fn worker(cluster: &Cluster, via: usize, host: usize) -> anyhow::Result<Engine> {
    join(cluster, via, host, Role::Worker)?;
    let ours: Vec<_> = cluster.nodes().iter().map(|n| n.name.clone()).collect();
    cluster.wait("the engine to be ready", SOON, |cluster| {
        let nodes = cluster.list_nodes(via)?;
        let engine = nodes
            .into_iter()
            .find(|n| !ours.contains(&n.hostname) && n.status == "Ready");
        Ok(engine.map(|n| Engine {
            host,
            id: n.id,
            name: n.hostname,
        }))
    })
}

/// Creates a service whose tasks can only run on the engine.
fn create(
    cluster: &Cluster,
    engine: &Engine,
    name: &str,
    flags: &[&str],
    script: &str,
) -> anyhow::Result<()> {
    let constraint = format!("node.hostname=={}", engine.name);
    let mut line = vec!["service", "create", "--detach", "--quiet", "--name", name];
    line.extend([
        "--constraint",
        &constraint,
        "--stop-signal=KILL",
        "--restart-delay=1s",
    ]);
    line.extend(flags);
    line.extend([IMAGE, "sh", "-c", script]);
    cluster.ctl_ok(0, &line).map(drop)
}

/// Waits until a task of a service has ended with this reason and another one took its place.
fn wait_replaced(cluster: &Cluster, service: &str, reason: &str) -> anyhow::Result<()> {
    let what = format!("a task of {service} to be replaced because of {reason:?}");
    cluster.wait(&what, SOON, |cluster| {
        let tasks = cluster.list_tasks(0, service)?;
        let ended = tasks.iter().any(|t| t.error.contains(reason));
        ensure!(ended && tasks.len() > 1, "{tasks:?}");
        Ok(Some(()))
    })
}

fn now() -> anyhow::Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp::from_secs(since.as_secs()))
}

/// Founds a cluster and takes the root's key, which a founder keeps only for a moment.
fn found_with_root_key(cluster: &mut Cluster) -> anyhow::Result<(usize, PrivateKeyPem)> {
    const ROUNDS_MAX: usize = 5;
    const ROUND_TIME_MAX: Duration = Duration::from_secs(20);
    let first = cluster.add(&[]);
    let path = cluster
        .node(first)
        .state_dir
        .join("certificates/swarm-root-ca.key");
    for _ in 0..ROUNDS_MAX {
        cluster.start(first, &["init"])?;
        let start = Instant::now();
        let key = loop {
            match std::fs::read_to_string(&path) {
                Ok(key) if key.contains("-----END") => break Some(key),
                _ if cluster.node(first).said().contains("node ready") => break None,
                _ if start.elapsed() > ROUND_TIME_MAX => break None,
                _ => std::thread::yield_now(),
            }
        };
        if let Some(key) = key {
            cluster.ready(first)?;
            return Ok((first, PrivateKeyPem::new(key)));
        }
        // Fails, with the end of its log, if it did not get ready.
        cluster.ready(first)?;
        cluster.kill(first)?;
        std::fs::remove_dir_all(&cluster.node(first).state_dir)?;
    }
    anyhow::bail!("the root's key was never seen")
}

/// Gives an engine a certificate nine tenths of whose life are over. Returns it.
fn age_certificate(dir: &Path, root_key: &PrivateKeyPem) -> anyhow::Result<String> {
    let file = |name: &str| dir.join("swarm/certificates").join(name);
    let old = std::fs::read_to_string(file("swarm-node.crt"))?;
    let identity = NodeChain::parse(&old)?.claimed_identity()?;
    let root = RootCa::from_pem(&std::fs::read(file("swarm-root-ca.crt"))?, root_key)?;
    let (csr, key) = Csr::generate()?;
    let order = CertificateOrder {
        csr: &CheckedCsr::parse(csr.pem().as_bytes())?,
        node_id: identity.node_id,
        role: NodeRole::Worker,
        cluster_id: identity.cluster_id,
        // With the hour by which certificates are backdated: 108 of 120 minutes.
        now: now()?.minus(Duration::from_secs(48 * 60)),
        validity: Duration::from_secs(60 * 60),
        serial: Serial::new(*b"an old engine's "),
    };
    let aged = pki::issue(&root, &order)?;
    std::fs::write(file("swarm-node.crt"), &aged)?;
    std::fs::write(file("swarm-node.key"), key.expose())?;
    Ok(aged)
}

#[test]
fn an_engine_joins_with_its_own_command_and_works() -> anyhow::Result<()> {
    let Some(mut cluster) = prepared(3)? else {
        return Ok(());
    };
    // Hosts 1 and 2 run swarmd; host 3 is the engine alone.
    cluster.form(1, 1)?;
    let engine = worker(&cluster, 0, 3)?;

    let tasks = sleepers(&cluster, 0, "web", 6)?;
    assert_eq!(count_on(&tasks, &engine.name), 2, "{tasks:?}");
    assert_eq!(cluster.rig()?.containers(engine.host, "web")?.len(), 2);

    create(
        &cluster,
        &engine,
        "talker",
        &[],
        "echo hello; exec sleep 900",
    )?;
    cluster.wait("the engine's logs", SOON, |cluster| {
        let said = cluster.ctl(0, &["service", "logs", "talker"])?.ok()?;
        Ok(said.contains("hello").then_some(()))
    })?;

    let drain = ["node", "update", "--availability", "drain", &engine.id];
    cluster.ctl_ok(0, &drain)?;
    cluster.wait("the engine to be empty", SOON, |cluster| {
        let tasks = cluster.wait_running(0, "web", 6, Duration::ZERO)?;
        let left = cluster.rig()?.containers(engine.host, "web")?;
        Ok((count_on(&tasks, &engine.name) == 0 && left.is_empty()).then_some(()))
    })?;

    let leave = ["swarm", "leave", "--force"];
    cluster.rig()?.docker(engine.host, &leave)?.ok()?;
    cluster.wait("the engine to be down", SOON, |cluster| {
        let nodes = cluster.list_nodes(0)?;
        let is_down = nodes
            .iter()
            .any(|n| n.id == engine.id && n.status == "Down");
        Ok(is_down.then_some(()))
    })?;
    cluster.ctl_ok(0, &["node", "rm", &engine.id])?;
    assert_eq!(cluster.list_nodes(0)?.len(), 2);
    Ok(())
}

#[test]
fn an_engine_gets_what_a_task_needs_and_tells_what_becomes_of_it() -> anyhow::Result<()> {
    let Some(mut cluster) = prepared(2)? else {
        return Ok(());
    };
    cluster.form(1, 0)?;
    let engine = worker(&cluster, 0, 2)?;

    for (kind, content) in [("secret", "a secret"), ("config", "a config")] {
        let path = cluster.dir().join(kind);
        std::fs::write(&path, format!("{content}\n"))?;
        let path = path.display().to_string();
        cluster.ctl_ok(0, &[kind, "create", "its", &path])?;
    }
    let flags = [
        "--secret=source=its,target=s",
        "--config=source=its,target=/c",
        "--publish=target=80,mode=host",
    ];
    let script = "cat /run/secrets/s /c; exec sleep 900";
    create(&cluster, &engine, "needy", &flags, script)?;
    create(&cluster, &engine, "fails", &[], "exit 3")?;
    let ill = ["--health-cmd=false", "--health-interval=1s"];
    let at_once = ["--health-retries=1", "--health-timeout=1s"];
    create(
        &cluster,
        &engine,
        "ill",
        &[ill, at_once].concat(),
        "sleep 900",
    )?;

    cluster.wait("the task to have read its files", SOON, |cluster| {
        let said = cluster.ctl(0, &["service", "logs", "needy"])?.ok()?;
        Ok((said.contains("a secret") && said.contains("a config")).then_some(()))
    })?;
    cluster.wait_running(0, "needy", 1, SOON)?;
    // The engine publishes it for two address families.
    let shown = ["service", "ps", "--format", "{{.Ports}}", "needy"];
    let ports = cluster.ctl_ok(0, &shown)?;
    assert_eq!(ports.matches("->80/tcp").count(), 1, "{ports}");
    wait_replaced(&cluster, "fails", "non-zero exit (3)")?;
    wait_replaced(&cluster, "ill", "unhealthy")
}

#[test]
fn an_engine_is_never_a_manager() -> anyhow::Result<()> {
    let Some(mut cluster) = prepared(2)? else {
        return Ok(());
    };
    cluster.form(1, 0)?;
    let said = join(&cluster, 0, 2, Role::Manager)
        .expect_err("an engine became a manager")
        .to_string();
    eprintln!("{said}");
    assert!(said.contains("join-token worker"), "{said}");
    assert_eq!(cluster.list_nodes(0)?.len(), 1, "it left something behind");

    let engine = worker(&cluster, 0, 2)?;
    let promote = ["node", "promote", &engine.id];
    let said = cluster.ctl(0, &promote)?.refused(1)?;
    eprintln!("{said}");
    assert!(said.contains("stock Docker Engine"), "{said}");
    let row = cluster
        .list_nodes(0)?
        .into_iter()
        .find(|n| n.id == engine.id);
    let row = row.context("it is gone")?;
    assert_eq!(
        (row.status.as_str(), row.manager_status.as_str()),
        ("Ready", "")
    );
    Ok(())
}

#[test]
fn an_engine_outlives_a_leader_its_own_end_and_its_certificate() -> anyhow::Result<()> {
    let Some(mut cluster) = prepared(4)? else {
        return Ok(());
    };
    let (first, root_key) = found_with_root_key(&mut cluster)?;
    cluster.join(first, Role::Manager, &[])?;
    cluster.join(first, Role::Manager, &[])?;
    cluster.wait_voters(first, 3)?;
    let engine = worker(&cluster, first, 4)?;
    create(&cluster, &engine, "web", &["--replicas=2"], "sleep 900")?;
    cluster.wait_running(first, "web", 2, SOON)?;
    let before = cluster.rig()?.containers(engine.host, "web")?;

    // The one that it joined through, and has its session with.
    cluster.kill(first)?;
    let via = 1;
    cluster.wait("the engine to go to another manager", SOON, |cluster| {
        cluster.leader(via)?;
        let nodes = cluster.list_nodes(via)?;
        let ready = |n: &integration::NodeRow| n.id == engine.id && n.status == "Ready";
        Ok(nodes.iter().any(ready).then_some(()))
    })?;
    assert_eq!(cluster.rig()?.containers(engine.host, "web")?, before);
    cluster.ctl_ok(via, &["service", "scale", "--detach", "web=3"])?;
    cluster.wait_running(via, "web", 3, SOON)?;

    let data = cluster.rig()?.engine_dir(engine.host)?;
    cluster.rig()?.kill_engine(engine.host)?;
    let aged = age_certificate(&data, &root_key)?;
    cluster.rig()?.start_engine(engine.host)?;
    let certificate = data.join("swarm/certificates/swarm-node.crt");
    cluster.wait("the engine to renew its certificate", SOON, |_| {
        let now = std::fs::read_to_string(&certificate)?;
        Ok((!now.is_empty() && now != aged).then_some(()))
    })?;
    let renewed = NodeChain::parse(&std::fs::read_to_string(&certificate)?)?.claimed_identity()?;
    assert_eq!(renewed.node_id.to_string(), engine.id);
    // What ran ended with its engine, as with any engine; it runs again on the same node.
    let tasks = cluster.wait("the tasks to run again", SOON, |cluster| {
        let tasks = cluster.wait_running(via, "web", 3, Duration::ZERO)?;
        let real = cluster.rig()?.containers(engine.host, "web")?;
        Ok((real.len() == 3).then_some(tasks))
    })?;
    assert_eq!(count_on(&tasks, &engine.name), 3, "{tasks:?}");
    Ok(())
}

#[test]
fn an_engine_that_is_asked_to_renews_its_certificate_and_its_containers_do_not_notice()
-> anyhow::Result<()> {
    let Some(mut cluster) = prepared(2)? else {
        return Ok(());
    };
    cluster.form(1, 0)?;
    let engine = worker(&cluster, 0, 2)?;
    create(&cluster, &engine, "steady", &["--replicas=2"], "sleep 900")?;
    let tasks = cluster.wait_running(0, "steady", 2, SOON)?;
    let running = cluster.rig()?.containers(engine.host, "steady")?;

    let dir = cluster.rig()?.engine_dir(engine.host)?;
    let file = dir.join("swarm/certificates/swarm-node.crt");
    let old = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let start = Instant::now();
    cluster.ctl_ok(0, &["node", "rotate-certificate", &engine.name])?;
    cluster.wait("the engine to use a new certificate", SOON, |_| {
        Ok((std::fs::read(&file)? != old).then_some(()))
    })?;
    eprintln!(
        "the engine has its new certificate after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    cluster.ctl_ok(
        0,
        &["service", "scale", "--quiet", "--timeout=60s", "steady=3"],
    )?;
    let after = cluster.wait_running(0, "steady", 3, SOON)?;
    let kept = |task: &&integration::TaskRow| after.iter().any(|t| t.id == task.id);
    assert_eq!(tasks.iter().filter(kept).count(), 2, "{after:?}");
    let still = cluster.rig()?.containers(engine.host, "steady")?;
    assert!(running.iter().all(|name| still.contains(name)), "{still:?}");
    Ok(())
}
