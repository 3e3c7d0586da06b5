//! What follows from a committed change and from the passing of time.

use std::sync::Arc;

use store::{Change, Commit};
use types::{Cluster, Node, NodeId, NodeState, Task, defaults};

use super::{Context, Dispatcher, heartbeat_period};
use crate::error::CallError;
use crate::input::Effect;
use crate::limits::{ASSIGNMENTS_PACE, ORPHAN_RECHECK, STALL_MAX};
use crate::node::{Entry, HEARTBEAT_FAILURE, HEARTBEAT_FAILURE_UNKNOWN, Presence, concerns_agent};

impl Dispatcher {
    pub(super) fn committed(&mut self, commit: &Commit, cx: Context<'_>) {
        for change in &commit.changes {
            match change {
                Change::Task(d) => self.task_changed(d.old.as_deref(), d.new.as_deref(), cx),
                Change::Node(d) => self.node_changed(d.old.as_deref(), d.new.as_deref(), cx),
                Change::Cluster(d) => {
                    let facts = |c: &Arc<Cluster>| {
                        (c.root_ca.ca_cert.clone(), c.network_bootstrap_keys.clone())
                    };
                    if d.old.as_ref().map(facts) != d.new.as_ref().map(facts) {
                        self.tell_all(cx);
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn task_changed(&mut self, old: Option<&Task>, new: Option<&Task>, cx: Context<'_>) {
        let Some(node) = new.or(old).and_then(|t| t.node_id) else {
            return;
        };
        let session = self.nodes.get_mut(&node).and_then(Entry::session);
        let Some(set) = session.and_then(|s| s.assignments.as_mut()) else {
            return;
        };
        if set.note(old, new) && !set.busy {
            let at = set.last_sent_at.plus(ASSIGNMENTS_PACE).max(cx.now);
            self.sends.set_once(node, at);
        }
    }

    pub(super) fn node_changed(&mut self, old: Option<&Node>, new: Option<&Node>, cx: Context<'_>) {
        let Some(id) = new.or(old).map(|n| n.id) else {
            return;
        };
        let Some(new) = new else {
            return self.forget(id);
        };
        self.watch_orphans(new);
        if old.is_some_and(|old| concerns_agent(old, new)) {
            self.tell(id, cx);
        }
        self.reconcile(id, cx);
    }

    /// A node was removed from the cluster.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.end_session(node, &CallError::NoSuchNode(node));
        self.nodes.remove(&node);
        self.heartbeats.clear(node);
        self.orphans.clear(node);
    }

    /// The day that a lost node's tasks are kept counts from the write that made the node down.
    /// That moment is in its record, so a change of leaders does not begin the day anew.
    pub(super) fn watch_orphans(&mut self, node: &Node) {
        if node.status.state == NodeState::Down {
            let since = node.meta.updated_at;
            self.orphans
                .set(node.id, since.plus(defaults::ORPHAN_TIMEOUT));
        } else {
            self.orphans.clear(node.id);
        }
    }

    pub(super) fn resync(&mut self, cx: Context<'_>) {
        let gone = |id: &NodeId| !cx.view.nodes().contains(*id);
        let removed: Vec<_> = self.nodes.keys().copied().filter(gone).collect();
        for node in removed {
            self.forget(node);
        }
        for node in cx.view.nodes().iter() {
            self.watch_orphans(node);
        }
        let known: Vec<_> = self.nodes.keys().copied().collect();
        for node in known {
            let session = self.nodes.get_mut(&node).and_then(Entry::session);
            if let Some(set) = session.and_then(|s| s.assignments.as_mut()) {
                set.note_all(cx.view, node);
                if !set.busy {
                    self.sends.set_once(node, cx.now);
                }
            }
            self.tell(node, cx);
            self.reconcile(node, cx);
        }
    }

    /// Compares a node's record with what it should say.
    pub(super) fn reconcile(&mut self, id: NodeId, cx: Context<'_>) {
        let (Some(entry), Some(node)) = (self.nodes.get_mut(&id), cx.view.nodes().get(id)) else {
            return;
        };
        let Some(is_met) = entry.wanted(node).map(|w| w.is_met(node)) else {
            return;
        };
        let is_idle = entry.in_flight.is_none();
        if !is_met && is_idle {
            self.batcher.node(id);
        } else if is_met && let Some(session) = entry.session().filter(|s| !s.announced) {
            session.announced = true;
            self.send_session(id, cx);
        }
    }

    /// Everything that is due.
    pub(super) fn alarms(&mut self, cx: Context<'_>) {
        self.pardon_after_stall(cx);
        while let Some(node) = self.heartbeats.pop(cx.now) {
            self.lost(node, cx);
        }
        while let Some(node) = self.orphans.pop(cx.now) {
            if cx.view.tasks().on_node(node).any(|t| t.is_active()) {
                self.batcher.orphan(node);
                self.orphans.set(node, cx.now.plus(ORPHAN_RECHECK));
            }
        }
        while let Some(node) = self.sends.pop(cx.now) {
            self.send_assignments(node, cx);
        }
    }

    /// If this very process was stalled, heartbeats may wait in its own queues.
    pub(super) fn pardon_after_stall(&mut self, cx: Context<'_>) {
        let first = self.heartbeats.next();
        if first.is_none_or(|at| cx.now.since(at) <= STALL_MAX) {
            return;
        }
        let until = cx.now.plus(heartbeat_period(cx.view));
        while let Some(node) = self.heartbeats.pop(cx.now) {
            self.heartbeats.set(node, until);
        }
    }

    /// A node missed its heartbeats.
    pub(super) fn lost(&mut self, node: NodeId, cx: Context<'_>) {
        let known = self.nodes.get(&node).map(|e| &e.presence);
        let message = match known {
            Some(Presence::Awaited) => HEARTBEAT_FAILURE_UNKNOWN,
            _ => HEARTBEAT_FAILURE,
        };
        self.end_session(node, &CallError::HeartbeatsMissed);
        let message = message.into();
        self.nodes.entry(node).or_default().presence = Presence::Lost { message };
        self.reconcile(node, cx);
    }

    pub(super) fn send_assignments(&mut self, node: NodeId, cx: Context<'_>) {
        let session = self.nodes.get_mut(&node).and_then(Entry::session);
        let set = session.and_then(|s| s.assignments.as_mut());
        let Some(set) = set.filter(|s| !s.busy && s.is_dirty()) else {
            return;
        };
        let Some(message) = set.next(cx.view, node) else {
            return;
        };
        set.busy = true;
        set.last_sent_at = cx.now;
        let stream = set.stream;
        self.effects
            .push(Effect::SendAssignments { stream, message });
    }
}
