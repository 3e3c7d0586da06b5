//! State directories that cannot be used, or can for a while not: no room, read-only, damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use integration::{Cluster, Role};

use crate::support::{SOON, processes, sleepers};

/// Room for a manager's log with its files of 64 MiB, and little more.
const DISK_MIB: u32 = 160;

/// A file system of its own, unmounted when it is dropped.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one of this size, or says that it cannot and returns `None`.
    fn mount(path: &Path, mib: u32) -> anyhow::Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            ensure!(std::env::var_os("CI").is_none(), "needs root");
            eprintln!("skipped: needs root");
            return Ok(None);
        }
        fs::create_dir_all(path)?;
        let size = format!("size={mib}m,mode=0700");
        run("mount", &["-t", "tmpfs", "-o", &size, "none"], path)?;
        let path = path.to_owned();
        Ok(Some(Self { path }))
    }

    fn make_read_only(&self, is_read_only: bool) -> anyhow::Result<()> {
        let mode = if is_read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        run("mount", &["-o", mode], &self.path)
    }

    /// Takes all room there is.
    fn fill(&self) -> anyhow::Result<()> {
        let mut file = fs::File::create(self.filling())?;
        let chunk = vec![0; 1 << 20];
        loop {
            match std::io::Write::write_all(&mut file, &chunk) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Gives the room back.
    fn empty(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.filling())?)
    }

    fn filling(&self) -> PathBuf {
        self.path.join("filling")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the node that uses it is killed a moment later.
        if let Err(error) = run("umount", &["-l"], &self.path) {
            eprintln!("{error:#}");
        }
    }
}

fn run(program: &str, args: &[&str], path: &Path) -> anyhow::Result<()> {
    let done = Command::new(program).args(args).arg(path).output();
    let done = done.with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{program} {args:?}: {said}");
    Ok(())
}

/// Tries to make a config of this name, large enough to need room.
fn write(cluster: &Cluster, via: usize, name: &str) -> anyhow::Result<integration::Output> {
    let file = cluster.dir().join("payload");
    if !file.exists() {
        fs::write(&file, vec![b'x'; 400_000])?;
    }
    let file = file.display().to_string();
    cluster.ctl(via, &["config", "create", name, &file])
}

#[test]
fn a_manager_without_room_refuses_writes_answers_reads_and_recovers() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    let node = cluster.add(&[]);
    let state_dir = cluster.node(node).state_dir.clone();
    let Some(disk) = Disk::mount(&state_dir, DISK_MIB)? else {
        return Ok(());
    };
    cluster.start(node, &["init"])?;
    cluster.ready(node)?;
    sleepers(&cluster, node, "steady", 2)?;
    let running = processes(&cluster, "steady");
    disk.fill()?;
    // What was under way may be unknown; soon every write is refused with the reason.
    let mut refused = 0;
    let mut number = 0;
    let said = cluster.wait("writes to be refused", SOON, |cluster| {
        number += 1;
        let done = write(cluster, node, &format!("c{number}"))?;
        refused += i32::from(done.code != 0);
        Ok((refused >= 3).then_some(done.err))
    })?;
    ensure!(
        said.contains("is full") && said.contains("free some space"),
        "{said}"
    );
    let status = cluster.ctl_ok(node, &["cluster", "status"])?;
    ensure!(
        status.contains("Disk:      full: writes are refused"),
        "{status}"
    );
    // Reads are answered, and nothing happens to tasks.
    ensure!(cluster.list_services(node)?[0].replicas == "2/2");
    ensure!(cluster.list_nodes(node)?.len() == 1);
    ensure!(processes(&cluster, "steady") == running);

    disk.empty()?;
    cluster.wait("writes to be accepted", SOON, |cluster| {
        let done = write(cluster, node, "late")?;
        Ok((done.code == 0).then_some(()))
    })?;
    let status = cluster.ctl_ok(node, &["cluster", "status"])?;
    ensure!(status.contains("Disk:      ok"), "{status}");
    cluster.kill(node)?;
    cluster.resume(node)?;
    let configs = cluster.ctl_ok(node, &["config", "ls"])?;
    ensure!(configs.contains("late"), "{configs}");
    ensure!(processes(&cluster, "steady") == running);
    Ok(())
}

#[test]
fn a_node_goes_on_when_nobody_takes_what_it_says() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    let node = cluster.add(&[]);
    // As a log on a full disk, and as a caller that is gone.
    cluster.node_mut(node).log = "/dev/full".into();
    cluster.node_mut(node).stdout = "/dev/full".into();
    cluster.start(node, &["init"])?;
    cluster.wait("the node to serve", SOON, |cluster| {
        Ok((cluster.list_nodes(node)?.len() == 1).then_some(()))
    })?;
    sleepers(&cluster, node, "steady", 2)?;
    cluster.ctl_ok(
        node,
        &["service", "scale", "--quiet", "--timeout=20s", "steady=3"],
    )?;
    let ended = cluster.stop(node)?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

#[test]
fn a_leader_without_room_hands_over_to_one_that_has_some() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    let node = cluster.add(&[]);
    let state_dir = cluster.node(node).state_dir.clone();
    let Some(disk) = Disk::mount(&state_dir, DISK_MIB)? else {
        return Ok(());
    };
    cluster.start(node, &["init"])?;
    cluster.ready(node)?;
    let (second, _) = (
        cluster.join(node, Role::Manager, &[])?,
        cluster.join(node, Role::Manager, &[])?,
    );
    disk.fill()?;
    let mut number = 0;
    cluster.wait("another leader", SOON, |cluster| {
        number += 1;
        // The writes that fill the last bytes may fail.
        drop(write(cluster, second, &format!("c{number}"))?);
        Ok((cluster.leader(second)? != node).then_some(()))
    })?;
    cluster.wait("writes to be accepted", SOON, |cluster| {
        Ok((write(cluster, second, "late")?.code == 0).then_some(()))
    })?;
    disk.empty()?;
    cluster.wait("the first one to catch up", SOON, |cluster| {
        let status = cluster.ctl_ok(node, &["cluster", "status"])?;
        Ok(status.contains("Disk:      ok").then_some(()))
    })?;
    let configs = cluster.ctl_ok(node, &["config", "ls"])?;
    ensure!(configs.contains("late"), "{configs}");
    Ok(())
}

#[test]
fn a_worker_without_room_keeps_its_tasks_and_takes_new_ones_when_there_is_some()
-> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 0)?;
    cluster.ctl_ok(0, &["node", "update", "--availability", "drain", "n1"])?;
    let worker = cluster.add(&[]);
    let state_dir = cluster.node(worker).state_dir.clone();
    let Some(disk) = Disk::mount(&state_dir, 16)? else {
        return Ok(());
    };
    let (token, seed) = (cluster.token(0, Role::Worker)?, cluster.node(0).endpoint());
    cluster.start(worker, &["join", "--token", &token, &seed])?;
    cluster.ready(worker)?;
    sleepers(&cluster, 0, "steady", 2)?;
    let before = processes(&cluster, "steady");
    disk.fill()?;
    cluster.ctl_ok(0, &["service", "scale", "--detach", "steady=4"])?;
    cluster.wait("the new tasks to say what is wrong", SOON, |cluster| {
        let tasks = cluster.list_tasks(0, "steady")?;
        let says = tasks.iter().any(|t| t.error.contains("No space left"));
        Ok(says.then_some(()))
    })?;
    let now = processes(&cluster, "steady");
    ensure!(before.iter().all(|task| now.contains(task)), "{now:?}");

    disk.empty()?;
    cluster.wait_running(0, "steady", 4, SOON)?;
    // Whatever its database missed: after a restart every task is there once.
    cluster.kill(worker)?;
    let running = processes(&cluster, "steady");
    ensure!(running.len() == 4, "{running:?}");
    cluster.resume(worker)?;
    cluster.ctl_ok(
        0,
        &["service", "scale", "--quiet", "--timeout=30s", "steady=5"],
    )?;
    let after = processes(&cluster, "steady");
    ensure!(running.iter().all(|task| after.contains(task)), "{after:?}");
    ensure!(after.len() == 5, "{after:?}");
    Ok(())
}

#[test]
fn a_read_only_state_directory_is_named() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    let node = cluster.add(&[]);
    let state_dir = cluster.node(node).state_dir.clone();
    let Some(disk) = Disk::mount(&state_dir, DISK_MIB)? else {
        return Ok(());
    };
    cluster.start(node, &["init"])?;
    cluster.ready(node)?;
    cluster.stop(node)?;
    disk.make_read_only(true)?;
    let said = cluster.swarmd(node, &["run"])?.refused(1)?;
    let last = said.lines().last().unwrap_or_default();
    eprintln!("{last}");
    ensure!(last.contains(&state_dir.display().to_string()), "{said}");
    ensure!(
        last.contains("Read-only") && last.contains("make it writable"),
        "{said}"
    );
    ensure!(last.matches("Read-only").count() == 1, "said twice: {said}");
    let said = cluster.swarmd(node, &["run", "--detach"])?.refused(1)?;
    ensure!(
        said.contains("Read-only") && said.contains("make the"),
        "{said}"
    );
    disk.make_read_only(false)?;
    cluster.resume(node)
}

#[test]
fn whatever_is_damaged_in_a_state_directory_is_named_and_can_be_restored() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    cluster.form(1, 0)?;
    cluster.stop(0)?;
    let dir = cluster.node(0).state_dir.clone();
    // The file, what the sentence names, and what it advises.
    let cases = [
        ("VERSION", "VERSION", "restore it"),
        ("cluster", "cluster file", "restore it"),
        (
            "certificates/swarm-node.crt",
            "swarm-node.crt",
            "restore the file",
        ),
        (
            "certificates/swarm-node.key",
            "swarm-node.key",
            "restore the file",
        ),
        (
            "certificates/swarm-root-ca.crt",
            "swarm-root-ca.crt",
            "restore the file",
        ),
        ("raft/member", "raft/member", "restore it"),
    ];
    for (file, named, advice) in cases {
        let path = dir.join(file);
        let kept = fs::read(&path)?;
        fs::write(&path, "junk")?;
        let said = cluster.swarmd(0, &["run"])?.refused(1)?;
        let last = said.lines().last().unwrap_or_default();
        eprintln!("{last}");
        ensure!(
            last.contains(named) && last.contains(advice),
            "{file}: {said}"
        );
        fs::write(&path, kept)?;
    }
    // What can be told again is not missed.
    fs::write(dir.join("state.json"), "junk")?;
    cluster.resume(0)?;
    cluster.stop(0)?;
    fs::rename(dir.join("raft"), dir.join("elsewhere"))?;
    let said = cluster.swarmd(0, &["run"])?.refused(1)?;
    let last = said.lines().last().unwrap_or_default();
    ensure!(
        last.contains("no replicated log") && last.contains("backup"),
        "{said}"
    );
    fs::remove_dir_all(dir.join("raft"))?;
    fs::rename(dir.join("elsewhere"), dir.join("raft"))?;
    cluster.resume(0)
}

#[test]
fn a_mistyped_state_directory_is_not_made() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("sim")?;
    let node = cluster.add(&[]);
    for verb in ["run", "leave"] {
        let said = cluster.swarmd(node, &[verb])?.refused(1)?;
        ensure!(said.contains("belongs to no cluster"), "{verb}: {said}");
        ensure!(!cluster.node(node).state_dir.exists(), "{verb} made it");
    }
    Ok(())
}
