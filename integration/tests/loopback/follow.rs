//! Commands that go on while the cluster changes.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Child;

use integration::Cluster;

use crate::support::SOON;

/// A command that ends with the test.
struct Going(Child);

impl Drop for Going {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The numbers that each slot has said, in their order.
fn numbers(text: &str) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let (slot, number) = line.split_once(' ').expect("a slot and a number");
        let number = number.parse().expect("a number");
        found.entry(slot.to_owned()).or_default().push(number);
    }
    found
}

#[test]
fn whoever_follows_logs_reads_on_when_the_leader_dies_and_misses_nothing() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(3, 2)?;
    let counts = "i=0; while :; do i=$((i+1)); echo \"$SLOT $i\"; sleep 0.05; done";
    let line = [
        "service",
        "create",
        "--quiet",
        "--timeout=30s",
        "--name",
        "counting",
        "--replicas=2",
        "--constraint",
        "node.role==worker",
        "--env",
        "SLOT={{.Task.Slot}}",
        "busybox",
        "sh",
        "-c",
        counts,
    ];
    cluster.ctl_ok(0, &line)?;
    let leader = cluster.leader(0)?;
    let via = (leader + 1) % 3;

    let out = cluster.dir().join("followed");
    let err = cluster.dir().join("followed.err");
    let follow = ["service", "logs", "--follow", "--raw", "counting"];
    let mut command = cluster.ctl_command(via, &follow);
    command
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?);
    let mut going = Going(command.spawn()?);
    let read = || numbers(&std::fs::read_to_string(&out).unwrap_or_default());
    let both_beyond = |numbers: &BTreeMap<String, Vec<u64>>, bound: u64| {
        let beyond = |said: &&Vec<u64>| said.last().is_some_and(|last| *last > bound);
        numbers.values().filter(beyond).count() == 2
    };
    cluster.wait("lines of both tasks", SOON, |_| {
        Ok(both_beyond(&read(), 10).then_some(()))
    })?;
    let before = read()
        .values()
        .filter_map(|said| said.last().copied())
        .max();

    cluster.kill(leader)?;
    let bound = before.unwrap_or_default() + 60;
    let all = cluster.wait("lines of both tasks after the death", SOON, |_| {
        let now = read();
        Ok(both_beyond(&now, bound).then_some(now))
    })?;

    // An agent that comes back is asked for the rest, not for everything.
    let before = all.values().filter_map(|said| said.last().copied()).max();
    cluster.kill(4)?;
    cluster.resume(4)?;
    let bound = before.unwrap_or_default() + 60;
    let all = cluster.wait("lines of both tasks after the restart", SOON, |_| {
        let now = read();
        Ok(both_beyond(&now, bound).then_some(now))
    })?;
    assert!(going.0.try_wait()?.is_none(), "it goes on");
    for (slot, said) in all {
        let expected: Vec<u64> = (1..=said.len() as u64).collect();
        assert_eq!(said, expected, "slot {slot} lost or repeated lines");
    }
    assert_eq!(std::fs::read_to_string(&err)?, "");
    Ok(())
}
