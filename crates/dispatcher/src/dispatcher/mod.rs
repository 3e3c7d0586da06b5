//! The state machine: inputs in, effects out.

mod changes;
mod reports;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use store::State;
use types::{Entropy, NodeId, NodeState, Timestamp, defaults};

use crate::batch::Batcher;
use crate::input::{Effect, Input, Manager, StreamId};
use crate::node::{Entry, Presence};
use crate::timers::Timers;

/// One term of leadership.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Term.
    pub term: u64,
    /// The leader's own node.
    pub node: NodeId,
    /// All managers; never empty, or agents would have nowhere to go.
    pub managers: Arc<[Manager]>,
}

/// The leader's side of every agent. See the crate's documentation.
#[derive(Debug)]
pub struct Dispatcher {
    leadership: Leadership,
    nodes: BTreeMap<NodeId, Entry>,
    streams: BTreeMap<StreamId, NodeId>,
    sessions: u64,
    /// When this leader took over.
    began_at: Timestamp,
    /// Nodes whose managers do not answer.
    silent: BTreeSet<NodeId>,
    /// When the grace of a node ends.
    heartbeats: Timers,
    /// When a node may be sent assignments that are due.
    sends: Timers,
    /// When the tasks of a lost node are given up.
    orphans: Timers,
    batcher: Batcher,
    effects: Vec<Effect>,
}

/// What an input is handled with.
#[derive(Clone, Copy)]
struct Context<'a> {
    view: &'a State,
    now: Timestamp,
}

impl Dispatcher {
    /// Takes over. Every node that is not down is awaited for one grace period from now, and for
    /// as long as an agent may take to find out that its leader is gone ([`Input::Silent`] has the
    /// exception).
    ///
    /// The effects of the first [`Input::Tick`], due at once, mark those nodes as unknown.
    pub fn new(leadership: Leadership, view: &State, now: Timestamp) -> Self {
        assert!(
            !leadership.managers.is_empty(),
            "a leader is one of the managers it tells agents of"
        );
        let mut this = Self {
            leadership,
            nodes: BTreeMap::new(),
            streams: BTreeMap::new(),
            sessions: 0,
            began_at: now,
            silent: BTreeSet::new(),
            heartbeats: Timers::default(),
            sends: Timers::default(),
            orphans: Timers::default(),
            batcher: Batcher::default(),
            effects: Vec::new(),
        };
        for node in view.nodes().iter() {
            this.watch_orphans(node);
            if node.status.state != NodeState::Down {
                let entry = this.nodes.entry(node.id).or_default();
                entry.presence = Presence::Awaited;
                this.heartbeats
                    .set(node.id, this.awaited_until(node.id, view));
                if node.status.state != NodeState::Unknown {
                    this.batcher.node(node.id);
                }
            }
        }
        this
    }

    /// Handles one input. `view` is the newest committed state; `now` must never jump, neither
    /// back nor ahead (take it from a monotonic clock).
    pub fn handle(
        &mut self,
        input: Input,
        view: &State,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Vec<Effect> {
        let cx = Context { view, now };
        match input {
            Input::OpenSession(open) => self.open_session(open, cx, entropy),
            Input::OpenAssignments {
                stream,
                node,
                session,
            } => self.open_assignments(stream, node, &session, cx),
            Input::StreamClosed { stream } => self.stream_closed(stream),
            Input::StreamReady { stream } => self.stream_ready(stream, cx),
            Input::Heartbeat {
                call,
                node,
                session,
            } => {
                let result = self.heartbeat(node, &session, cx, entropy);
                self.effects.push(Effect::Answer { call, result });
            }
            Input::UpdateStatus {
                call,
                node,
                session,
                updates,
            } => self.update_status(call, (node, &session), updates, cx),
            Input::Committed(commit) => self.committed(&commit, cx),
            Input::Resync => self.resync(cx),
            Input::Settled { batch, outcome } => self.settled(batch, outcome, cx),
            Input::Managers(managers) => self.managers_changed(managers, cx),
            Input::Silent(nodes) => self.silent_changed(nodes, cx),
            Input::Tick => {}
        }
        self.alarms(cx);
        self.flush(cx);
        std::mem::take(&mut self.effects)
    }

    /// When the dispatcher wants an [`Input::Tick`], if nothing comes before.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let wishes = [
            self.heartbeats.next(),
            self.sends.next(),
            self.orphans.next(),
            self.batcher.wake_at(),
        ];
        wishes.into_iter().flatten().min()
    }

    /// How many nodes have a session.
    pub fn sessions(&self) -> usize {
        let present = |e: &&Entry| matches!(e.presence, Presence::Present(_));
        self.nodes.values().filter(present).count()
    }
}

/// The cluster's heartbeat period; never zero, which would make agents spin.
pub(crate) fn heartbeat_period(view: &State) -> Duration {
    let set = view.cluster().and_then(|c| c.spec.heartbeat_period);
    set.filter(|p| !p.is_zero())
        .unwrap_or(defaults::HEARTBEAT_PERIOD)
}

/// How long a node may be silent that was given this period.
pub(crate) fn grace(period: Duration) -> Duration {
    period.saturating_mul(defaults::HEARTBEAT_GRACE_MULTIPLIER)
}
