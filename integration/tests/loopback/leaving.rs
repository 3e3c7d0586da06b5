//! Nodes that are removed or leave: how they end, and what becomes of their tasks.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use integration::{Cluster, Role};

use crate::support::{SOON, processes, sleepers};

/// Exit code of a node that was removed from its cluster.
const REMOVED: i32 = 4;

/// Tasks of a cluster on a node.
fn on(cluster: &Cluster, node: usize) -> usize {
    let name = &cluster.node(node).name;
    let all = processes(cluster, "steady");
    all.iter().filter(|task| task.node == *name).count()
}

#[test]
fn a_node_that_is_removed_stops_its_tasks_and_ends_with_a_code_of_its_own() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    sleepers(&cluster, 0, "steady", 4)?;
    assert_eq!(on(&cluster, 1), 2);
    let worker = cluster.row(0, 1)?.id;
    cluster.ctl_ok(0, &["node", "rm", "--force", &worker])?;
    let ended = cluster.ended(1, SOON)?;
    assert_eq!(
        ended.code(),
        Some(REMOVED),
        "{}",
        cluster.node(1).log_tail(5)
    );
    let log = cluster.node(1).log_tail(1);
    assert!(
        log.starts_with("swarmd: this node was removed from its cluster, and its tasks were")
            && log.contains("swarmd leave"),
        "{log}"
    );
    assert_eq!(on(&cluster, 1), 0, "tasks of a removed node run on");
    cluster.wait("the tasks to run elsewhere", SOON, |cluster| {
        Ok((on(cluster, 0) == 4).then_some(()))
    })?;
    // Starting it again changes nothing about it.
    let again = cluster.swarmd(1, &["run"])?.refused(REMOVED)?;
    assert!(again.contains("swarmd leave"), "{again}");
    cluster.swarmd(1, &["leave"])?.ok()?;
    let (token, seed) = (cluster.token(0, Role::Worker)?, cluster.node(0).endpoint());
    cluster.start(1, &["join", "--token", &token, &seed])?;
    cluster.ready(1)?;
    let unit = include_str!("../../../packaging/swarmd.service");
    assert!(unit.contains(&format!("RestartPreventExitStatus=2 {REMOVED}\n")));
    Ok(())
}

#[test]
fn a_stopped_node_that_leaves_ends_its_tasks() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    sleepers(&cluster, 0, "steady", 4)?;
    cluster.stop(1)?;
    assert_eq!(on(&cluster, 1), 2, "tasks outlive the daemon");
    let said = cluster.swarmd(1, &["leave"])?.ok()?;
    assert!(said.contains("2 tasks were stopped and removed"), "{said}");
    assert_eq!(on(&cluster, 1), 0);
    // Once more is refused, and so is going on.
    let said = cluster.swarmd(1, &["leave"])?.refused(1)?;
    assert!(said.contains("belongs to no cluster"), "{said}");
    let said = cluster.swarmd(1, &["run"])?.refused(1)?;
    assert!(
        said.contains("swarmd init") && said.contains("swarmd join"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_node_whose_port_is_taken_is_refused_before_it_is_in_the_cluster() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    let joiner = cluster.add(&[]);
    let seed = cluster.node(0).endpoint();
    let endpoint = cluster.node(joiner).endpoint();
    let taken = TcpListener::bind(&endpoint)?;
    for role in [Role::Worker, Role::Manager] {
        let token = cluster.token(0, role)?;
        let said = cluster.swarmd(joiner, &["join", "--token", &token, &seed])?;
        let said = said.refused(1)?;
        assert!(
            said.contains(&endpoint) && said.contains("in use"),
            "{said}"
        );
        assert_eq!(
            cluster.list_nodes(0)?.len(),
            1,
            "{role:?}: it was left behind"
        );
    }
    drop(taken);
    let token = cluster.token(0, Role::Manager)?;
    cluster.start(joiner, &["join", "--token", &token, &seed])?;
    cluster.ready(joiner)?;
    assert_eq!(cluster.list_nodes(0)?.len(), 2);
    Ok(())
}

#[test]
fn a_new_manager_is_ready_only_when_it_votes() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    for voters in 2..=5 {
        let start = Instant::now();
        let joined = cluster.join(0, Role::Manager, &[])?;
        eprintln!("joined and voting after {:?}", start.elapsed());
        // At once, as the leader and as itself see it.
        assert_eq!(cluster.voters(0)?, voters);
        assert_eq!(cluster.voters(joined)?, voters);
    }
    Ok(())
}

#[test]
fn a_manager_that_the_others_cannot_reach_says_so_while_it_waits() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    let (token, seed) = (cluster.token(0, Role::Manager)?, cluster.node(0).endpoint());
    let joiner = cluster.add(&[]);
    let nobody = format!("{}:9", cluster.node(joiner).address);
    cluster.node_mut(joiner).flags = vec!["--advertise-addr".into(), nobody.clone()];
    cluster.start(joiner, &["join", "--token", &token, &seed])?;
    cluster.wait("it to say what it waits for", SOON, |cluster| {
        let log = cluster.node(joiner).log_tail(20);
        let said = log.contains("not ready yet") && log.contains(&nobody);
        Ok((said && log.contains("--advertise-addr")).then_some(()))
    })?;
    assert_eq!(cluster.node(joiner).said(), "", "it is not ready");
    // The one that can be reached goes on.
    cluster.ctl_ok(0, &["node", "ls"]).map(drop)
}

/// Mode of a file or directory.
fn mode(path: &Path) -> anyhow::Result<u32> {
    let meta = path
        .metadata()
        .with_context(|| path.display().to_string())?;
    Ok(meta.permissions().mode() & 0o777)
}

#[test]
fn what_a_detached_node_writes_is_for_its_owner_only() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    let node = cluster.add(&[]);
    // What the caller has open, such as a lock, is not kept open by a node that stays.
    let lock = cluster.dir().join("callers-lock");
    let flags = nix::fcntl::OFlag::O_CREAT | nix::fcntl::OFlag::O_RDWR;
    let _held = nix::fcntl::open(&lock, flags, nix::sys::stat::Mode::S_IRUSR)?;
    let said = cluster.swarmd(node, &["init", "--detach"])?.ok()?;
    assert!(
        said.lines().any(|line| line.starts_with("node ready")),
        "{said}"
    );
    let dir = cluster.node(node).state_dir.clone();
    let pid: i32 = std::fs::read_to_string(dir.join("lock"))?.trim().parse()?;
    for open in std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        assert_ne!(std::fs::read_link(open.path()).ok(), Some(lock.clone()));
    }
    assert_eq!(mode(&dir)?, 0o700);
    assert_eq!(mode(&dir.join("swarmd.log"))?, 0o600);
    // A second one on the same directory says why not, once, and with the first one's number.
    let second = cluster.swarmd(node, &["run", "--detach"])?.refused(1)?;
    assert!(
        second.contains("in use by process") && second.lines().count() == 1,
        "{second}"
    );
    integration::signal(pid, nix::sys::signal::Signal::SIGTERM);
    cluster.wait("it to stop", Duration::from_secs(11), |_| {
        Ok((!Path::new(&format!("/proc/{pid}")).exists()).then_some(()))
    })
}
