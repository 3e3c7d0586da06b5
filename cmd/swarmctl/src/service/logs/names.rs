//! Whose a line is: `name.slot.id@node    | `.

use std::collections::BTreeMap;

use wire::api::{self, LogContext};

use crate::client::{Client, call};
use crate::error::Result;
use crate::resolve::Named;
use crate::show::rows::{Served, short};

/// How prefixes are shown.
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    /// With the id of the task.
    pub task_ids: bool,
    /// Ids are not shortened.
    pub whole_ids: bool,
    /// Ids are not turned into names.
    pub ids_only: bool,
}

/// Names that were looked up; what cannot be found is shown by its id.
pub struct Names {
    client: Client,
    services: BTreeMap<String, Option<Served>>,
    nodes: BTreeMap<String, String>,
    slots: BTreeMap<String, u64>,
    width: usize,
}

impl Names {
    /// Nothing is known.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            services: BTreeMap::new(),
            nodes: BTreeMap::new(),
            slots: BTreeMap::new(),
            width: 0,
        }
    }

    /// The beginning of a line; padded to the longest seen so far.
    pub async fn prefix(&mut self, context: &LogContext, how: Prefix) -> String {
        let id = |id: &str| {
            if how.whole_ids {
                id.to_owned()
            } else {
                short(id)
            }
        };
        let (task, node) = if how.ids_only {
            (id(&context.task_id), id(&context.node_id))
        } else {
            let slot = self.slot(&context.task_id).await;
            let service = self.service(&context.service_id).await;
            let node = self.node(&context.node_id).await;
            // Without its service a task does not say what its slot 0 is.
            let by_node = service.as_ref().map_or(slot == 0, |s| s.by_node);
            let place = match by_node {
                true => id(&context.node_id),
                false => slot.to_string(),
            };
            let service = service.map_or_else(|| short(&context.service_id), |s| s.name);
            let task = match how.task_ids {
                true => format!("{service}.{place}.{}", id(&context.task_id)),
                false => format!("{service}.{place}"),
            };
            (task, node)
        };
        let name = format!("{task}@{node}");
        self.width = self.width.max(name.chars().count());
        format!("{name:<0$}    | ", self.width)
    }

    /// 0 for a task that cannot be looked up.
    async fn slot(&mut self, id: &str) -> u64 {
        if let Some(slot) = self.slots.get(id) {
            return *slot;
        }
        let request = api::GetTaskRequest {
            task_id: id.to_owned(),
        };
        let answer = call("look up the task", self.client.control().get_task(request)).await;
        let Some(known) = settled(answer) else {
            return 0;
        };
        let slot = known.and_then(|a| a.task).map_or(0, |t| t.slot);
        self.slots.insert(id.to_owned(), slot);
        slot
    }

    async fn service(&mut self, id: &str) -> Option<Served> {
        if let Some(service) = self.services.get(id) {
            return service.clone();
        }
        let request = api::GetServiceRequest {
            service_id: id.to_owned(),
            ..<_>::default()
        };
        let answer = call(
            "look up the service",
            self.client.control().get_service(request),
        )
        .await;
        let service = settled(answer)?.and_then(|a| a.service);
        let service = service.as_ref().map(|s| Served::of(s, &[]));
        self.services.insert(id.to_owned(), service.clone());
        service
    }

    async fn node(&mut self, id: &str) -> String {
        if let Some(name) = self.nodes.get(id) {
            return name.clone();
        }
        let request = api::GetNodeRequest {
            node_id: id.to_owned(),
        };
        let answer = call("look up the node", self.client.control().get_node(request)).await;
        let Some(known) = settled(answer) else {
            return short(id);
        };
        let name = known.and_then(|a| a.node).map(|n| n.name().to_owned());
        let name = name.filter(|n| !n.is_empty()).unwrap_or_else(|| short(id));
        self.nodes.insert(id.to_owned(), name.clone());
        name
    }
}

/// What is known for good: the object, or that there is none. Nothing if nobody answers now.
fn settled<T>(answer: Result<T>) -> Option<Option<T>> {
    match answer {
        Ok(found) => Some(Some(found)),
        Err(error) if error.is_passing() => None,
        Err(_) => Some(None),
    }
}
