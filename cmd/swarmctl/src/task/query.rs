//! Reading tasks page by page, with Docker's filters.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use wire::api::{self, Task, TaskState};
use wire::swarm::v1::StreamTasksRequest;

use crate::client::{Client, call, lost};
use crate::error::{CliError, Result};
use crate::out;
use crate::out::human;
use crate::out::listing::ListArgs;
use crate::parse::filter::Filters;
use crate::resolve::{self, Named};
use crate::show::rows::{self, Served, View};

const FILTERS: [&str; 7] = [
    "id",
    "name",
    "label",
    "node",
    "service",
    "desired-state",
    "up-to-date",
];

/// Flags of every command that lists tasks.
#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    pub list: ListArgs,
    /// Do not turn ids into names
    #[arg(long)]
    pub no_resolve: bool,
}

/// Which tasks are wanted.
pub struct Query {
    /// What the manager filters by.
    pub filters: api::list_tasks_request::Filters,
    /// Beginnings of names as tables show them, which the manager does not know.
    names: Vec<String>,
    outdated_only: bool,
}

impl Query {
    /// Reads the filters of a command line.
    ///
    /// # Errors
    /// If a filter makes no sense or names something that does not exist.
    pub async fn new(client: &Client, args: &QueryArgs) -> Result<Self> {
        let given = Filters::parse(&args.list.filter, &FILTERS)?;
        let mut filters = api::list_tasks_request::Filters {
            id_prefixes: given.get("id").to_vec(),
            labels: given.labels("label")?,
            desired_states: given.each("desired-state", |name| {
                let known = types::TaskState::from_name(&name.to_lowercase())?;
                TaskState::try_from(known.number()).ok().map(i32::from)
            })?,
            ..Default::default()
        };
        for name in given.get("node") {
            filters.node_ids.push(resolve::node(client, name).await?.id);
        }
        for name in given.get("service") {
            filters
                .service_ids
                .push(resolve::service(client, name).await?.id);
        }
        let up_to_date = given.each("up-to-date", |text| text.parse::<bool>().ok())?;
        filters.up_to_date = up_to_date == [true];
        Ok(Self {
            filters,
            names: given.get("name").to_vec(),
            outdated_only: up_to_date == [false],
        })
    }

    /// Prints the tasks.
    ///
    /// # Errors
    /// If the cluster cannot be asked or the format makes no sense.
    pub async fn print(&self, client: &Client, args: &QueryArgs) -> Result<()> {
        let mut tasks = stream(client, &self.filters, args.list.quiet).await?;
        if self.outdated_only {
            let current = api::list_tasks_request::Filters {
                up_to_date: true,
                ..self.filters.clone()
            };
            let current = stream(client, &current, true).await?;
            let current: BTreeSet<_> = current.into_iter().map(|t| t.id).collect();
            tasks.retain(|t| !current.contains(&t.id));
        }
        let quiet = args.list.quiet || args.no_resolve;
        let (services, nodes) = if quiet {
            <_>::default()
        } else {
            (services(client, &tasks).await?, nodes(client).await?)
        };
        let view = View {
            services,
            nodes,
            no_trunc: args.list.no_trunc,
            now: human::now(),
        };
        let mut listing = rows::listing(tasks, &view);
        if !self.names.is_empty() {
            listing.rows.retain(|row| {
                let name = row.get("Name").and_then(|n| n.as_str()).unwrap_or_default();
                let name = name.trim_start_matches(" \\_ ");
                self.names
                    .iter()
                    .any(|prefix| name.starts_with(prefix.as_str()))
            });
        }
        out::print(&listing.render(&args.list)?)
    }
}

/// All tasks that pass the filters; a `summary` leaves their specs out.
///
/// # Errors
/// If the cluster cannot be asked.
pub async fn stream(
    client: &Client,
    filters: &api::list_tasks_request::Filters,
    summary: bool,
) -> Result<Vec<Task>> {
    const ATTEMPT: &str = "list the tasks";
    let request = StreamTasksRequest {
        filters: Some(filters.clone()),
        summary,
        ..<_>::default()
    };
    let mut pages = call(ATTEMPT, client.cluster().stream_tasks(request)).await?;
    let mut tasks = Vec::new();
    loop {
        match pages.message().await {
            Ok(Some(page)) => tasks.extend(page.tasks),
            Ok(None) => return Ok(tasks),
            Err(status) => return Err(CliError::call(ATTEMPT, &lost(status))),
        }
    }
}

async fn services(client: &Client, tasks: &[Task]) -> Result<BTreeMap<String, Served>> {
    let request = api::ListServicesRequest::default();
    let listed = call("list the services", client.control().list_services(request)).await?;
    Ok(listed
        .services
        .into_iter()
        .map(|s| (s.id.clone(), Served::of(&s, tasks)))
        .collect())
}

async fn nodes(client: &Client) -> Result<BTreeMap<String, String>> {
    let request = api::ListNodesRequest::default();
    let listed = call("list the nodes", client.control().list_nodes(request)).await?;
    Ok(listed
        .nodes
        .into_iter()
        .map(|n| (n.id.clone(), n.name().to_owned()))
        .collect())
}
