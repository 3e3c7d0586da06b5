//! Networks and attachments.

use std::sync::Arc;

use types::network::{
    IpFamily, IpamConfig, IpamOptions, Network, NetworkAttachment, NetworkAttachmentConfig,
    NetworkSpec,
};

use super::required;
use super::{ConvertError, encoded, enum_pairs, enumeration, id, list, message, number, optional};
use crate::api::{self, ipam_config::AddressFamily, network_spec::ConfigFrom};

enum_pairs!(AddressFamily, IpFamily { Unknown = Unknown, Ipv4 = V4, Ipv6 = V6 });

impl TryFrom<api::NetworkSpec> for NetworkSpec {
    type Error = ConvertError;

    fn try_from(spec: api::NetworkSpec) -> Result<Self, ConvertError> {
        Ok(Self {
            annotations: message("annotations", spec.annotations)?,
            driver: spec.driver_config.map(Into::into),
            ipv6_enabled: spec.ipv6_enabled,
            internal: spec.internal,
            ipam: optional("ipam", spec.ipam)?,
            attachable: spec.attachable,
            ingress: spec.ingress,
            config_from: spec.config_from.map(|ConfigFrom::Network(name)| name),
        })
    }
}

impl From<&NetworkSpec> for api::NetworkSpec {
    fn from(spec: &NetworkSpec) -> Self {
        Self {
            annotations: Some((&spec.annotations).into()),
            driver_config: spec.driver.as_ref().map(Into::into),
            ipv6_enabled: spec.ipv6_enabled,
            internal: spec.internal,
            ipam: spec.ipam.as_ref().map(Into::into),
            attachable: spec.attachable,
            ingress: spec.ingress,
            config_from: spec.config_from.clone().map(ConfigFrom::Network),
        }
    }
}

impl TryFrom<api::IpamOptions> for IpamOptions {
    type Error = ConvertError;

    fn try_from(options: api::IpamOptions) -> Result<Self, ConvertError> {
        Ok(Self {
            driver: options.driver.map(Into::into),
            configs: list("configs", options.configs)?,
        })
    }
}

impl From<&IpamOptions> for api::IpamOptions {
    fn from(options: &IpamOptions) -> Self {
        Self {
            driver: options.driver.as_ref().map(Into::into),
            configs: encoded(&options.configs),
        }
    }
}

impl TryFrom<api::IpamConfig> for IpamConfig {
    type Error = ConvertError;

    fn try_from(config: api::IpamConfig) -> Result<Self, ConvertError> {
        Ok(Self {
            family: enumeration::<AddressFamily, _>("family", config.family)?,
            subnet: config.subnet,
            range: config.range,
            gateway: config.gateway,
            reserved: config.reserved,
        })
    }
}

impl From<&IpamConfig> for api::IpamConfig {
    fn from(config: &IpamConfig) -> Self {
        Self {
            family: number::<AddressFamily, _>(config.family),
            subnet: config.subnet.clone(),
            range: config.range.clone(),
            gateway: config.gateway.clone(),
            reserved: config.reserved.clone(),
        }
    }
}

impl TryFrom<api::Network> for Network {
    type Error = ConvertError;

    fn try_from(network: api::Network) -> Result<Self, ConvertError> {
        Ok(Self {
            id: id("id", &network.id)?,
            meta: message("meta", network.meta)?,
            spec: message("spec", network.spec)?,
            driver_state: network.driver_state.map(Into::into),
            ipam: optional("ipam", network.ipam)?,
            pending_delete: network.pending_delete,
        })
    }
}

impl From<&Network> for api::Network {
    fn from(network: &Network) -> Self {
        Self {
            id: network.id.to_string(),
            meta: Some((&network.meta).into()),
            spec: Some((&network.spec).into()),
            driver_state: network.driver_state.as_ref().map(Into::into),
            ipam: network.ipam.as_ref().map(Into::into),
            pending_delete: network.pending_delete,
            extra: None,
        }
    }
}

impl From<api::NetworkAttachmentConfig> for NetworkAttachmentConfig {
    fn from(config: api::NetworkAttachmentConfig) -> Self {
        Self {
            target: config.target,
            aliases: config.aliases,
            addresses: config.addresses,
            driver_attachment_opts: config.driver_attachment_opts,
        }
    }
}

impl From<&NetworkAttachmentConfig> for api::NetworkAttachmentConfig {
    fn from(config: &NetworkAttachmentConfig) -> Self {
        Self {
            target: config.target.clone(),
            aliases: config.aliases.clone(),
            addresses: config.addresses.clone(),
            driver_attachment_opts: config.driver_attachment_opts.clone(),
        }
    }
}

impl TryFrom<api::NetworkAttachment> for NetworkAttachment {
    type Error = ConvertError;

    fn try_from(attachment: api::NetworkAttachment) -> Result<Self, ConvertError> {
        let network: Network = required("network", attachment.network)?;
        Ok(Self {
            network: Arc::new(network),
            addresses: attachment.addresses,
            aliases: attachment.aliases,
            driver_attachment_opts: attachment.driver_attachment_opts,
        })
    }
}

impl From<&NetworkAttachment> for api::NetworkAttachment {
    fn from(attachment: &NetworkAttachment) -> Self {
        Self {
            network: Some((&*attachment.network).into()),
            addresses: attachment.addresses.clone(),
            aliases: attachment.aliases.clone(),
            driver_attachment_opts: attachment.driver_attachment_opts.clone(),
        }
    }
}
