//! What goes beyond keeping a number of tasks: order, schedules, affinities, rehearsals, moves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use integration::{Cluster, Role, TaskRow};

use crate::support::{SOON, count_on, ids, processes, sleepers, wait_true};

const SERVICE: &str = "web";

/// A schedule by the minute is due after one minute at most.
const NEXT_MINUTE: Duration = Duration::from_secs(75);

/// A service of sleeping tasks with flags of its own; does not wait.
fn create(cluster: &Cluster, name: &str, flags: &[&str]) -> anyhow::Result<String> {
    let mut line = vec!["service", "create", "--detach", "--name", name];
    line.extend(flags);
    line.extend(["busybox", "sleep", "900"]);
    cluster.ctl_ok(0, &line)
}

/// Has an update of the service watch its tasks for a moment only.
fn hurry(cluster: &Cluster, service: &str) -> anyhow::Result<()> {
    let line = [
        "service",
        "update",
        "--quiet",
        "--timeout=30s",
        "--update-monitor=200ms",
        service,
    ];
    cluster.ctl_ok(0, &line).map(drop)
}

fn by_node(tasks: &[TaskRow]) -> BTreeMap<String, usize> {
    let nodes: BTreeSet<_> = tasks.iter().map(|t| t.node.clone()).collect();
    nodes
        .into_iter()
        .map(|n| (n.clone(), count_on(tasks, &n)))
        .collect()
}

#[test]
fn a_drained_node_keeps_a_start_first_task_until_its_replacement_runs() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 2)?;
    sleepers(&cluster, 0, SERVICE, 3)?;
    let line = [
        "service",
        "update",
        "--quiet",
        "--timeout=30s",
        "--update-order=start-first",
        "--update-monitor=200ms",
        SERVICE,
    ];
    cluster.ctl_ok(0, &line)?;
    let before = cluster.wait_running(0, SERVICE, 3, SOON)?;
    let worker = cluster.row(0, 1)?.hostname;
    ensure!(
        count_on(&before, &worker) == 1,
        "one task a node: {before:?}"
    );
    cluster.ctl_ok(0, &["node", "update", "--availability", "drain", &worker])?;
    cluster.wait("the task to have moved", SOON, |cluster| {
        let running = processes(cluster, SERVICE).len();
        ensure!(running >= 3, "only {running} processes run");
        let tasks = cluster.list_tasks(0, SERVICE)?;
        let live: Vec<_> = tasks.into_iter().filter(TaskRow::is_running).collect();
        Ok((live.len() == 3 && count_on(&live, &worker) == 0).then_some(()))
    })
}

#[test]
fn a_drain_that_is_waited_for_ends_when_nothing_runs_there_and_says_what_holds_it_up()
-> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 2)?;
    sleepers(&cluster, 0, SERVICE, 6)?;
    let worker = cluster.row(0, 1)?.hostname;
    let there = |cluster: &Cluster| {
        let all = processes(cluster, SERVICE).into_iter();
        all.filter(|p| p.node == worker).count()
    };
    assert_eq!(there(&cluster), 2);
    let drain = |limit| {
        let availability = ["--availability", "drain", "--wait", "--timeout", limit];
        let line = ["node", "update"].into_iter().chain(availability);
        cluster.ctl(0, &line.chain([worker.as_str()]).collect::<Vec<_>>())
    };
    drain("30s")?.ok()?;
    assert_eq!(there(&cluster), 0);

    cluster.ctl_ok(0, &["node", "update", "--availability", "active", &worker])?;
    let bound = format!("node.hostname=={worker}");
    let flags = ["--constraint", &bound, "--update-order", "start-first"];
    create(&cluster, "bound", &flags)?;
    cluster.wait_running(0, "bound", 1, SOON)?;
    let said = drain("5s")?.refused(3)?;
    for words in ["1 task still runs", "bound.1", "no suitable node"] {
        ensure!(said.contains(words), "{words} is missing: {said}");
    }
    Ok(())
}

#[test]
fn a_rollback_puts_the_spec_before_back() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    sleepers(&cluster, 0, SERVICE, 2)?;
    let fast = ["--update-monitor=200ms", "--rollback-monitor=200ms"];
    let mut line = vec![
        "service",
        "update",
        "--quiet",
        "--timeout=30s",
        "--env-add",
        "COLOUR=blue",
    ];
    line.extend(fast);
    line.push(SERVICE);
    cluster.ctl_ok(0, &line)?;
    let colours = |cluster: &Cluster| -> BTreeSet<Option<String>> {
        let found = processes(cluster, SERVICE);
        found.iter().map(|p| p.variable("COLOUR")).collect()
    };
    assert_eq!(colours(&cluster), [Some("blue".to_owned())].into());
    cluster.ctl_ok(
        0,
        &["service", "rollback", "--quiet", "--timeout=60s", SERVICE],
    )?;
    assert_eq!(colours(&cluster), [None].into());
    Ok(())
}

#[test]
fn jobs_run_their_completions_and_schedules_when_they_are_due() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    let (done, ticks) = (cluster.dir().join("done"), cluster.dir().join("ticks"));
    let lines = |path: &std::path::Path| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let script = |path: &std::path::Path| format!("echo x >> {}", path.display());
    let job = [
        "service",
        "create",
        "--quiet",
        "--timeout=30s",
        "--name",
        "job",
        "--mode",
        "replicated-job",
        "--replicas",
        "4",
        "--max-concurrent",
        "2",
        "busybox",
        "sh",
        "-c",
    ];
    let mut line = job.to_vec();
    let count = script(&done);
    line.push(&count);
    cluster.ctl_ok(0, &line)?;
    assert_eq!(lines(&done), 4, "each completion once");

    let tick = script(&ticks);
    let cron = [
        "service",
        "create",
        "--quiet",
        "--timeout=30s",
        "--name",
        "cron",
        "--mode",
        "replicated-job",
        "--schedule",
        "* * * * *",
        "busybox",
        "sh",
        "-c",
        &tick,
    ];
    cluster.ctl_ok(0, &cron)?;
    let listed = cluster.ctl_ok(0, &["service", "ls"])?;
    ensure!(listed.contains("next run in"), "{listed}");
    let shown = cluster.ctl_ok(0, &["service", "inspect", "--pretty", "cron"])?;
    ensure!(
        shown.contains("Cron: * * * * *") && shown.contains("NextExecution: "),
        "{shown}"
    );
    cluster.wait("the schedule to be due", NEXT_MINUTE, |_| {
        Ok((lines(&ticks) > 0).then_some(()))
    })
}

#[test]
fn affinities_choose_nodes_and_explain_says_why_none_fits() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 2)?;
    create(&cluster, "db", &["--replicas=1"])?;
    let db = cluster.wait_running(0, "db", 1, SOON)?[0].node.clone();
    create(
        &cluster,
        "cache",
        &["--replicas=3", "--affinity", "service==db"],
    )?;
    create(
        &cluster,
        "far",
        &["--replicas=3", "--affinity", "service!=db"],
    )?;
    let cache = cluster.wait_running(0, "cache", 3, SOON)?;
    assert_eq!(count_on(&cache, &db), 3, "{cache:?}");
    let far = cluster.wait_running(0, "far", 3, SOON)?;
    assert_eq!(count_on(&far, &db), 0, "{far:?}");

    create(&cluster, "none", &["--affinity", "service==nothing"])?;
    let explained = cluster.wait("the reason", SOON, |cluster| {
        let said = cluster.ctl(0, &["task", "explain", "none.1"])?.out;
        Ok(said.contains("0 of 3 fit").then_some(said))
    })?;
    for words in [
        "the scheduler",
        "affinity service==nothing",
        "Refused by:",
        "Nearest:",
    ] {
        ensure!(explained.contains(words), "{words} is missing: {explained}");
    }
    let placed = cluster.ctl_ok(0, &["task", "explain", "db.1"])?;
    ensure!(placed.contains("Nodes that fit, best first:"), "{placed}");
    let json = cluster.ctl_ok(0, &["task", "explain", "--format", "json", "none.1"])?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    assert_eq!(json["NodesFit"], 0);
    assert_eq!(json["Filters"][0]["Filter"], "affinity");
    Ok(())
}

/// The commands that a text names between backticks, as words.
fn commands(text: &str) -> Vec<Vec<String>> {
    let quoted = text.split('`').skip(1).step_by(2);
    let line = |line: &str| line.split(' ').map(|w| w.replace('\'', "")).collect();
    quoted.map(line).collect()
}

#[test]
fn what_explain_says_can_be_done_makes_the_task_run() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    let ssd = ["--replicas=1", "--constraint", "node.labels.disk==ssd"];
    create(&cluster, "labelled", &ssd)?;
    create(&cluster, "freed", &ssd)?;
    for (service, choice) in [("freed", 1), ("labelled", 0)] {
        let task = format!("{service}.1");
        let json = ["task", "explain", "--format", "json", &task];
        let hint = cluster.wait("what to do", SOON, |cluster| {
            let said: serde_json::Value = serde_json::from_str(&cluster.ctl_ok(0, &json)?)?;
            Ok(said["Hints"][0].as_str().map(str::to_owned))
        })?;
        let line = &commands(&hint)[choice];
        let words: Vec<&str> = line[1..].iter().map(String::as_str).collect();
        ensure!(line[0] == "swarmctl", "{hint}");
        cluster.ctl_ok(0, &words)?;
        cluster.wait_running(0, service, 1, SOON)?;
    }
    Ok(())
}

#[test]
fn a_service_waits_for_those_it_depends_on_and_says_so() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 0)?;
    create(&cluster, SERVICE, &["--depends-on", "db"])?;
    cluster.wait("the reason", SOON, |cluster| {
        let tasks = cluster.list_tasks(0, SERVICE)?;
        Ok(tasks
            .iter()
            .any(|t| t.error.contains("waits for service db"))
            .then_some(()))
    })?;
    let said = cluster.ctl_ok(0, &["task", "explain", "web.1"])?;
    ensure!(said.contains("another service"), "{said}");
    create(&cluster, "db", &[])?;
    cluster.wait_running(0, SERVICE, 1, SOON).map(drop)
}

/// Entries of the log that are committed, as the only manager says.
fn committed(cluster: &Cluster) -> anyhow::Result<u64> {
    let said = cluster.ctl_ok(0, &["cluster", "status", "--format", "json"])?;
    let status: serde_json::Value = serde_json::from_str(&said)?;
    status["CommitIndex"].as_u64().with_context(|| said.clone())
}

#[test]
fn a_rehearsal_writes_nothing_and_its_version_guards_the_change() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    sleepers(&cluster, 0, SERVICE, 2)?;
    hurry(&cluster, SERVICE)?;
    let before = cluster.wait_running(0, SERVICE, 2, SOON)?;
    let written = committed(&cluster)?;
    let line = [
        "service",
        "plan",
        "--format",
        "json",
        "--image=other",
        "--replicas=3",
        SERVICE,
    ];
    let plan: serde_json::Value = serde_json::from_str(&cluster.ctl_ok(0, &line)?)?;
    assert_eq!(
        (&plan["TasksReplaced"], &plan["TasksCreated"]),
        (&2.into(), &1.into())
    );
    let fields: Vec<_> = plan["Changes"].as_array().into_iter().flatten().collect();
    let image = fields
        .iter()
        .find(|c| c["Field"] == "TaskTemplate.ContainerSpec.Image");
    assert_eq!(
        image.map(|c| (&c["Old"], &c["New"])),
        Some((&"busybox".into(), &"other".into()))
    );
    let dry = [
        "service",
        "create",
        "--dry-run",
        "--name",
        "new",
        "--constraint",
        "node.role==none",
        "busybox",
    ];
    let text = cluster.ctl_ok(0, &dry)?;
    ensure!(
        text.contains("would be created") && text.contains("Would wait:"),
        "{text}"
    );
    assert_eq!(
        committed(&cluster)?,
        written,
        "a rehearsal was written to the log"
    );
    assert_eq!(
        ids(&before),
        ids(&cluster.wait_running(0, SERVICE, 2, SOON)?)
    );

    let version = plan["Version"]["Index"].to_string();
    let check = format!("--check-version={version}");
    let change = [
        "service",
        "update",
        "--quiet",
        "--timeout=30s",
        &check,
        "--label-add=a=b",
        SERVICE,
    ];
    cluster.ctl_ok(0, &change)?;
    let refusal = cluster.ctl(0, &change)?.refused(1)?;
    ensure!(
        refusal.contains(&format!("changed since version {version}")),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn tasks_are_moved_to_a_node_that_joined_when_somebody_asks() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    sleepers(&cluster, 0, SERVICE, 6)?;
    hurry(&cluster, SERVICE)?;
    let before = cluster.wait_running(0, SERVICE, 6, SOON)?;
    let late = cluster.join(0, Role::Worker, &[])?;
    let late = cluster.row(0, late)?.hostname;
    let plan = cluster.ctl_ok(0, &["cluster", "rebalance", "--plan"])?;
    let reason = format!("runs 3 of 6 tasks of web, {late}, joined ");
    ensure!(plan.contains(&reason), "{plan}");
    assert_eq!(
        ids(&before),
        ids(&cluster.wait_running(0, SERVICE, 6, SOON)?)
    );

    cluster.ctl_ok(0, &["cluster", "rebalance", "--timeout=60s"])?;
    let after = cluster.wait_running(0, SERVICE, 6, SOON)?;
    assert_eq!(
        by_node(&after).values().copied().collect::<Vec<_>>(),
        [2, 2, 2],
        "{after:?}"
    );
    assert_eq!(count_on(&after, &late), 2);
    assert_eq!(
        ids(&before).intersection(&ids(&after)).count(),
        4,
        "no more moved than had to"
    );
    wait_true(&cluster, SERVICE, &after)?;
    let plan = cluster.ctl_ok(0, &["cluster", "rebalance", "--plan"])?;
    ensure!(plan.contains("nothing to move"), "{plan}");
    Ok(())
}

#[test]
fn a_service_that_levels_itself_moves_to_a_node_that_joined() -> anyhow::Result<()> {
    let mut cluster = Cluster::loopback("process")?;
    cluster.form(1, 1)?;
    let flags = ["--replicas=4", "--rebalance=auto", "--update-monitor=200ms"];
    create(&cluster, SERVICE, &flags)?;
    cluster.wait_running(0, SERVICE, 4, SOON)?;
    let late = cluster.join(0, Role::Worker, &[])?;
    let late = cluster.row(0, late)?.hostname;
    cluster.wait("a task on the new node", SOON, |cluster| {
        let tasks = cluster.list_tasks(0, SERVICE)?;
        let live: Vec<_> = tasks.into_iter().filter(TaskRow::is_running).collect();
        Ok((live.len() == 4 && count_on(&live, &late) == 1).then_some(()))
    })
}
