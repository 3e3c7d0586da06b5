//! Objects by id, by name, or by the beginning of an id that only one has.

use wire::api;

use crate::client::{Client, call};
use crate::error::{CliError, Result};

/// Candidates named when a name is not unique.
const CANDIDATES_SHOWN_MAX: usize = 10;

/// What objects of one kind are found by.
pub trait Named {
    /// What users call the kind.
    const KIND: &'static str;
    /// Id.
    fn id(&self) -> &str;
    /// Name.
    fn name(&self) -> &str;
}

macro_rules! named {
    ($type:ty, $kind:literal, $name:expr) => {
        impl Named for $type {
            const KIND: &'static str = $kind;
            fn id(&self) -> &str {
                &self.id
            }
            fn name(&self) -> &str {
                let name: fn(&$type) -> Option<&String> = $name;
                name(self).map_or("", String::as_str)
            }
        }
    };
}

macro_rules! annotated {
    ($type:ty, $kind:literal) => {
        named!($type, $kind, |o| Some(
            &o.spec.as_ref()?.annotations.as_ref()?.name
        ));
    };
}

annotated!(api::Service, "service");
annotated!(api::Secret, "secret");
annotated!(api::Config, "config");
annotated!(api::Network, "network");
named!(api::Node, "node", |o| Some(
    &o.description.as_ref()?.hostname
));
named!(api::Task, "task", |o| Some(&o.annotations.as_ref()?.name));

/// The one object that `wanted` means: an id before a name before the beginning of an id.
///
/// # Errors
/// If there is none, or several: then they are listed.
pub fn choose<T: Named>(wanted: &str, mut found: Vec<T>) -> Result<T> {
    let ways: [&dyn Fn(&T) -> bool; 4] = [
        &|o| o.id() == wanted,
        &|o| o.name() == wanted,
        &|o| o.name().eq_ignore_ascii_case(wanted),
        &|o| !wanted.is_empty() && o.id().starts_with(wanted),
    ];
    for way in ways {
        let matching: Vec<_> = (0..found.len()).filter(|at| way(&found[*at])).collect();
        match matching[..] {
            [] => {}
            [only] => return Ok(found.swap_remove(only)),
            _ => return Err(ambiguous(wanted, matching.iter().map(|at| &found[*at]))),
        }
    }
    Err(CliError::NoSuch {
        kind: T::KIND,
        wanted: wanted.to_owned(),
    })
}

fn ambiguous<'a, T: Named + 'a>(wanted: &str, found: impl Iterator<Item = &'a T>) -> CliError {
    let mut shown: Vec<_> = found
        .map(|o| format!("{} ({})", o.id(), o.name()))
        .collect();
    let count = shown.len();
    shown.truncate(CANDIDATES_SHOWN_MAX);
    let more = if count > shown.len() { ", …" } else { "" };
    CliError::Failed(format!(
        "{} {wanted} is ambiguous ({count} matches): {}{more}; use an id",
        T::KIND,
        shown.join(", "),
    ))
}

macro_rules! lookup {
    (
        $(#[$doc:meta])* $name:ident, $type:ty, $list:ident, $request:ident, $filters:ident,
        $field:ident $(, $unset:ident)?
    ) => {
        $(#[$doc])*
        pub async fn $name(client: &Client, wanted: &str) -> Result<$type> {
            use api::$filters::Filters;
            let attempt = format!("look up {} {wanted}", <$type>::KIND);
            let mut found = Vec::new();
            for filters in [
                Filters { names: vec![wanted.to_owned()], ..Filters::default() },
                Filters { id_prefixes: vec![wanted.to_owned()], ..Filters::default() },
            ] {
                let request = api::$request { filters: Some(filters) $(, $unset: None)? };
                let listed = call(&attempt, client.control().$list(request)).await?.$field;
                found.extend(listed);
            }
            found.sort_by(|a, b| a.id.cmp(&b.id));
            found.dedup_by(|a, b| a.id == b.id);
            choose(wanted, found)
        }
    };
}

lookup!(
    /// A service.
    ///
    /// # Errors
    /// If there is none or several.
    service, api::Service, list_services, ListServicesRequest, list_services_request, services
);
lookup!(
    /// A secret.
    ///
    /// # Errors
    /// If there is none or several.
    secret, api::Secret, list_secrets, ListSecretsRequest, list_secrets_request, secrets
);
lookup!(
    /// A config.
    ///
    /// # Errors
    /// If there is none or several.
    config, api::Config, list_configs, ListConfigsRequest, list_configs_request, configs
);
lookup!(
    /// A network.
    ///
    /// # Errors
    /// If there is none or several.
    network, api::Network, list_networks, ListNetworksRequest, list_networks_request, networks,
    appdata
);
lookup!(
    other_node,
    api::Node,
    list_nodes,
    ListNodesRequest,
    list_nodes_request,
    nodes
);

/// A node by host name or id; `self` is the one whose manager answers.
///
/// # Errors
/// If there is none or several.
pub async fn node(client: &Client, wanted: &str) -> Result<api::Node> {
    if wanted != "self" {
        return other_node(client, wanted).await;
    }
    let request = wire::swarm::v1::StatusRequest {};
    let status = call(
        "find out which node this is",
        client.cluster().status(request),
    )
    .await?;
    other_node(client, &status.node_id).await
}

/// A task by id or beginning of it, or as `SERVICE.SLOT` for the newest task of a slot.
///
/// # Errors
/// If there is none or several.
pub async fn task(client: &Client, wanted: &str) -> Result<api::Task> {
    let filters = api::list_tasks_request::Filters {
        id_prefixes: vec![wanted.rsplit('.').next().unwrap_or(wanted).to_owned()],
        ..Default::default()
    };
    let attempt = format!("look up task {wanted}");
    let request = api::ListTasksRequest {
        filters: Some(filters),
    };
    let found = call(&attempt, client.control().list_tasks(request))
        .await?
        .tasks;
    let slot = wanted
        .rsplit_once('.')
        .and_then(|(s, n)| Some((s, n.parse::<u64>().ok()?)));
    match slot {
        Some((name, slot)) if !name.contains('.') => newest_of_slot(client, name, slot).await,
        _ => choose(wanted.rsplit('.').next().unwrap_or(wanted), found),
    }
}

async fn newest_of_slot(client: &Client, name: &str, slot: u64) -> Result<api::Task> {
    let service = service(client, name).await?;
    let filters = api::list_tasks_request::Filters {
        service_ids: vec![service.id],
        ..Default::default()
    };
    let request = api::ListTasksRequest {
        filters: Some(filters),
    };
    let tasks = call("list the tasks", client.control().list_tasks(request))
        .await?
        .tasks;
    let of_slot = tasks.into_iter().filter(|t| t.slot == slot);
    let newest = of_slot.max_by_key(|t| {
        let created = t.meta.as_ref().and_then(|m| m.created_at);
        created.map(|at| (at.seconds, at.nanos))
    });
    newest.ok_or_else(|| CliError::Failed(format!("service {name} has no task in slot {slot}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(pairs: &[(&str, &str)]) -> Vec<api::Service> {
        let service = |(id, name): &(&str, &str)| api::Service {
            id: (*id).into(),
            spec: Some(api::ServiceSpec {
                annotations: Some(api::Annotations {
                    name: (*name).into(),
                    ..<_>::default()
                }),
                ..<_>::default()
            }),
            ..<_>::default()
        };
        pairs.iter().map(service).collect()
    }

    #[test]
    fn ids_come_before_names_and_names_before_beginnings_of_ids() {
        let all = [("abc1", "web"), ("abc2", "abc1"), ("web9", "db")];
        assert_eq!(choose("abc1", services(&all)).unwrap().name(), "web");
        assert_eq!(choose("web", services(&all)).unwrap().id(), "abc1");
        assert_eq!(choose("web9", services(&all)).unwrap().name(), "db");
        assert_eq!(choose("w", services(&all)).unwrap().id(), "web9");
        assert_eq!(choose("DB", services(&all)).unwrap().id(), "web9");
    }

    #[test]
    fn several_candidates_are_listed() {
        let error = choose("abc", services(&[("abc1", "web"), ("abc2", "db")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "service abc is ambiguous (2 matches): abc1 (web), abc2 (db); use an id"
        );
        let error = choose("x", services(&[])).unwrap_err();
        assert_eq!(error.to_string(), "no such service: x");
    }
}
