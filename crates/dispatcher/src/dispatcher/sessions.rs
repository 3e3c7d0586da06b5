//! Sessions of nodes: registration, heartbeats, and what a node is told about itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use store::State;
use types::node::EXECUTOR_TROUBLE_LABEL;
use types::{Entropy, NodeId, Timestamp};

use super::{Context, Dispatcher, grace, heartbeat_period};
use crate::assignments::AssignmentSet;
use crate::error::CallError;
use crate::input::{Answer, Effect, Manager, OpenSession, SessionMessage, StreamId};
use crate::limits::{self, ASSIGNMENTS_PACE, HEARTBEAT_JITTER_DIVISOR, TROUBLE_BYTES_MAX};
use crate::node::{Entry, Outlet, Presence, Session};
use crate::session_id::SessionId;

impl Dispatcher {
    pub(super) fn open_session(
        &mut self,
        open: OpenSession,
        cx: Context<'_>,
        entropy: &mut dyn Entropy,
    ) {
        let (node, stream) = (open.node, open.stream);
        if !cx.view.nodes().contains(node) {
            return self.refuse(stream, CallError::NoSuchNode(node));
        }
        if let Some(trouble) = trouble(&open) {
            return self.unable(node, stream, trouble, cx);
        }
        let entry = self.nodes.entry(node).or_default();
        if is_current(entry, &open.session) {
            self.streams.insert(stream, node);
            return self.refresh(open, cx);
        }
        if !entry.admit(cx.now) {
            return self.refuse(stream, CallError::TooManyRegistrations(node));
        }
        self.end_session(node, &CallError::Replaced);
        self.streams.insert(stream, node);
        self.sessions += 1;
        let id = SessionId {
            term: self.leadership.term,
            serial: self.sessions,
            nonce: entropy.next_u64(),
        };
        let session = Session {
            id,
            addr: open.addr,
            description: open.description,
            announced: false,
            outlet: Some(outlet(stream)),
            assignments: None,
        };
        self.nodes.entry(node).or_default().presence = Presence::Present(Box::new(session));
        let grace = grace(heartbeat_period(cx.view));
        self.heartbeats.set(node, cx.now.plus(grace));
        self.reconcile(node, cx);
    }

    /// A node knocks to say that it can run nothing: it is down, with its own words as the reason,
    /// and gets no session that could be taken for readiness.
    fn unable(&mut self, node: NodeId, stream: StreamId, trouble: String, cx: Context<'_>) {
        self.end_session(node, &CallError::CannotRun);
        let message = trouble.into();
        self.nodes.entry(node).or_default().presence = Presence::Lost { message };
        self.refuse(stream, CallError::CannotRun);
        self.reconcile(node, cx);
    }

    /// A node reopens its session stream, usually to describe itself anew.
    pub(super) fn refresh(&mut self, open: OpenSession, cx: Context<'_>) {
        let entry = self.nodes.get_mut(&open.node);
        let Some(session) = entry.and_then(Entry::session) else {
            return;
        };
        session.addr = open.addr;
        session.description = open.description.or(session.description.take());
        let old = session.outlet.replace(outlet(open.stream));
        if let Some(old) = old {
            self.refuse(old.stream, CallError::StreamReplaced);
        }
        self.reconcile(open.node, cx);
        self.send_session(open.node, cx);
    }

    pub(super) fn open_assignments(
        &mut self,
        stream: StreamId,
        node: NodeId,
        session: &str,
        cx: Context<'_>,
    ) {
        let session = match self.session(node, session) {
            Ok(session) => session,
            Err(error) => return self.refuse(stream, error),
        };
        let old = session.assignments.replace(AssignmentSet::new(stream));
        if let Some(old) = old {
            self.refuse(old.stream, CallError::StreamReplaced);
        }
        self.streams.insert(stream, node);
        self.sends.set(node, cx.now);
    }

    pub(super) fn stream_closed(&mut self, stream: StreamId) {
        let Some(node) = self.streams.remove(&stream) else {
            return;
        };
        let Some(session) = self.nodes.get_mut(&node).and_then(Entry::session) else {
            return;
        };
        if session.outlet.as_ref().is_some_and(|o| o.stream == stream) {
            session.outlet = None;
        }
        let assignments = session.assignments.as_ref();
        if assignments.is_some_and(|a| a.stream == stream) {
            session.assignments = None;
            self.sends.clear(node);
        }
    }

    pub(super) fn stream_ready(&mut self, stream: StreamId, cx: Context<'_>) {
        let Some(&node) = self.streams.get(&stream) else {
            return;
        };
        let Some(session) = self.nodes.get_mut(&node).and_then(Entry::session) else {
            return;
        };
        if let Some(outlet) = session.outlet.as_mut().filter(|o| o.stream == stream) {
            outlet.busy = false;
            return self.send_session(node, cx);
        }
        let set = session.assignments.as_mut();
        if let Some(set) = set.filter(|a| a.stream == stream) {
            set.busy = false;
            if set.is_dirty() {
                let at = set.last_sent_at.plus(ASSIGNMENTS_PACE);
                self.sends.set_once(node, at);
            }
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        node: NodeId,
        session: &str,
        cx: Context<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Answer, CallError> {
        self.session(node, session)?;
        let period = jittered(heartbeat_period(cx.view), entropy);
        self.heartbeats.set(node, cx.now.plus(grace(period)));
        Ok(Answer::Heartbeat { period })
    }

    /// The node's session, if the named one is current.
    pub(super) fn session(
        &mut self,
        node: NodeId,
        session: &str,
    ) -> Result<&mut Session, CallError> {
        let entry = self.nodes.get_mut(&node);
        let current = entry
            .and_then(Entry::session)
            .ok_or(CallError::NotRegistered)?;
        if session.parse() == Ok(current.id) {
            Ok(current)
        } else {
            Err(CallError::StaleSession)
        }
    }

    /// Ends the node's session, if it has one, and its streams.
    pub(super) fn end_session(&mut self, node: NodeId, error: &CallError) {
        let Some(session) = self.nodes.get_mut(&node).and_then(Entry::session) else {
            return;
        };
        let streams: Vec<_> = session.streams().collect();
        for stream in streams {
            self.refuse(stream, error.clone());
        }
        self.nodes.entry(node).or_default().presence = Presence::Absent;
        self.heartbeats.clear(node);
        self.sends.clear(node);
    }

    pub(super) fn refuse(&mut self, stream: StreamId, error: CallError) {
        self.streams.remove(&stream);
        self.effects.push(Effect::Close { stream, error });
    }

    pub(super) fn managers_changed(&mut self, managers: Arc<[Manager]>, cx: Context<'_>) {
        if managers.is_empty() || self.leadership.managers == managers {
            return;
        }
        self.leadership.managers = managers;
        self.tell_all(cx);
    }

    /// Awaits nodes whose managers fell silent for less time, and others for longer again.
    pub(super) fn silent_changed(&mut self, silent: BTreeSet<NodeId>, cx: Context<'_>) {
        let changed: Vec<_> = silent.symmetric_difference(&self.silent).copied().collect();
        self.silent = silent;
        for node in changed {
            let entry = self.nodes.get(&node);
            if entry.is_some_and(|e| matches!(e.presence, Presence::Awaited)) {
                let until = self.awaited_until(node, cx.view).max(cx.now);
                self.heartbeats.set(node, until);
            }
        }
    }

    /// Until when a node is awaited that was not down when this leader took over.
    pub(super) fn awaited_until(&self, node: NodeId, view: &State) -> Timestamp {
        let grace = grace(heartbeat_period(view));
        let wait = match self.silent.contains(&node) {
            true => grace,
            false => grace.max(limits::AWAITED_MIN),
        };
        self.began_at.plus(wait)
    }

    /// Every session gets a new message.
    pub(super) fn tell_all(&mut self, cx: Context<'_>) {
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        for node in nodes {
            self.tell(node, cx);
        }
    }

    pub(super) fn tell(&mut self, node: NodeId, cx: Context<'_>) {
        let session = self.nodes.get_mut(&node).and_then(Entry::session);
        if let Some(outlet) = session.and_then(|s| s.outlet.as_mut()) {
            outlet.dirty = true;
        }
        self.send_session(node, cx);
    }

    /// Sends the session message if one is due and there is room for it.
    pub(super) fn send_session(&mut self, node: NodeId, cx: Context<'_>) {
        let Some(record) = cx.view.nodes().get(node) else {
            return;
        };
        let Some(session) = self.nodes.get_mut(&node).and_then(Entry::session) else {
            return;
        };
        let announced = session.announced;
        let Some(outlet) = session.outlet.as_mut() else {
            return;
        };
        if !announced || !outlet.dirty || outlet.busy {
            return;
        }
        outlet.dirty = false;
        outlet.busy = true;
        let cluster = cx.view.cluster();
        let message = SessionMessage {
            session: session.id,
            node: record.clone(),
            managers: self.leadership.managers.clone(),
            keys: cluster.map_or_else(Vec::new, |c| c.network_bootstrap_keys.clone()),
            root_ca: cluster.map_or_else(Vec::new, |c| c.root_ca.ca_cert.clone()),
        };
        self.effects.push(Effect::SendSession {
            stream: outlet.stream,
            message: Box::new(message),
        });
    }
}

/// Why a node says it cannot run tasks, if it says so. It is kept in the node's record, so its
/// length is bounded.
fn trouble(open: &OpenSession) -> Option<String> {
    let labels = &open.description.as_ref()?.engine.labels;
    let mut text = labels.get(EXECUTOR_TROUBLE_LABEL)?.clone();
    text.truncate(text.floor_char_boundary(TROUBLE_BYTES_MAX));
    Some(text)
}

fn outlet(stream: StreamId) -> Outlet {
    Outlet {
        stream,
        busy: false,
        dirty: true,
    }
}

fn is_current(entry: &mut Entry, session: &str) -> bool {
    let Ok(named) = session.parse::<SessionId>() else {
        return false;
    };
    entry.session().is_some_and(|s| s.id == named)
}

/// A period around the given one, so that nodes do not answer in step.
fn jittered(period: Duration, entropy: &mut dyn Entropy) -> Duration {
    let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    let jitter = nanos / HEARTBEAT_JITTER_DIVISOR;
    let drawn = entropy.below(jitter.saturating_mul(2));
    Duration::from_nanos((nanos - jitter).saturating_add(drawn).max(1))
}
