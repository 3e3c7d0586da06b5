//! Whether a node satisfies what a task asks of it, as far as orchestration needs to know. The
//! scheduler knows the rest.

use scheduler::constraint;
use types::node::Membership;
use types::{Availability, Node, NodeState, TaskSpec};

/// Whether all placement constraints hold on the node. A constraint that cannot be read never
/// holds; none gets past validation.
pub(crate) fn constraints_hold(node: &Node, spec: &TaskSpec) -> bool {
    let placement = spec.placement.as_ref();
    placement.is_none_or(|p| constraint::check_all(&p.constraints, node))
}

/// Whether a service with one task per node keeps a task on this node.
pub(crate) fn keeps_task(node: &Node, spec: &TaskSpec) -> bool {
    node.status.state != NodeState::Down
        && node.spec.availability != Availability::Drain
        && node.spec.membership == Membership::Accepted
        && constraints_hold(node, spec)
}
