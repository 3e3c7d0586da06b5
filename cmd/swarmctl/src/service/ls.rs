//! `service ls`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use types::Timestamp;
use wire::api::list_service_statuses_response::ServiceStatus;
use wire::api::service_spec::Mode;
use wire::api::task_spec::Runtime;
use wire::api::{self, Service};

use crate::client::{Client, call};
use crate::error::Result;
use crate::out::listing::{ListArgs, Listing, Row};
use crate::out::{self, human};
use crate::parse::filter::Filters;
use crate::parse::port;
use crate::resolve::Named;
use crate::show::rows::short;
use crate::spec::{mode, options};

/// Flags of `service ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListArgs,
}

/// Lists the services.
///
/// # Errors
/// If a filter or the format makes no sense, or the cluster cannot be asked.
pub async fn run(client: &Client, args: &LsArgs) -> Result<()> {
    let filters = Filters::parse(&args.list.filter, &["id", "name", "label", "mode"])?;
    let request = api::ListServicesRequest {
        filters: Some(api::list_services_request::Filters {
            id_prefixes: filters.get("id").to_vec(),
            name_prefixes: filters.get("name").to_vec(),
            labels: filters.labels("label")?,
            ..Default::default()
        }),
    };
    let listed = call("list the services", client.control().list_services(request)).await?;
    let mut services = listed.services;
    let modes = filters.get("mode");
    services.retain(|s| modes.is_empty() || modes.iter().any(|m| m == mode_name(s)));
    services.sort_by(|a, b| (a.name(), &a.id).cmp(&(b.name(), &b.id)));
    let ids = services.iter().map(|s| s.id.clone()).collect();
    let request = api::ListServiceStatusesRequest { services: ids };
    let counted = call(
        "count the tasks",
        client.control().list_service_statuses(request),
    )
    .await?;
    let counts: BTreeMap<_, _> = counted
        .statuses
        .into_iter()
        .map(|s| (s.service_id.clone(), s))
        .collect();
    out::print(&listing(&services, &counts, args.list.no_trunc).render(&args.list)?)
}

fn mode_name(service: &Service) -> &'static str {
    mode::name(service.spec.as_ref().and_then(|s| s.mode.as_ref()))
}

fn listing(
    services: &[Service],
    counts: &BTreeMap<String, ServiceStatus>,
    no_trunc: bool,
) -> Listing {
    let (none, now) = (ServiceStatus::default(), human::now());
    let row = |service: &Service| {
        let ports = service.endpoint.as_ref().map_or(&[][..], |e| &e.ports);
        let ports: Vec<_> = ports.iter().map(port::shown).collect();
        let labels = service.spec.as_ref().map(|s| options::read(s).1);
        let labels: Vec<_> = labels
            .iter()
            .flatten()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let id = if no_trunc {
            service.id.clone()
        } else {
            short(&service.id)
        };
        let mut row = Row::new();
        row.insert("ID".into(), id.into());
        row.insert("Name".into(), service.name().into());
        row.insert("Mode".into(), mode_name(service).into());
        let status = counts.get(&service.id).unwrap_or(&none);
        let next = options::next_run(service, now);
        let replicas = with_next_run(replicas(service, status), next, now);
        row.insert("Replicas".into(), replicas.into());
        row.insert("Image".into(), image(service, no_trunc).into());
        row.insert("Ports".into(), json!(ports.join(", ")));
        row.insert("Labels".into(), json!(labels.join(",")));
        row
    };
    Listing {
        columns: &[
            ("ID", "ID"),
            ("Name", "NAME"),
            ("Mode", "MODE"),
            ("Replicas", "REPLICAS"),
            ("Image", "IMAGE"),
            ("Ports", "PORTS"),
        ],
        extra: &[("Labels", "LABELS")],
        table: None,
        rows: services.iter().map(row).collect(),
    }
}

fn replicas(service: &Service, status: &ServiceStatus) -> String {
    let spec = service.spec.as_ref();
    let (running, desired) = (status.running_tasks, status.desired_tasks);
    let placement = spec.and_then(|s| s.task.as_ref()?.placement.as_ref());
    let most = placement.map_or(0, |p| p.max_replicas);
    match spec.and_then(|s| s.mode.as_ref()) {
        Some(Mode::ReplicatedJob(job)) => {
            let (completed, total) = (status.completed_tasks, job.total_completions);
            format!("{running}/{desired} ({completed}/{total} completed)")
        }
        Some(Mode::GlobalJob(_)) => {
            let (completed, total) = (status.completed_tasks, desired + status.completed_tasks);
            format!("{running}/{desired} ({completed}/{total} completed)")
        }
        Some(Mode::Replicated(_)) if most > 0 => {
            format!("{running}/{desired} (max {most} per node)")
        }
        _ => format!("{running}/{desired}"),
    }
}

/// Adds when a schedule is due next.
fn with_next_run(replicas: String, next: Option<Timestamp>, now: Timestamp) -> String {
    let Some(next) = next else {
        return replicas;
    };
    let left = human::duration(next.since(now)).to_lowercase();
    match replicas.strip_suffix(')') {
        Some(open) => format!("{open}, next run in {left})"),
        None => format!("{replicas} (next run in {left})"),
    }
}

fn image(service: &Service, no_trunc: bool) -> String {
    let task = service.spec.as_ref().and_then(|s| s.task.as_ref());
    match task.and_then(|t| t.runtime.as_ref()) {
        Some(Runtime::Container(container)) if no_trunc => container.image.clone(),
        Some(Runtime::Container(container)) => container
            .image
            .split('@')
            .next()
            .unwrap_or_default()
            .to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use wire::api::*;

    use super::*;

    fn service(name: &str, mode: Mode) -> Service {
        let container = ContainerSpec {
            image: "nginx:1@sha256:aa".into(),
            ..ContainerSpec::default()
        };
        let runtime = Some(Runtime::Container(container));
        Service {
            id: "0123456789abcdefghijklmno".into(),
            spec: Some(ServiceSpec {
                annotations: Some(Annotations {
                    name: name.into(),
                    ..<_>::default()
                }),
                task: Some(TaskSpec {
                    runtime,
                    ..<_>::default()
                }),
                mode: Some(mode),
                ..<_>::default()
            }),
            endpoint: Some(Endpoint {
                ports: vec![PortConfig {
                    published_port: 8080,
                    target_port: 80,
                    ..<_>::default()
                }],
                ..<_>::default()
            }),
            ..<_>::default()
        }
    }

    #[test]
    fn the_table_has_dockers_columns() {
        let services = [service(
            "web",
            Mode::Replicated(ReplicatedService { replicas: 3 }),
        )];
        let counts = [(
            services[0].id.clone(),
            ServiceStatus {
                running_tasks: 2,
                desired_tasks: 3,
                ..<_>::default()
            },
        )];
        let text = listing(&services, &counts.into(), false).render(&ListArgs::default());
        assert_eq!(
            text.unwrap(),
            "ID             NAME   MODE         REPLICAS   IMAGE     PORTS\n\
             0123456789ab   web    replicated   2/3        nginx:1   *:8080->80/tcp\n"
        );
    }

    #[test]
    fn a_schedule_shows_when_it_is_due_next() {
        let now = Timestamp::from_secs(600);
        let next = Some(Timestamp::from_secs(840));
        let shown = |text: &str| with_next_run(text.to_owned(), next, now);
        assert_eq!(
            shown("0/1 (1/1 completed)"),
            "0/1 (1/1 completed, next run in 4 minutes)"
        );
        assert_eq!(with_next_run("0/1".into(), None, now), "0/1");
    }

    #[test]
    fn jobs_show_completions() {
        let job = ReplicatedJob {
            max_concurrent: 2,
            total_completions: 5,
        };
        let status = ServiceStatus {
            running_tasks: 1,
            desired_tasks: 2,
            completed_tasks: 3,
            ..<_>::default()
        };
        let text = replicas(&service("job", Mode::ReplicatedJob(job)), &status);
        assert_eq!(text, "1/2 (3/5 completed)");
    }
}
