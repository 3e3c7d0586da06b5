//! Who may join, and what is refused with which words. Nothing refused leaves anything behind.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use integration::{Cluster, Role};

use crate::support::SOON;

/// No refusal takes longer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Tries to join node 1 and returns why it was refused.
fn refused(cluster: &Cluster, node: usize, token: &str, addr: &str) -> anyhow::Result<String> {
    let start = Instant::now();
    let said = cluster
        .swarmd(node, &["join", "--token", token, addr])?
        .refused(1)?;
    anyhow::ensure!(
        start.elapsed() < ANSWER_TIME_MAX,
        "after {:?}: {said}",
        start.elapsed()
    );
    let last = said.lines().last().unwrap_or_default().to_owned();
    eprintln!("{last}");
    Ok(last)
}

#[test]
fn wrong_tokens_are_refused_and_the_right_one_works_afterwards() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    let mut other = Cluster::loopback("sim")?;
    other.form(1, 0)?;
    let joiner = cluster.add(&[]);
    let seed = cluster.node(0).endpoint();
    let token = cluster.token(0, Role::Worker)?;

    let foreign = other.token(0, Role::Worker)?;
    let said = refused(&cluster, joiner, &foreign, &seed)?;
    assert!(said.contains("token"), "{said}");

    for damaged in [&token[..token.len() - 3], "SWMTKN-1-x-y", "secret", ""] {
        let said = refused(&cluster, joiner, damaged, &seed)?;
        assert!(said.contains("token"), "{damaged:?}: {said}");
    }

    cluster.ctl_ok(0, &["join-token", "--rotate", "-q", "worker"])?;
    let said = refused(&cluster, joiner, &token, &seed)?;
    assert!(said.contains("token"), "{said}");
    assert_eq!(
        cluster.list_nodes(0)?.len(),
        1,
        "a refused node was left behind"
    );

    let token = cluster.token(0, Role::Worker)?;
    cluster.start(joiner, &["join", "--token", &token, &seed])?;
    cluster.ready(joiner)?;
    assert_eq!(cluster.list_nodes(0)?.len(), 2);
    Ok(())
}

#[test]
fn addresses_without_a_manager_are_named_in_the_refusal() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 1)?;
    let joiner = cluster.add(&[]);
    let token = cluster.token(0, Role::Worker)?;

    let nobody = format!("{}:9", cluster.node(0).address);
    let said = refused(&cluster, joiner, &token, &nobody)?;
    assert!(said.contains(&nobody), "{said}");

    let worker = cluster.node(1).endpoint();
    let said = refused(&cluster, joiner, &token, &worker)?;
    assert!(said.contains(&worker), "{said}");

    // Something that speaks, but not this.
    let listener = TcpListener::bind((cluster.node(0).address.as_str(), 0))?;
    let web = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let said = refused(&cluster, joiner, &token, &web)?;
    assert!(said.contains(&web), "{said}");

    let said = refused(&cluster, joiner, &token, "no.such.host.invalid:2377")?;
    assert!(said.contains("no.such.host.invalid"), "{said}");
    Ok(())
}

#[test]
fn a_port_in_use_is_named() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    let node = cluster.add(&[]);
    let endpoint = cluster.node(node).endpoint();
    let _taken = TcpListener::bind(&endpoint)?;
    let said = cluster.swarmd(node, &["init"])?.refused(1)?;
    assert!(
        said.contains(&endpoint) && said.contains("in use"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_state_directory_serves_one_process_of_one_cluster() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 1)?;
    let holder = cluster.pid(0)?.to_string();
    let said = cluster.swarmd(0, &["run"])?.refused(1)?;
    assert!(said.contains("in use") && said.contains(&holder), "{said}");

    cluster.stop(1)?;
    let said = cluster.swarmd(1, &["init"])?.refused(1)?;
    assert!(said.contains("already belongs to cluster"), "{said}");
    let (token, seed) = (cluster.token(0, Role::Manager)?, cluster.node(0).endpoint());
    let said = cluster
        .swarmd(1, &["join", "--token", &token, &seed])?
        .refused(1)?;
    assert!(said.contains("already belongs to cluster"), "{said}");
    // After all that it goes on as before.
    cluster.resume(1)?;
    cluster.wait("the worker to be ready", SOON, |cluster| {
        Ok((cluster.row(0, 1)?.status == "Ready").then_some(()))
    })
}

#[test]
fn a_directory_of_no_cluster_or_of_a_newer_release_is_not_started() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    let empty = cluster.add(&[]);
    let said = cluster.swarmd(empty, &["run"])?.refused(1)?;
    assert!(said.contains("belongs to no cluster"), "{said}");

    cluster.start(empty, &["init"])?;
    cluster.ready(empty)?;
    cluster.stop(empty)?;
    let version = cluster.node(empty).state_dir.join("VERSION");
    let kept = std::fs::read(&version)?;
    std::fs::write(&version, "99\n")?;
    let said = cluster.swarmd(empty, &["run"])?.refused(1)?;
    assert!(said.contains("99") && said.contains("newer"), "{said}");
    std::fs::write(&version, kept)?;
    cluster.resume(empty)
}

#[test]
fn flags_that_make_no_sense_are_usage_errors() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    let node = cluster.add(&[]);
    let lines: [&[&str]; 5] = [
        &["init", "--availability", "sometimes"],
        &["init", "--label", "novalue"],
        &["init", "--no-such-flag"],
        &["join", "--token", "x", "host:0"],
        &["join"],
    ];
    for line in lines {
        let said = cluster.swarmd(node, line)?.refused(2)?;
        assert!(said.starts_with("error:"), "{line:?}: {said}");
    }
    Ok(())
}
