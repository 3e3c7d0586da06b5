//! Schedules, start order, and policies that cannot be carried out.

use types::node::{NodeDescription, NodeStatus};
use types::options::{Rebalance, Schedule};
use types::service::Protocol;
use types::{Availability, Node, NodeId, NodeSpec, NodeState, Task, TaskId, TaskState};

use super::*;

fn scheduled(cron: &str, edit: impl FnOnce(&mut Schedule)) -> ServiceSpec {
    let mut spec = good();
    spec.mode = ServiceMode::GlobalJob;
    let mut schedule = Schedule::of(cron);
    edit(&mut schedule);
    spec.options.schedule = Some(schedule);
    spec
}

fn depending(name: &str, on: &[&str]) -> ServiceSpec {
    let mut spec = good();
    spec.annotations.name = name.into();
    spec.options.depends_on = on.iter().map(|d| d.parse().unwrap()).collect();
    spec
}

fn texts(result: Result<(), Invalid>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn schedules_are_checked_by_path() {
    assert_eq!(service(&scheduled("*/5 * * * *", |_| {})), Ok(()));
    let cases = [
        (
            "every day",
            "options.schedule.cron: \"every day\" is not a cron expression",
        ),
        (
            "0 0 30 2 *",
            "options.schedule.cron: \"0 0 30 2 *\" never fires",
        ),
        ("0 0 31 4,6,9,11 *", "never fires: there is no such date"),
    ];
    for (cron, words) in cases {
        let text = texts(service(&scheduled(cron, |_| {})));
        assert!(text.contains(words), "{text}");
    }
    let zone = scheduled("@daily", |s| s.time_zone = "Mars/Olympus".into());
    refused(&zone, "options.schedule.time_zone");
    let history = scheduled("@daily", |s| s.history = 1_001);
    refused(&history, "options.schedule.history");
    let both = scheduled("now", |s| s.time_zone = "here".into());
    assert_eq!(
        paths(service(&both)).len(),
        2,
        "each is told by its own path"
    );
}

#[test]
fn only_jobs_have_schedules_and_jobs_have_no_progress_deadline() {
    for mode in [ServiceMode::Replicated { replicas: 1 }, ServiceMode::Global] {
        let mut spec = scheduled("@hourly", |_| {});
        spec.mode = mode;
        let text = texts(service(&spec));
        assert!(
            text.contains("this is a") && text.contains("use mode replicated-job"),
            "{text}"
        );
        refused(&spec, "options.schedule");
    }
    let mut spec = scheduled("@hourly", |_| {});
    spec.options.progress_deadline = Some(Duration::from_secs(9));
    refused(&spec, "options.progress_deadline");
    spec.options.rebalance = Rebalance::default();
}

#[test]
fn a_schedule_whose_year_is_over_is_refused_when_it_is_asked_for() {
    let view = applied(vec![]);
    let spec = scheduled("0 1 0 1 1 * 1970", |_| {});
    assert_eq!(service(&spec), Ok(()), "it did fire once");
    let found = service_refs(&view, None, &spec);
    assert_eq!(paths(found), ["options.schedule.cron"]);
    let later = scheduled("0 0 0 1 1 * 1971", |_| {});
    assert_eq!(service_refs(&view, None, &later), Ok(()));
}

#[test]
fn names_to_wait_for_are_checked_by_path() {
    assert_eq!(
        service(&depending("web", &["db", "migrate:completed"])),
        Ok(())
    );
    for on in [
        &["web"][..],
        &["WEB"],
        &["db", "DB:completed"],
        &["no name"],
        &["-"],
    ] {
        let spec = depending("web", on);
        let at = on.len() - 1;
        refused(&spec, &format!("options.depends_on[{at}]"));
    }
    let many: Vec<String> = (0..65).map(|n| format!("s{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    refused(&depending("web", &many), "options.depends_on");
}

fn declared(specs: Vec<ServiceSpec>) -> State {
    let mut entropy = SeededEntropy::new(5);
    let create = |spec: ServiceSpec| {
        Action::Create(Object::from(Service {
            id: ServiceId::random(&mut entropy),
            ..plain_service(spec)
        }))
    };
    applied(specs.into_iter().map(create).collect())
}

fn plain_service(spec: ServiceSpec) -> Service {
    Service::new(ServiceId::MIN, spec)
}

fn applied(actions: Vec<Action>) -> State {
    let mut state = State::default();
    let tx = Transaction {
        digest: None,
        version: 1,
        at: Timestamp::from_secs(100),
        actions,
    };
    state.apply(&tx).unwrap();
    state
}

#[test]
fn services_that_would_wait_for_one_another_are_refused_with_the_circle() {
    let view = declared(vec![
        depending("db", &["cache"]),
        depending("cache", &["x", "web"]),
    ]);
    let found = service_refs(&view, None, &depending("web", &["other", "db"]));
    let text = texts(found.clone());
    assert_eq!(paths(found), ["options.depends_on[1]"]);
    assert!(
        text.contains("for ever: web -> db -> cache -> web"),
        "{text}"
    );
    let fine = depending("front", &["db", "cache"]);
    assert_eq!(
        service_refs(&view, None, &fine),
        Ok(()),
        "a diamond is no circle"
    );
}

#[test]
fn a_circle_among_others_does_not_catch_whoever_waits_for_one_of_them() {
    let view = declared(vec![depending("a", &["b"]), depending("b", &["a"])]);
    assert_eq!(service_refs(&view, None, &depending("web", &["a"])), Ok(()));
}

#[test]
fn services_in_any_order_are_allowed_and_a_condition_that_cannot_be_met_is_not() {
    let view = declared(vec![scheduled_as("migrate"), depending("db", &[])]);
    assert_eq!(
        service_refs(&view, None, &depending("web", &["unknown"])),
        Ok(())
    );
    let found = service_refs(&view, None, &depending("web", &["migrate", "db:completed"]));
    let text = texts(found.clone());
    assert_eq!(paths(found).len(), 2);
    assert!(
        text.contains("is a job and never healthy: write migrate:completed"),
        "{text}"
    );
    assert!(
        text.contains("is not a job and never completed: write db:healthy"),
        "{text}"
    );
}

fn scheduled_as(name: &str) -> ServiceSpec {
    let mut spec = scheduled("@daily", |_| {});
    spec.annotations.name = name.into();
    spec
}

/// A cluster of nodes with so much memory in GiB each, and what else there is.
fn cluster(memory_gib: &[i64], edit: impl Fn(usize, &mut Node)) -> State {
    let mut entropy = SeededEntropy::new(9);
    let node = |(at, gib): (usize, &i64)| {
        let mut node = Node {
            description: Some(Arc::new(NodeDescription {
                hostname: format!("m{at}"),
                resources: Resources {
                    memory_bytes: gib << 30,
                    ..Resources::default()
                },
                ..NodeDescription::default()
            })),
            status: NodeStatus {
                state: NodeState::Ready,
                ..NodeStatus::default()
            },
            ..Node::new(NodeId::random(&mut entropy), NodeSpec::default())
        };
        edit(at, &mut node);
        Action::Create(Object::from(node))
    };
    applied(memory_gib.iter().enumerate().map(node).collect())
}

fn start_first(replicas: u64, edit: impl FnOnce(&mut ServiceSpec)) -> ServiceSpec {
    let mut spec = good();
    spec.mode = ServiceMode::Replicated { replicas };
    spec.update = Some(UpdateConfig {
        order: UpdateOrder::StartFirst,
        ..UpdateConfig::default()
    });
    edit(&mut spec);
    spec
}

fn host_port(spec: &mut ServiceSpec) {
    spec.endpoint = ports(vec![port(80, 8080, PublishMode::Host)]).endpoint;
}

fn impossible_paths(view: &State, spec: &ServiceSpec) -> Vec<String> {
    let found = impossible(view, None, spec);
    found.into_iter().map(|p| p.path).collect()
}

#[test]
fn start_first_is_refused_where_every_node_has_the_fixed_port_already() {
    let view = cluster(&[1, 1, 1], |_, _| {});
    for (replicas, fits) in [(0, true), (1, true), (2, true), (3, false), (9, false)] {
        let spec = start_first(replicas, host_port);
        assert_eq!(
            impossible_paths(&view, &spec).is_empty(),
            fits,
            "{replicas}"
        );
    }
    let text = impossible(&view, None, &start_first(3, host_port))[0].to_string();
    assert_eq!(
        text,
        "update.order: start-first needs room for one task beside the 3 replicas, and the 3 nodes \
         that fit take 3 at most (port 8080 is there once per node): use stop-first, fewer \
         replicas or more nodes"
    );
    let stop_first = start_first(3, |s| {
        host_port(s);
        s.rollback = s.update.take();
    });
    assert_eq!(impossible_paths(&view, &stop_first), ["rollback.order"]);
    let any_port = start_first(3, |s| {
        s.endpoint = ports(vec![port(80, 0, PublishMode::Host)]).endpoint;
    });
    assert!(impossible_paths(&view, &any_port).is_empty());
}

#[test]
fn nodes_that_do_not_fit_do_not_count_and_nodes_that_are_down_do() {
    let spec = start_first(2, |s| {
        host_port(s);
        s.task.placement.get_or_insert_default().constraints = vec!["node.labels.a==b".into()];
    });
    let labelled = |count: usize| {
        cluster(&[1, 1, 1, 1], move |at, node| {
            if at < count {
                node.spec.annotations.labels.insert("a".into(), "b".into());
                node.status.state = NodeState::Down;
            }
        })
    };
    assert!(impossible_paths(&labelled(3), &spec).is_empty());
    assert_eq!(impossible_paths(&labelled(2), &spec), ["update.order"]);
    assert!(
        impossible_paths(&labelled(0), &spec).is_empty(),
        "there may be one yet"
    );
    assert_eq!(
        doubtful(&labelled(0), None, &spec)[0].path,
        "task.placement"
    );
    let drained = cluster(&[1, 1, 1], |at, node| {
        if at == 0 {
            node.spec.availability = Availability::Drain;
        }
    });
    assert_eq!(
        impossible_paths(&drained, &start_first(2, host_port)),
        ["update.order"]
    );
}

#[test]
fn a_port_that_another_service_holds_leaves_no_room_on_its_node() {
    let mut view = cluster(&[1, 1, 1], |_, _| {});
    let other = ServiceId::random(&mut SeededEntropy::new(4));
    let mut spec = good();
    spec.annotations.name = "squid".into();
    host_port(&mut spec);
    let task = Task {
        spec_version: Some(0),
        service_id: Some(other),
        node_id: view.nodes().iter().next().map(|n| n.id),
        status: types::TaskStatus {
            state: TaskState::Running,
            ..types::TaskStatus::default()
        },
        ..Task::new(TaskId::MIN, spec.clone())
    };
    let tx = Transaction {
        digest: None,
        version: 2,
        at: Timestamp::from_secs(101),
        actions: vec![Action::Create(Object::from(task))],
    };
    view.apply(&tx).unwrap();
    let web = start_first(2, host_port);
    let found = impossible(&view, None, &web);
    assert!(
        found[0].text.contains("belongs to service squid"),
        "{}",
        found[0]
    );
    assert!(
        impossible(&view, Some(other), &web).is_empty(),
        "its own do not count"
    );
    let udp = start_first(2, |s| {
        host_port(s);
        s.endpoint.as_mut().unwrap().ports[0].protocol = Protocol::Udp;
    });
    assert!(impossible(&view, None, &udp).is_empty());
}

#[test]
fn resources_and_the_limit_per_node_set_the_room_too() {
    let view = cluster(&[4, 2], |_, _| {});
    let reserve = |gib: i64| {
        move |s: &mut ServiceSpec| {
            s.task.resources.reservations = Some(Resources {
                memory_bytes: gib << 30,
                ..Resources::default()
            });
        }
    };
    let limit = |s: &mut ServiceSpec| s.task.placement.get_or_insert_default().max_replicas = 2;
    assert!(impossible_paths(&view, &start_first(5, reserve(1))).is_empty());
    assert_eq!(
        impossible_paths(&view, &start_first(6, reserve(1))),
        ["update.order"]
    );
    assert!(impossible_paths(&view, &start_first(3, limit)).is_empty());
    assert_eq!(
        impossible_paths(&view, &start_first(4, limit)),
        ["update.order"]
    );
    let mut gpu = start_first(1, |_| {});
    gpu.task.resources = resources(0, 0, vec![discrete("gpu", 1)]).task.resources;
    let text = impossible(&view, None, &gpu)[0].to_string();
    assert!(
        text.contains("take 0 at most (each task reserves gpu)"),
        "{text}"
    );
    let mut global = start_first(0, reserve(2));
    global.mode = ServiceMode::Global;
    let text = impossible(&view, None, &global)[0].to_string();
    assert!(
        text.contains("node m1 has none (each task reserves memory)"),
        "{text}"
    );
}

#[test]
fn more_replicas_than_there_is_room_for_are_warned_about() {
    let view = cluster(&[1, 1, 1], |_, _| {});
    let mut spec = good();
    spec.mode = ServiceMode::Replicated { replicas: 7 };
    assert!(doubtful(&view, None, &spec).is_empty());
    spec.task.placement.get_or_insert_default().max_replicas = 2;
    let text = doubtful(&view, None, &spec)[0].to_string();
    assert_eq!(
        text,
        "mode: 7 tasks are asked for and the 3 nodes that fit take 6 at most (at most 2 tasks \
         per node are allowed): the others wait"
    );
    spec.mode = ServiceMode::Replicated { replicas: 6 };
    assert!(doubtful(&view, None, &spec).is_empty());
}

#[test]
fn a_progress_deadline_that_the_stop_of_the_old_task_can_use_up_is_warned_about() {
    let view = State::default();
    let mut spec = good();
    for (secs, warned) in [(0, false), (10, true), (11, false)] {
        spec.options.progress_deadline = Some(Duration::from_secs(secs));
        assert_eq!(!doubtful(&view, None, &spec).is_empty(), warned, "{secs}");
    }
    spec.options.progress_deadline = Some(Duration::from_secs(5));
    spec.update = start_first(1, |_| {}).update;
    assert!(
        doubtful(&view, None, &spec).is_empty(),
        "the new one starts first"
    );
}

#[test]
fn a_global_service_with_a_fixed_port_never_starts_first() {
    let mut spec = start_first(0, host_port);
    spec.mode = ServiceMode::Global;
    refused(&spec, "update.order");
    spec.rollback = spec.update.take();
    refused(&spec, "rollback.order");
}

#[test]
fn what_was_impossible_before_does_not_stand_in_the_way_of_other_changes() {
    let view = cluster(&[1, 1], |_, _| {});
    let spec = start_first(2, host_port);
    assert_eq!(
        paths(service_policies(&view, None, &spec)),
        ["update.order"]
    );
    let old = plain_service(spec.clone());
    let mut labelled = spec.clone();
    labelled.annotations.labels.insert("a".into(), "b".into());
    assert_eq!(service_policies(&view, Some(&old), &labelled), Ok(()));
    let mut image = spec.clone();
    image.task.force_update += 1;
    assert_eq!(
        paths(service_policies(&view, Some(&old), &image)),
        ["update.order"]
    );
    let mut fewer = spec;
    fewer.mode = ServiceMode::Replicated { replicas: 1 };
    assert_eq!(service_policies(&view, Some(&old), &fewer), Ok(()));
}
