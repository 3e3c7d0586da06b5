//! The watch API: committed changes as a stream, from now on or from a version.
//!
//! The first message is empty and says that the watch stands; then there is one message for
//! each transaction that has matching changes. A watcher that falls behind is ended with
//! `out of range` and has to list and watch again.

use std::sync::Arc;

use store::{Change, Commit, Diff, Kind, Resume};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::api;
use wire::api::object::Object as Shown;

use crate::ledger::{Cursor, Ledger, News};

/// Messages waiting for a watcher before it holds up its own cursor.
const WATCH_QUEUE: usize = 16;

/// Serves watches.
#[derive(Clone)]
pub struct WatchApi {
    ledger: Arc<Ledger>,
}

impl WatchApi {
    /// Serves watches of a manager's tables.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

/// What a watcher asked for, ready to match.
struct Interest {
    entries: Vec<(Option<Kind>, i32, Vec<api::select_by::By>)>,
    include_old: bool,
}

impl Interest {
    fn new(request: api::WatchRequest) -> Result<Self, Status> {
        let entry = |entry: api::watch_request::WatchEntry| {
            let kind = match entry.kind.as_str() {
                "" => None,
                name => Some(kind_of(name)?),
            };
            let filters = entry.filters.into_iter().filter_map(|f| f.by).collect();
            Ok::<_, Status>((kind, entry.action, filters))
        };
        let entries = request
            .entries
            .into_iter()
            .map(entry)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            entries,
            include_old: request.include_old_object,
        })
    }

    fn event(&self, change: &Change) -> Option<api::watch_message::Event> {
        let action = action_of(change);
        let wanted = |(kind, actions, filters): &(Option<Kind>, i32, Vec<_>)| {
            kind.is_none_or(|k| k == change.kind())
                && (*actions == 0 || *actions & action as i32 != 0)
                && filters.iter().all(|by| selects(by, change))
        };
        if !self.entries.is_empty() && !self.entries.iter().any(wanted) {
            return None;
        }
        let (old, new) = shown(change);
        let latest = new.or_else(|| old.clone())?;
        Some(api::watch_message::Event {
            action: action.into(),
            object: Some(api::Object {
                object: Some(latest),
            }),
            old_object: old
                .filter(|_| self.include_old)
                .map(|o| api::Object { object: Some(o) }),
        })
    }

    fn message(&self, commit: &Commit) -> Option<api::WatchMessage> {
        let events: Vec<_> = commit
            .changes
            .iter()
            .filter_map(|c| self.event(c))
            .collect();
        let version = Some(api::Version {
            index: commit.version,
        });
        (!events.is_empty()).then_some(api::WatchMessage { events, version })
    }
}

fn kind_of(name: &str) -> Result<Kind, Status> {
    const KINDS: [Kind; 10] = [
        Kind::Cluster,
        Kind::Node,
        Kind::Service,
        Kind::Task,
        Kind::Network,
        Kind::Secret,
        Kind::Config,
        Kind::Volume,
        Kind::Extension,
        Kind::Resource,
    ];
    KINDS
        .into_iter()
        .find(|k| k.name() == name)
        .ok_or_else(|| Status::invalid_argument(format!("entries.kind: unknown kind {name:?}")))
}

fn action_of(change: &Change) -> api::WatchActionKind {
    if change.is_create() {
        api::WatchActionKind::WatchActionCreate
    } else if change.is_remove() {
        api::WatchActionKind::WatchActionRemove
    } else {
        api::WatchActionKind::WatchActionUpdate
    }
}

fn both<T, W>(diff: &Diff<T>, show: impl Fn(&T) -> W) -> (Option<W>, Option<W>) {
    (
        diff.old.as_ref().map(|o| show(o)),
        diff.new.as_ref().map(|n| show(n)),
    )
}

/// The object before and after, as clients may see it: no secret data, no keys.
fn shown(change: &Change) -> (Option<Shown>, Option<Shown>) {
    match change {
        Change::Node(d) => both(d, |n| Shown::Node(n.into())),
        Change::Service(d) => both(d, |s| Shown::Service(s.into())),
        Change::Network(d) => both(d, |n| Shown::Network(n.into())),
        Change::Task(d) => both(d, |t| Shown::Task(t.into())),
        Change::Cluster(d) => both(d, |c| {
            Shown::Cluster(wire::convert::cluster_without_secrets(c))
        }),
        Change::Secret(d) => both(d, |s| Shown::Secret(wire::convert::secret_without_data(s))),
        Change::Resource(d) => both(d, |r| Shown::Resource(r.into())),
        Change::Extension(d) => both(d, |e| Shown::Extension(e.into())),
        Change::Config(d) => both(d, |c| Shown::Config(c.into())),
        Change::Volume(d) => both(d, |v| Shown::Volume(v.into())),
    }
}

fn selects(by: &api::select_by::By, change: &Change) -> bool {
    use api::select_by::By;
    let (id, name) = id_and_name(change);
    match by {
        By::Id(wanted) => id == *wanted,
        By::IdPrefix(prefix) => id.starts_with(prefix.as_str()),
        By::Name(wanted) => name.eq_ignore_ascii_case(wanted),
        By::NamePrefix(prefix) => name.to_lowercase().starts_with(&prefix.to_lowercase()),
        other => selects_more(other, change),
    }
}

fn id_and_name(change: &Change) -> (String, String) {
    fn of<T: store::Record>(diff: &Diff<T>) -> (String, String) {
        let latest = diff.latest();
        (latest.id().to_string(), latest.name().to_owned())
    }
    match change {
        Change::Cluster(d) => of(d),
        Change::Node(d) => of(d),
        Change::Service(d) => of(d),
        Change::Task(d) => of(d),
        Change::Network(d) => of(d),
        Change::Secret(d) => of(d),
        Change::Config(d) => of(d),
        Change::Volume(d) => of(d),
        Change::Extension(d) => of(d),
        Change::Resource(d) => of(d),
    }
}

/// Selections that only some kinds have; they never match the others.
fn selects_more(by: &api::select_by::By, change: &Change) -> bool {
    use api::select_by::By;
    match (by, change) {
        (By::ServiceId(id), Change::Task(d)) => {
            d.latest().service_id.is_some_and(|s| s.to_string() == *id)
        }
        (By::NodeId(id), Change::Task(d)) => {
            d.latest().node_id.is_some_and(|n| n.to_string() == *id)
        }
        (By::Slot(slot), Change::Task(d)) => {
            let task = d.latest();
            task.slot == slot.slot
                && task
                    .service_id
                    .is_some_and(|s| s.to_string() == slot.service_id)
        }
        (By::DesiredState(state), Change::Task(d)) => d.latest().desired_state.number() == *state,
        (By::Role(role), Change::Node(d)) => api::NodeRole::from(d.latest().role) as i32 == *role,
        (By::Membership(membership), Change::Node(d)) => {
            let have = api::node_spec::Membership::from(d.latest().spec.membership);
            have as i32 == *membership
        }
        (By::Kind(kind), Change::Resource(d)) => d.latest().kind == *kind,
        (By::ReferencedSecretId(id), Change::Service(d)) => {
            let container = d.latest().spec.task.container();
            container.is_some_and(|c| c.secrets.iter().any(|r| r.secret_id.to_string() == *id))
        }
        (By::ReferencedConfigId(id), Change::Service(d)) => {
            let container = d.latest().spec.task.container();
            container.is_some_and(|c| c.configs.iter().any(|r| r.config_id.to_string() == *id))
        }
        _ => false,
    }
}

type Sender = mpsc::Sender<Result<api::WatchMessage, Status>>;

/// Sends what comes after version `after`. A watcher may have seen more elsewhere than this manager
/// has yet.
async fn relay(
    interest: Interest,
    mut cursor: Cursor,
    (after, start): (u64, Vec<Arc<Commit>>),
    out: Sender,
) {
    if out.send(Ok(api::WatchMessage::default())).await.is_err() {
        return;
    }
    let mut commits = start;
    loop {
        let new = commits.iter().filter(|c| c.version > after);
        for message in new.filter_map(|c| interest.message(c)) {
            if out.send(Ok(message)).await.is_err() {
                return;
            }
        }
        let news = tokio::select! {
            news = cursor.next() => news,
            () = out.closed() => return,
        };
        commits = match news {
            Some(News::Commits(commits, _)) => commits,
            Some(News::Afresh(_)) => {
                let text = "the watcher fell behind; list the objects and watch again";
                let _gone = out.send(Err(Status::out_of_range(text))).await;
                return;
            }
            None => return,
        };
    }
}

#[tonic::async_trait]
impl api::watch_server::Watch for WatchApi {
    type WatchStream = ReceiverStream<Result<api::WatchMessage, Status>>;

    async fn watch(
        &self,
        request: Request<api::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let resume_from = request.resume_from;
        let interest = Interest::new(request)?;
        let (_, cursor) = self.ledger.subscribe();
        let start = match resume_from {
            None => Vec::new(),
            Some(version) => match self.ledger.history(version.index, cursor.seen()) {
                Resume::Commits(commits) => commits,
                Resume::Compacted => {
                    let text = format!(
                        "changes after version {} are no longer kept; list and watch again",
                        version.index
                    );
                    return Err(Status::out_of_range(text));
                }
            },
        };
        let (out, stream) = mpsc::channel(WATCH_QUEUE);
        let after = resume_from.map_or(0, |version| version.index);
        tokio::spawn(relay(interest, cursor, (after, start), out));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
