//! A node as JSON.

use serde_json::{Value, json};
use wire::api::{
    ManagerStatus, Node, NodeDescription, NodeRole, NodeSpec, NodeStatus, PluginDescription,
};

use super::{Fields, annotations, begin, container, dashed, each, texts};

/// The whole object.
pub fn node(node: &Node) -> Value {
    begin(&node.id, node.meta.as_ref())
        .maybe("Spec", node.spec.as_ref().map(spec))
        .with("Role", role(node.role()))
        .maybe("Description", node.description.as_ref().map(description))
        .maybe("Status", node.status.as_ref().map(status))
        .maybe("ManagerStatus", node.manager_status.as_ref().map(manager))
        .done()
}

/// A role as users write it.
pub fn role(role: NodeRole) -> String {
    dashed(role.as_str_name())
}

fn spec(spec: &NodeSpec) -> Value {
    annotations(spec.annotations.as_ref())
        .with("Role", role(spec.desired_role()))
        .with("Membership", dashed(spec.membership().as_str_name()))
        .with("Availability", dashed(spec.availability().as_str_name()))
        .done()
}

fn description(description: &NodeDescription) -> Value {
    let platform = description
        .platform
        .as_ref()
        .map(|p| json!({"Architecture": p.architecture, "OS": p.os}));
    let plugin = |p: &PluginDescription| json!({"Type": p.r#type, "Name": p.name});
    let engine = description.engine.as_ref().map(|engine| {
        Fields::default()
            .with("EngineVersion", engine.engine_version.as_str())
            .unless_empty("Labels", texts(&engine.labels))
            .unless_empty("Plugins", each(&engine.plugins, plugin))
            .done()
    });
    let trust = description
        .tls_info
        .as_ref()
        .map(|tls| json!({"TrustRoot": String::from_utf8_lossy(&tls.trust_root)}));
    Fields::default()
        .with("Hostname", description.hostname.as_str())
        .maybe("Platform", platform)
        .with(
            "Resources",
            Value::Object(container::amounts(description.resources.as_ref())),
        )
        .maybe("Engine", engine)
        .maybe("TLSInfo", trust)
        .done()
}

fn status(status: &NodeStatus) -> Value {
    Fields::default()
        .with("State", dashed(status.state().as_str_name()))
        .unless_empty("Message", status.message.as_str())
        .with("Addr", status.addr.as_str())
        .done()
}

fn manager(status: &ManagerStatus) -> Value {
    Fields::default()
        .unless_empty("Leader", status.leader)
        .with("Reachability", dashed(status.reachability().as_str_name()))
        .with("Addr", status.addr.as_str())
        .done()
}
