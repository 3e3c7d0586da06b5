//! Cluster volumes.

use types::SecretId;
use types::meta::Labels;
use types::node::Availability;
use types::volume::{
    AccessMode, AccessType, PublishState, Sharing, Volume, VolumeInfo, VolumePublishStatus,
    VolumeSpec,
};

use super::{
    ConvertError, Problem, Result, encoded, enum_pairs, enumeration, id, list, message, number,
    required, unless_default,
};
use crate::api::volume_access_mode::AccessType as ApiAccessType;
use crate::api::{self, volume_access_mode, volume_publish_status, volume_spec};

enum_pairs!(volume_spec::VolumeAvailability, Availability {
    Active = Active,
    Pause = Pause,
    Drain = Drain,
});

enum_pairs!(volume_access_mode::Sharing, Sharing {
    None = None,
    ReadOnly = ReadOnly,
    OneWriter = OneWriter,
    All = All,
});

enum_pairs!(volume_publish_status::State, PublishState {
    PendingPublish = PendingPublish,
    Published = Published,
    PendingNodeUnpublish = PendingNodeUnpublish,
    PendingUnpublish = PendingUnpublish,
});

impl TryFrom<api::VolumeSpec> for VolumeSpec {
    type Error = ConvertError;

    fn try_from(spec: api::VolumeSpec) -> Result<Self> {
        let topologies = spec.accessibility_requirements.unwrap_or_default();
        let capacity = spec.capacity_range.unwrap_or_default();
        let availability = spec.availability;
        Ok(Self {
            annotations: message("annotations", spec.annotations)?,
            group: spec.group,
            driver: message("driver", spec.driver)?,
            access_mode: required("access_mode", spec.access_mode)?,
            secrets: volume_secrets(spec.secrets)?,
            requisite_topologies: segments(topologies.requisite),
            preferred_topologies: segments(topologies.preferred),
            required_bytes: capacity.required_bytes,
            limit_bytes: capacity.limit_bytes,
            availability: enumeration::<volume_spec::VolumeAvailability, _>(
                "availability",
                availability,
            )?,
        })
    }
}

impl From<&VolumeSpec> for api::VolumeSpec {
    fn from(spec: &VolumeSpec) -> Self {
        let secret = |(key, id): &(String, SecretId)| api::VolumeSecret {
            key: key.clone(),
            secret: id.to_string(),
        };
        Self {
            annotations: Some((&spec.annotations).into()),
            group: spec.group.clone(),
            driver: Some((&spec.driver).into()),
            access_mode: Some((&spec.access_mode).into()),
            secrets: spec.secrets.iter().map(secret).collect(),
            accessibility_requirements: unless_default(api::TopologyRequirement {
                requisite: topologies(&spec.requisite_topologies),
                preferred: topologies(&spec.preferred_topologies),
            }),
            capacity_range: unless_default(api::CapacityRange {
                required_bytes: spec.required_bytes,
                limit_bytes: spec.limit_bytes,
            }),
            availability: number::<volume_spec::VolumeAvailability, _>(spec.availability),
        }
    }
}

fn volume_secrets(secrets: Vec<api::VolumeSecret>) -> Result<Vec<(String, SecretId)>> {
    let convert = |(i, secret): (usize, api::VolumeSecret)| {
        let id = id(&format!("secrets[{i}].secret"), &secret.secret)?;
        Ok((secret.key, id))
    };
    secrets.into_iter().enumerate().map(convert).collect()
}

fn segments(topologies: Vec<api::Topology>) -> Vec<Labels> {
    topologies.into_iter().map(|t| t.segments).collect()
}

fn topologies(segments: &[Labels]) -> Vec<api::Topology> {
    let topology = |segments: &Labels| api::Topology {
        segments: segments.clone(),
    };
    segments.iter().map(topology).collect()
}

impl TryFrom<api::VolumeAccessMode> for AccessMode {
    type Error = ConvertError;

    fn try_from(mode: api::VolumeAccessMode) -> Result<Self> {
        let scope: volume_access_mode::Scope =
            enumeration::<volume_access_mode::Scope, _>("scope", mode.scope)?;
        let access = match mode.access_type {
            Some(ApiAccessType::Block(_)) => AccessType::Block,
            Some(ApiAccessType::Mount(mount)) => AccessType::Mount {
                fs_type: mount.fs_type,
                flags: mount.mount_flags,
            },
            None => return Err(ConvertError::new("access_type", Problem::Missing)),
        };
        Ok(Self {
            multi_node: scope == volume_access_mode::Scope::MultiNode,
            sharing: enumeration::<volume_access_mode::Sharing, _>("sharing", mode.sharing)?,
            access,
        })
    }
}

impl From<&AccessMode> for api::VolumeAccessMode {
    fn from(mode: &AccessMode) -> Self {
        let scope = if mode.multi_node {
            volume_access_mode::Scope::MultiNode
        } else {
            volume_access_mode::Scope::SingleNode
        };
        let access = match mode.access.clone() {
            AccessType::Block => ApiAccessType::Block(volume_access_mode::BlockVolume {}),
            AccessType::Mount { fs_type, flags } => {
                ApiAccessType::Mount(volume_access_mode::MountVolume {
                    fs_type,
                    mount_flags: flags,
                })
            }
        };
        Self {
            scope: scope.into(),
            sharing: number::<volume_access_mode::Sharing, _>(mode.sharing),
            access_type: Some(access),
        }
    }
}

impl TryFrom<api::Volume> for Volume {
    type Error = ConvertError;

    fn try_from(volume: api::Volume) -> Result<Self> {
        Ok(Self {
            id: id("id", &volume.id)?,
            meta: message("meta", volume.meta)?,
            spec: required("spec", volume.spec)?,
            publish_status: list("publish_status", volume.publish_status)?,
            info: volume.volume_info.map(Into::into),
            pending_delete: volume.pending_delete,
        })
    }
}

impl From<&Volume> for api::Volume {
    fn from(volume: &Volume) -> Self {
        Self {
            id: volume.id.to_string(),
            meta: Some((&volume.meta).into()),
            spec: Some((&volume.spec).into()),
            publish_status: encoded(&volume.publish_status),
            volume_info: volume.info.as_ref().map(Into::into),
            pending_delete: volume.pending_delete,
        }
    }
}

impl TryFrom<api::VolumePublishStatus> for VolumePublishStatus {
    type Error = ConvertError;

    fn try_from(status: api::VolumePublishStatus) -> Result<Self> {
        Ok(Self {
            node_id: id("node_id", &status.node_id)?,
            state: enumeration::<volume_publish_status::State, _>("state", status.state)?,
            publish_context: status.publish_context,
            message: status.message,
        })
    }
}

impl From<&VolumePublishStatus> for api::VolumePublishStatus {
    fn from(status: &VolumePublishStatus) -> Self {
        Self {
            node_id: status.node_id.to_string(),
            state: number::<volume_publish_status::State, _>(status.state),
            publish_context: status.publish_context.clone(),
            message: status.message.clone(),
        }
    }
}

impl From<api::VolumeInfo> for VolumeInfo {
    fn from(info: api::VolumeInfo) -> Self {
        Self {
            capacity_bytes: info.capacity_bytes,
            volume_context: info.volume_context,
            volume_id: info.volume_id,
            accessible_topology: segments(info.accessible_topology),
        }
    }
}

impl From<&VolumeInfo> for api::VolumeInfo {
    fn from(info: &VolumeInfo) -> Self {
        Self {
            capacity_bytes: info.capacity_bytes,
            volume_context: info.volume_context.clone(),
            volume_id: info.volume_id.clone(),
            accessible_topology: topologies(&info.accessible_topology),
        }
    }
}
