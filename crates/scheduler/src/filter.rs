//! The rules that say whether a node can take a task, in the order in which they are asked.
//!
//! Rules about the node itself come first, rules about what already runs there last, so that a
//! count of "insufficient resources" speaks only of nodes that the task could otherwise use.

use types::node::NodeDescription;
use types::{Availability, Node, NodeState};

use crate::account::Account;
use crate::affinity::{self, Affinity};
use crate::constraint::{self, Constraint};
use crate::requirements::{Plugin, Requirements, normal_arch};

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    /// Cluster volumes are not supported.
    Volumes,
    /// The node answers.
    Ready,
    /// The node is neither paused nor drained.
    Availability,
    /// Architecture and operating system.
    Platform,
    /// Plugins of the engine.
    Plugins,
    /// Constraint expressions.
    Constraints,
    /// What else runs on the node, and the images it holds.
    Affinity,
    /// CPU, memory and generic resources, by reservation.
    Resources,
    /// Fixed ports on the node.
    HostPorts,
    /// Most tasks of the service on one node.
    MaxReplicas,
}

/// All rules in order.
pub const FILTERS: [Filter; 10] = [
    Filter::Volumes,
    Filter::Ready,
    Filter::Availability,
    Filter::Platform,
    Filter::Plugins,
    Filter::Constraints,
    Filter::Affinity,
    Filter::Resources,
    Filter::HostPorts,
    Filter::MaxReplicas,
];

impl Filter {
    /// Name for tools.
    pub fn name(self) -> &'static str {
        match self {
            Self::Volumes => "volumes",
            Self::Ready => "ready",
            Self::Availability => "availability",
            Self::Platform => "platform",
            Self::Plugins => "plugins",
            Self::Constraints => "constraints",
            Self::Affinity => "affinity",
            Self::Resources => "resources",
            Self::HostPorts => "host-ports",
            Self::MaxReplicas => "max-replicas",
        }
    }

    /// What it means that `nodes` nodes fail it, in the words SwarmKit's users know.
    pub fn reason(self, nodes: usize) -> String {
        let plural = if nodes == 1 { "" } else { "s" };
        match self {
            Self::Volumes => "cluster volumes are not supported".to_owned(),
            Self::Ready => format!("{nodes} node{plural} not ready"),
            Self::Availability => format!("{nodes} node{plural} not available for new tasks"),
            Self::Platform => format!("unsupported platform on {nodes} node{plural}"),
            Self::Plugins => format!("missing plugin on {nodes} node{plural}"),
            Self::Constraints => {
                format!("scheduling constraints not satisfied on {nodes} node{plural}")
            }
            Self::Affinity => format!("affinity not satisfied on {nodes} node{plural}"),
            Self::Resources => format!("insufficient resources on {nodes} node{plural}"),
            Self::HostPorts => format!("host-mode port already in use on {nodes} node{plural}"),
            Self::MaxReplicas => {
                format!("max replicas per node reached on {nodes} node{plural}")
            }
        }
    }
}

/// How many nodes fail each rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts([usize; FILTERS.len()]);

impl Counts {
    pub(crate) fn add(&mut self, filter: Filter, nodes: usize) {
        self.0[filter as usize] += nodes;
    }

    pub(crate) fn of(&self, filter: Filter) -> usize {
        self.0[filter as usize]
    }

    /// Rules that nodes fail, most nodes first.
    pub(crate) fn by_weight(&self) -> Vec<(Filter, usize)> {
        let mut all: Vec<_> = FILTERS
            .into_iter()
            .map(|f| (f, self.of(f)))
            .filter(|(_, nodes)| *nodes > 0)
            .collect();
        all.sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
        all
    }

    /// Why a task waits, for its status.
    pub(crate) fn text(&self) -> String {
        let reasons: Vec<String> = self
            .by_weight()
            .into_iter()
            .map(|(filter, nodes)| filter.reason(nodes))
            .collect();
        if reasons.is_empty() {
            return "no suitable node (the cluster has no nodes)".to_owned();
        }
        format!("no suitable node ({})", reasons.join("; "))
    }
}

/// Constraint and affinity expressions, read once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constraints {
    /// Those over what is known of a node; `None` if one cannot be read, which no node satisfies.
    pub(crate) constraints: Option<Vec<Constraint>>,
    /// Those over what a node runs and holds; `None` as above.
    pub(crate) affinities: Option<Vec<Affinity>>,
}

impl Constraints {
    /// How many soft expressions about the node itself do not hold.
    pub(crate) fn misses(&self, node: &Node) -> u8 {
        let constraints = self.constraints.iter().flatten();
        let missed = constraints.filter(|c| c.is_soft() && !constraint::matches(c, node));
        let images = self.affinities.iter().flatten();
        let without = images
            .filter(|a| a.is_soft() && a.is_static() && !a.holds(a.finds_image(node)))
            .count();
        u8::try_from(missed.count() + without).unwrap_or(u8::MAX)
    }

    /// Whether soft expressions about the node itself can rank it.
    pub(crate) fn ranks(&self) -> bool {
        let constraints = self.constraints.iter().flatten();
        let mut images = self.affinities.iter().flatten();
        constraints.into_iter().any(Constraint::is_soft)
            || images.any(|a| a.is_soft() && a.is_static())
    }
}

/// Reads the constraint and affinity expressions of a task.
pub(crate) fn read_constraints(asked: &Requirements) -> Constraints {
    let affinities = asked.affinities.iter().map(|text| affinity::parse(text));
    Constraints {
        constraints: constraint::parse_all(&asked.constraints).ok(),
        affinities: affinities.collect::<Result<_, _>>().ok(),
    }
}

/// The first rule about the node itself that it fails.
pub(crate) fn check_node(
    asked: &Requirements,
    constraints: &Constraints,
    node: &Node,
) -> Option<Filter> {
    if asked.cluster_volumes {
        return Some(Filter::Volumes);
    }
    if node.status.state != NodeState::Ready {
        return Some(Filter::Ready);
    }
    if node.spec.availability != Availability::Active {
        return Some(Filter::Availability);
    }
    let described = node.description.as_deref();
    if !asked.platforms.is_empty() && !described.is_some_and(|d| on_platform(asked, d)) {
        return Some(Filter::Platform);
    }
    if described.is_some_and(|d| asked.plugins.iter().any(|p| !has_plugin(d, p))) {
        return Some(Filter::Plugins);
    }
    let hold = |all: &Vec<Constraint>| {
        let mut hard = all.iter().filter(|c| !c.is_soft());
        hard.all(|c| constraint::matches(c, node))
    };
    if !constraints.constraints.as_ref().is_some_and(hold) {
        return Some(Filter::Constraints);
    }
    let hold = |all: &Vec<Affinity>| {
        let mut hard = all.iter().filter(|a| !a.is_soft() && a.is_static());
        hard.all(|a| a.holds(a.finds_image(node)))
    };
    let satisfied = constraints.affinities.as_ref().is_some_and(hold);
    (!satisfied).then_some(Filter::Affinity)
}

/// The first rule about what runs on the node that it fails, but for [`Filter::Affinity`], which
/// depends on other services, and [`Filter::MaxReplicas`], which depends on the task's own.
pub(crate) fn check_room(asked: &Requirements, node: &Node, account: &Account) -> Option<Filter> {
    if account.lacks(asked, node).is_some() {
        return Some(Filter::Resources);
    }
    let clash = asked.ports.iter().any(|port| account.uses(port));
    clash.then_some(Filter::HostPorts)
}

fn on_platform(asked: &Requirements, described: &NodeDescription) -> bool {
    let os = described.platform.os.to_lowercase();
    let arch = normal_arch(&described.platform.architecture);
    asked.platforms.iter().any(|(wanted_os, wanted_arch)| {
        (wanted_os.is_empty() || *wanted_os == os)
            && (wanted_arch.is_empty() || *wanted_arch == arch)
    })
}

/// Whether an engine has a plugin. A node without an engine, and an engine that lists no log
/// driver at all, do not say what they have: the executor will.
pub(crate) fn has_plugin(described: &NodeDescription, wanted: &Plugin) -> bool {
    let engine = &described.engine;
    if engine.version.is_empty() && engine.plugins.is_empty() {
        return true;
    }
    let mut of_kind = engine
        .plugins
        .iter()
        .filter(|p| p.kind == wanted.kind)
        .peekable();
    if wanted.kind == "Log" && of_kind.peek().is_none() {
        return true;
    }
    of_kind.any(|p| same_plugin(&p.name, &wanted.name))
}

/// Plugin names are image references whose missing tag is `latest`.
fn same_plugin(listed: &str, wanted: &str) -> bool {
    let bare = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
    listed == wanted || bare(listed) == bare(wanted)
}
