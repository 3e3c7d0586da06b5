//! Nodes.

use std::sync::Arc;

use types::node::{
    Availability, Certificate, CsiInfo, EngineDescription, IssuanceState, Membership, Node,
    NodeDescription, NodeRole, NodeSpec, NodeState, NodeStatus, Platform, PluginDescription,
    TlsInfo,
};

use super::{
    ConvertError, Result, encoded, enum_pairs, enumeration, id, list, message, number, optional,
};
use crate::api::{self, issuance_status, node_spec, node_status};

enum_pairs!(api::NodeRole, NodeRole { Worker = Worker, Manager = Manager });

enum_pairs!(node_spec::Membership, Membership { Pending = Pending, Accepted = Accepted });

enum_pairs!(node_spec::Availability, Availability {
    Active = Active,
    Pause = Pause,
    Drain = Drain,
});

enum_pairs!(node_status::State, NodeState {
    Unknown = Unknown,
    Down = Down,
    Ready = Ready,
    Disconnected = Disconnected,
});

enum_pairs!(issuance_status::State, IssuanceState {
    Unknown = Unknown,
    Renew = Renew,
    Pending = Pending,
    Issued = Issued,
    Failed = Failed,
    Rotate = Rotate,
});

impl TryFrom<api::NodeSpec> for NodeSpec {
    type Error = ConvertError;

    fn try_from(spec: api::NodeSpec) -> Result<Self> {
        let availability = spec.availability;
        Ok(Self {
            annotations: message("annotations", spec.annotations)?,
            desired_role: enumeration::<api::NodeRole, _>("desired_role", spec.desired_role)?,
            membership: enumeration::<node_spec::Membership, _>("membership", spec.membership)?,
            availability: enumeration::<node_spec::Availability, _>("availability", availability)?,
        })
    }
}

impl From<&NodeSpec> for api::NodeSpec {
    fn from(spec: &NodeSpec) -> Self {
        Self {
            annotations: Some((&spec.annotations).into()),
            desired_role: number::<api::NodeRole, _>(spec.desired_role),
            membership: number::<node_spec::Membership, _>(spec.membership),
            availability: number::<node_spec::Availability, _>(spec.availability),
        }
    }
}

/// Raft facts in `manager_status` belong to the reader of a node and are not stored.
impl TryFrom<api::Node> for Node {
    type Error = ConvertError;

    fn try_from(node: api::Node) -> Result<Self> {
        let description: Option<NodeDescription> = optional("description", node.description)?;
        Ok(Self {
            id: id("id", &node.id)?,
            meta: message("meta", node.meta)?,
            spec: message("spec", node.spec)?,
            description: description.map(Arc::new),
            status: message("status", node.status)?,
            certificate: message("certificate", node.certificate)?,
            role: enumeration::<api::NodeRole, _>("role", node.role)?,
            attachments: list("attachments", node.attachments)?,
            vxlan_udp_port: node.vxlanudp_port,
        })
    }
}

impl From<&Node> for api::Node {
    fn from(node: &Node) -> Self {
        Self {
            id: node.id.to_string(),
            meta: Some((&node.meta).into()),
            spec: Some((&node.spec).into()),
            description: node.description.as_deref().map(Into::into),
            status: Some((&node.status).into()),
            manager_status: None,
            attachment: None,
            certificate: Some((&node.certificate).into()),
            role: number::<api::NodeRole, _>(node.role),
            attachments: encoded(&node.attachments),
            vxlanudp_port: node.vxlan_udp_port,
        }
    }
}

impl TryFrom<api::NodeDescription> for NodeDescription {
    type Error = ConvertError;

    fn try_from(description: api::NodeDescription) -> Result<Self> {
        Ok(Self {
            hostname: description.hostname,
            platform: message("platform", description.platform)?,
            resources: message("resources", description.resources)?,
            engine: message("engine", description.engine)?,
            tls_info: description.tls_info.map(Into::into),
            fips: description.fips,
            csi: list("csi_info", description.csi_info)?,
        })
    }
}

impl From<&NodeDescription> for api::NodeDescription {
    fn from(description: &NodeDescription) -> Self {
        Self {
            hostname: description.hostname.clone(),
            platform: Some((&description.platform).into()),
            resources: Some((&description.resources).into()),
            engine: Some((&description.engine).into()),
            tls_info: description.tls_info.as_ref().map(Into::into),
            fips: description.fips,
            csi_info: encoded(&description.csi),
        }
    }
}

impl From<api::Platform> for Platform {
    fn from(platform: api::Platform) -> Self {
        Self {
            architecture: platform.architecture,
            os: platform.os,
        }
    }
}

impl From<&Platform> for api::Platform {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
        }
    }
}

impl From<api::EngineDescription> for EngineDescription {
    fn from(engine: api::EngineDescription) -> Self {
        let plugin = |p: api::PluginDescription| PluginDescription {
            kind: p.r#type,
            name: p.name,
        };
        Self {
            version: engine.engine_version,
            labels: engine.labels,
            plugins: engine.plugins.into_iter().map(plugin).collect(),
        }
    }
}

impl From<&EngineDescription> for api::EngineDescription {
    fn from(engine: &EngineDescription) -> Self {
        let plugin = |p: PluginDescription| api::PluginDescription {
            r#type: p.kind,
            name: p.name,
        };
        Self {
            engine_version: engine.version.clone(),
            labels: engine.labels.clone(),
            plugins: engine.plugins.iter().cloned().map(plugin).collect(),
        }
    }
}

impl From<api::NodeTlsInfo> for TlsInfo {
    fn from(info: api::NodeTlsInfo) -> Self {
        Self {
            trust_root: info.trust_root,
            cert_issuer_subject: info.cert_issuer_subject,
            cert_issuer_public_key: info.cert_issuer_public_key,
        }
    }
}

impl From<&TlsInfo> for api::NodeTlsInfo {
    fn from(info: &TlsInfo) -> Self {
        Self {
            trust_root: info.trust_root.clone(),
            cert_issuer_subject: info.cert_issuer_subject.clone(),
            cert_issuer_public_key: info.cert_issuer_public_key.clone(),
        }
    }
}

impl From<api::NodeCsiInfo> for CsiInfo {
    fn from(info: api::NodeCsiInfo) -> Self {
        Self {
            plugin_name: info.plugin_name,
            node_id: info.node_id,
            max_volumes_per_node: info.max_volumes_per_node,
            accessible_topology: info.accessible_topology.map(|t| t.segments),
        }
    }
}

impl From<&CsiInfo> for api::NodeCsiInfo {
    fn from(info: &CsiInfo) -> Self {
        let topology = info.accessible_topology.clone();
        Self {
            plugin_name: info.plugin_name.clone(),
            node_id: info.node_id.clone(),
            max_volumes_per_node: info.max_volumes_per_node,
            accessible_topology: topology.map(|segments| api::Topology { segments }),
        }
    }
}

impl TryFrom<api::NodeStatus> for NodeStatus {
    type Error = ConvertError;

    fn try_from(status: api::NodeStatus) -> Result<Self> {
        Ok(Self {
            state: enumeration::<node_status::State, _>("state", status.state)?,
            message: status.message,
            addr: status.addr,
        })
    }
}

impl From<&NodeStatus> for api::NodeStatus {
    fn from(status: &NodeStatus) -> Self {
        Self {
            state: number::<node_status::State, _>(status.state),
            message: status.message.clone(),
            addr: status.addr.clone(),
        }
    }
}

impl TryFrom<api::Certificate> for Certificate {
    type Error = ConvertError;

    fn try_from(certificate: api::Certificate) -> Result<Self> {
        let status = certificate.status.unwrap_or_default();
        let state = enumeration::<issuance_status::State, _>("state", status.state);
        Ok(Self {
            role: enumeration::<api::NodeRole, _>("role", certificate.role)?,
            csr: certificate.csr,
            state: state.map_err(|e| e.inside("status"))?,
            err: status.err,
            certificate: certificate.certificate,
            cn: certificate.cn,
        })
    }
}

impl From<&Certificate> for api::Certificate {
    fn from(certificate: &Certificate) -> Self {
        Self {
            role: number::<api::NodeRole, _>(certificate.role),
            csr: certificate.csr.clone(),
            status: Some(api::IssuanceStatus {
                state: number::<issuance_status::State, _>(certificate.state),
                err: certificate.err.clone(),
            }),
            certificate: certificate.certificate.clone(),
            cn: certificate.cn.clone(),
        }
    }
}
