//! What waiting users are told: progress, reasons, explanations.

use std::time::Duration;

use wire::api;
use wire::swarm::v1 as pb;

use crate::support::{Cluster, create, eventually, service, soon, spec, update};

fn placed(name: &str, replicas: u64, constraint: &str) -> api::ServiceSpec {
    let mut spec = spec(name, replicas);
    let placement = api::Placement {
        constraints: vec![constraint.into()],
        ..Default::default()
    };
    spec.task.as_mut().expect("the spec has a task").placement = Some(placement);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fits_nowhere_says_why_until_it_fits() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let mut watcher = cluster.first.cluster().await;
    let nowhere = placed("web", 2, "node.hostname == nowhere");
    let web = create(&mut control, nowhere).await.unwrap();
    let request = pb::WatchServiceRequest {
        service_id: web.id.clone(),
        until_settled: true,
        ..Default::default()
    };
    let mut stream = watcher.watch_service(request).await.unwrap().into_inner();
    let blocked = async {
        loop {
            let progress = stream.message().await.unwrap().expect("not settled");
            if !progress.blocked_by.is_empty() {
                return progress;
            }
        }
    };
    let blocked = soon("a reason", blocked).await;
    assert!(
        blocked.blocked_by.contains("constraint"),
        "{}",
        blocked.blocked_by
    );
    assert_eq!((blocked.tasks_desired, blocked.tasks_running), (2, 0));
    let explain = pb::ExplainRequest {
        task_id: blocked.tasks[0].task_id.clone(),
        examples_max: 0,
    };
    let explained = watcher.explain(explain).await.unwrap().into_inner();
    assert_eq!((explained.nodes_total, explained.nodes_fit), (1, 0));
    assert!(
        explained.summary.starts_with("pending: "),
        "{}",
        explained.summary
    );
    assert_eq!(explained.waiting_for(), pb::Stage::Scheduler);
    assert_eq!(explained.filters[0].examples[0].hostname, "m1");
    let web = service(&mut control, &web.id).await;
    let mut here = placed("web", 2, "node.hostname == m1");
    here.update = Some(api::UpdateConfig {
        monitor: Some(wire::convert::duration(Duration::from_millis(1))),
        ..Default::default()
    });
    update(&mut control, &web, here).await.unwrap();
    let settled = async {
        let mut last = pb::ServiceProgress::default();
        while let Some(progress) = stream.message().await.unwrap() {
            last = progress;
        }
        last
    };
    let last = soon("the end of the stream", settled).await;
    assert!(last.converged, "{last:?}");
    assert_eq!(last.tasks_up_to_date, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_every_node_has_not_converged_before_it_runs() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let mut watcher = cluster.first.cluster().await;
    let mut everywhere = spec("agent", 0);
    everywhere.mode = Some(api::service_spec::Mode::Global(api::GlobalService {}));
    let made = create(&mut control, everywhere).await.unwrap();
    let request = pb::WatchServiceRequest {
        service_id: made.id,
        until_settled: true,
        ..Default::default()
    };
    let mut stream = watcher.watch_service(request).await.unwrap().into_inner();
    let settled = async {
        let mut last = pb::ServiceProgress::default();
        while let Some(progress) = stream.message().await.unwrap() {
            last = progress;
        }
        last
    };
    let last = soon("the end of the stream", settled).await;
    assert_eq!((last.converged, last.tasks_running), (true, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_failed_when_its_last_attempt_has_and_not_before() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let mut watcher = cluster.first.cluster().await;
    let mut failing = spec("job", 1);
    let labels = &mut failing.annotations.as_mut().unwrap().labels;
    labels.insert("sim.run-ms".into(), "1".into());
    labels.insert("sim.exit-code".into(), "7".into());
    failing.task.as_mut().unwrap().restart = Some(api::RestartPolicy {
        condition: api::restart_policy::RestartCondition::OnFailure.into(),
        delay: Some(wire::convert::duration(Duration::from_millis(1))),
        max_attempts: 2,
        ..Default::default()
    });
    let made = create(&mut control, failing).await.unwrap();
    let request = pb::WatchServiceRequest {
        service_id: made.id.clone(),
        until_settled: true,
        ..Default::default()
    };
    let mut stream = watcher.watch_service(request).await.unwrap().into_inner();
    let settled = async {
        let mut last = pb::ServiceProgress::default();
        while let Some(progress) = stream.message().await.unwrap() {
            last = progress;
        }
        last
    };
    let last = soon("the end of the stream", settled).await;
    assert_eq!(
        last.phase(),
        pb::service_progress::Phase::Failed,
        "{last:?}"
    );
    assert_eq!(last.tasks_failed, 3, "the first attempt and two more");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_read_in_pages_without_gaps() {
    let cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let web = create(&mut control, spec("web", 25)).await.unwrap();
    let tasks = crate::support::running(&mut control, &web.id, 25).await;
    let mut client = cluster.first.cluster().await;
    let request = pb::StreamTasksRequest {
        page_size: 10,
        ..Default::default()
    };
    let mut stream = client.stream_tasks(request).await.unwrap().into_inner();
    let (mut ids, mut pages) = (Vec::new(), 0);
    while let Some(page) = stream.message().await.unwrap() {
        pages += 1;
        ids.extend(page.tasks.into_iter().map(|t| t.id));
    }
    let mut all: Vec<_> = tasks.into_iter().map(|t| t.id).collect();
    all.sort();
    assert_eq!((ids, pages), (all, 3));
    eventually("the status counts them", async || {
        let status = client.status(pb::StatusRequest {}).await.ok()?.into_inner();
        (status.counts?.tasks == 25).then_some(())
    })
    .await;
}
