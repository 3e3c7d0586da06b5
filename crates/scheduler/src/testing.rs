//! Objects for tests.

use std::sync::Arc;

use types::node::{NodeDescription, NodeStatus, Platform};
use types::{Node, NodeId, NodeSpec, NodeState, Resources};

pub(crate) const GIB: i64 = 1 << 30;
pub(crate) const CPU: i64 = 1_000_000_000;

pub(crate) fn node_id(n: u64) -> NodeId {
    NodeId::from_u128((1 << 127) + u128::from(n)).unwrap()
}

/// A ready node with 4 CPUs and 8 GiB.
pub(crate) fn node(n: u64) -> Node {
    Node {
        id: node_id(n),
        meta: types::Meta::default(),
        spec: NodeSpec::default(),
        description: Some(Arc::new(NodeDescription {
            hostname: format!("host-{n}"),
            platform: Platform {
                architecture: "x86_64".into(),
                os: "linux".into(),
            },
            resources: Resources {
                nano_cpus: 4 * CPU,
                memory_bytes: 8 * GIB,
                generic: Vec::new(),
            },
            ..NodeDescription::default()
        })),
        status: NodeStatus {
            state: NodeState::Ready,
            ..NodeStatus::default()
        },
        certificate: types::node::Certificate::default(),
        role: types::NodeRole::Worker,
        attachments: Vec::new(),
        vxlan_udp_port: 0,
    }
}

pub(crate) fn labelled(n: u64, key: &str, value: &str) -> Node {
    let mut node = node(n);
    let labels = &mut node.spec.annotations.labels;
    labels.insert(key.into(), value.into());
    node
}
