//! Who is given which identity, and what an identity is let do (X2, X3, X4, X7).

use std::collections::{BTreeMap, BTreeSet};

use policy::{Call, CallerKind, Decision, Forwarded, Peer, Route, Serve, Subject};
use store::{Action, Diff, Plan, State};
use types::{Node, NodeId, NodeRole, TaskId, TaskStatus, Timestamp};

use crate::{Verdict, Violation, must};

/// A certificate that was handed out. Its serial number is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number.
    pub serial: u64,
    /// Whom it names.
    pub subject: Subject,
    /// When it ends.
    pub not_after: Timestamp,
}

/// What a certificate was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground<'a> {
    /// A join token.
    Token(&'a str),
    /// The certificate of this serial number.
    Certificate(u64),
}

/// Every certificate that was ever handed out.
#[derive(Debug, Clone, Default)]
pub struct Certificates(BTreeMap<u64, Certificate>);

impl Certificates {
    /// A certificate that a machine had before the cluster had tables.
    pub fn founded(&mut self, certificate: Certificate) {
        self.0.insert(certificate.serial, certificate);
    }

    /// X2: a certificate is handed out by a manager with these tables.
    ///
    /// # Errors
    /// If there is no ground for it, or it names another role than there is ground for.
    pub fn issued(
        &mut self,
        tables: &State,
        (new, ground): (Certificate, Ground<'_>),
        now: Timestamp,
    ) -> Verdict {
        let Subject { node_id, role, .. } = new.subject;
        let due = match ground {
            Ground::Token(token) => {
                let known = tables.nodes().contains(node_id);
                must!(!known, "X2", "a token gives the identity of node {node_id}");
                token_role(tables, token)
            }
            Ground::Certificate(serial) => self.renewed(tables, serial, node_id, now)?,
        };
        must!(
            due == Some(role),
            "X2",
            "node {node_id} is given the certificate of a {}, due is {due:?}",
            role.name()
        );
        let again = self.0.insert(new.serial, new);
        must!(again.is_none(), "X2", "serial {} is used again", new.serial);
        Ok(())
    }

    fn renewed(
        &self,
        tables: &State,
        serial: u64,
        node: NodeId,
        now: Timestamp,
    ) -> Result<Option<NodeRole>, Violation> {
        let Some(old) = self.0.get(&serial) else {
            let text = format!("a certificate that was never handed out is renewed for {node}");
            return Err(Violation::new("X2", text));
        };
        must!(
            old.subject.node_id == node && old.not_after >= now,
            "X2",
            "the certificate of node {}, until {}, is renewed for node {node} at {now}",
            old.subject.node_id,
            old.not_after
        );
        must!(!is_removed(tables, node), "X2", "node {node} was removed");
        Ok(tables.nodes().get(node).map(|n| n.role))
    }
}

fn token_role(tables: &State, token: &str) -> Option<NodeRole> {
    let tokens = &tables.cluster()?.root_ca.join_tokens;
    let known = [
        (&tokens.worker, NodeRole::Worker),
        (&tokens.manager, NodeRole::Manager),
    ];
    let fits = known.into_iter().find(|(known, _)| *known == token);
    fits.map(|(_, role)| role)
}

fn is_removed(tables: &State, node: NodeId) -> bool {
    tables
        .cluster()
        .is_some_and(|c| c.blacklisted_certificates.contains_key(&node.to_string()))
}

/// X2: a node changes its role only as it was promoted or demoted before.
pub(crate) fn role_follows(diff: &Diff<Node>) -> Verdict {
    if let (Some(old), Some(new)) = (&diff.old, &diff.new) {
        must!(
            old.role == new.role || new.role == new.spec.desired_role,
            "X2",
            "node {} becomes a {} and is to be a {}",
            new.id,
            new.role.name(),
            new.spec.desired_role.name()
        );
    }
    Ok(())
}

/// X3, X7: a manager with these tables takes a call. One that only passes it on leaves roles to
/// the one that answers.
///
/// # Errors
/// If the caller was removed, has more rights than its certificate and the tables give it, or is
/// believed to be somebody else on the word of one who is no manager.
pub fn admitted(tables: &State, call: &Call<'_>, decision: &Decision) -> Verdict {
    let (caller, here) = (&decision.caller, decision.route == Route::Here);
    let speaker = call.peer.subject().copied();
    let own_word = caller.forwarded_by.is_none() && caller.subject == speaker;
    if !own_word {
        let messenger = speaker.filter(|s| matches!(call.peer, Peer::Node(_)) && is_manager(s));
        let Some(messenger) = messenger else {
            let text = format!("{:?} passes on a call of {:?}", call.peer, caller.subject);
            return Err(Violation::new("X7", text));
        };
        let said = match call.forwarded {
            Some(Forwarded::Node(subject)) => Some(subject),
            _ => None,
        };
        must!(
            said == caller.subject && caller.forwarded_by == Some(messenger.node_id),
            "X7",
            "a call passed on for {said:?} counts as one of {:?}",
            caller.subject
        );
        let now = tables.nodes().get(messenger.node_id).map(|n| n.role);
        let stands =
            !is_removed(tables, messenger.node_id) && (!here || now == Some(NodeRole::Manager));
        must!(
            stands,
            "X7",
            "node {} is {now:?} and passes a call on",
            messenger.node_id
        );
    }
    let local = matches!(call.peer, Peer::LocalSocket(_));
    if local && own_word {
        return Ok(());
    }
    let most = match &caller.subject {
        None => CallerKind::Anonymous,
        Some(subject) => most_of(tables, subject, decision)?,
    };
    if caller.kind > most {
        let text = format!(
            "{:?} calls {} as a {}, and is a {most} at most",
            caller.subject, call.method, caller.kind
        );
        return Err(Violation::new(if own_word { "X3" } else { "X7" }, text));
    }
    Ok(())
}

fn is_manager(subject: &Subject) -> bool {
    subject.role == NodeRole::Manager
}

/// The most that a node with a certificate may be: the lesser of what that and the tables say.
fn most_of(
    tables: &State,
    subject: &Subject,
    decision: &Decision,
) -> Result<CallerKind, Violation> {
    let (node, here) = (subject.node_id, decision.route == Route::Here);
    let cluster = tables.cluster().map(|c| c.id);
    must!(
        cluster.is_none_or(|c| c == subject.cluster_id),
        "X3",
        "node {node} of cluster {} is let in",
        subject.cluster_id
    );
    must!(
        !is_removed(tables, node),
        "X3",
        "node {node} was removed and is let in"
    );
    let known = tables.nodes().get(node).map(|n| n.role);
    let newest = here && matches!(decision.row.serve, Serve::Leader | Serve::Read);
    must!(
        known.is_some() || !newest,
        "X3",
        "node {node} is let in by a leader that does not know it"
    );
    Ok(match (subject.role, known) {
        (NodeRole::Worker, _) => CallerKind::Worker,
        (_, Some(NodeRole::Worker)) if here => CallerKind::Worker,
        _ => CallerKind::Manager,
    })
}

/// What nodes said of tasks that are not theirs.
#[derive(Debug, Clone, Default)]
pub struct Hearsay(BTreeSet<(TaskId, String)>);

impl Hearsay {
    /// A node reports of tasks. Messages tell reports apart. A leader that was deposed may not know
    /// yet that a task is the node's; that it is another's, it knows for good.
    pub fn said(&mut self, tables: &State, node: NodeId, reports: &[(TaskId, TaskStatus)]) {
        let foreign = |id: &TaskId| {
            let task = tables.tasks().get(*id);
            task.is_some_and(|t| t.node_id.is_some_and(|of| of != node))
        };
        let all = reports.iter().filter(|(id, _)| foreign(id));
        self.0
            .extend(all.map(|(id, status)| (*id, status.message.to_string())));
    }

    /// X4: what a manager writes of tasks does not come from other nodes than theirs.
    ///
    /// # Errors
    /// The first task of which another node's word is written down.
    pub fn written(&self, plan: &Plan) -> Verdict {
        for action in plan.steps.iter().flat_map(|s| &s.actions) {
            if let Action::Report { task, status } = action {
                must!(
                    !self.0.contains(&(*task, status.message.to_string())),
                    "X4",
                    "what another node says of task {task} is written down: {}",
                    status.message
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
