//! Networks and cluster volumes.

use std::net::IpAddr;

use types::network::IpamConfig;
use types::{NetworkSpec, VolumeSpec};

use crate::names::check_name;
use crate::problem::{Check, Invalid};

/// Marks the networks that every node has; users may not set it.
const PREDEFINED_LABEL: &str = "com.docker.swarm.predefined";

/// Checks a network.
///
/// # Errors
/// If a field is wrong.
pub fn network(spec: &NetworkSpec) -> Result<(), Invalid> {
    let mut check = Check::default();
    check_name(&mut check, &spec.annotations);
    check.require(
        !spec.annotations.labels.contains_key(PREDEFINED_LABEL),
        "annotations.labels",
        format_args!("{PREDEFINED_LABEL} is set by the cluster only"),
    );
    let driver = spec.driver.as_ref().map_or("", |d| d.name.as_str());
    if spec.ingress {
        check.require(
            matches!(driver, "" | "overlay"),
            "driver.name",
            format_args!("the routing mesh is an overlay network, not {driver:?}"),
        );
        check.require(
            !spec.attachable,
            "attachable",
            "containers cannot attach to the routing mesh",
        );
    }
    for (at, config) in spec.ipam.iter().flat_map(|i| &i.configs).enumerate() {
        check_ipam(&mut check, &format!("ipam.configs[{at}]"), config);
    }
    check.finish()
}

/// Checks a cluster volume.
///
/// # Errors
/// If a field is wrong.
pub fn volume(spec: &VolumeSpec) -> Result<(), Invalid> {
    let mut check = Check::default();
    check_name(&mut check, &spec.annotations);
    check.require(
        !spec.driver.name.is_empty(),
        "driver.name",
        "a driver is required",
    );
    let (least, most) = (spec.required_bytes, spec.limit_bytes);
    check.require(
        least >= 0 && most >= 0 && (most == 0 || least <= most),
        "required_bytes",
        format_args!("{least} to {most} bytes is not a range of sizes"),
    );
    check.finish()
}

fn check_ipam(check: &mut Check, path: &str, config: &IpamConfig) {
    let Some(subnet) = Subnet::parse(&config.subnet) else {
        return check.fail(
            format_args!("{path}.subnet"),
            format_args!("{:?} is not a subnet, such as 10.0.0.0/24", config.subnet),
        );
    };
    if !config.range.is_empty() {
        let range = Subnet::parse(&config.range);
        check.require(
            range.is_some_and(|r| subnet.holds(r.addr) && r.prefix_len >= subnet.prefix_len),
            format_args!("{path}.range"),
            format_args!(
                "{:?} is not a part of subnet {}",
                config.range, config.subnet
            ),
        );
    }
    if !config.gateway.is_empty() {
        let gateway = config.gateway.parse::<IpAddr>();
        check.require(
            gateway.is_ok_and(|g| subnet.holds(g)),
            format_args!("{path}.gateway"),
            format_args!(
                "{:?} is not an address in subnet {}",
                config.gateway, config.subnet
            ),
        );
    }
}

/// A subnet in CIDR notation.
#[derive(Debug, Clone, Copy)]
struct Subnet {
    addr: IpAddr,
    prefix_len: u32,
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (addr, len) = text.split_once('/')?;
        let addr: IpAddr = addr.parse().ok()?;
        let prefix_len: u32 = len.parse().ok()?;
        let bits = if addr.is_ipv4() { 32 } else { 128 };
        (prefix_len <= bits).then_some(Self { addr, prefix_len })
    }

    fn holds(&self, other: IpAddr) -> bool {
        let prefix = |value: u128, bits: u32| {
            let shift = bits - self.prefix_len;
            value.checked_shr(shift).unwrap_or(0)
        };
        match (self.addr, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                prefix(u128::from(a.to_bits()), 32) == prefix(u128::from(b.to_bits()), 32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => prefix(a.to_bits(), 128) == prefix(b.to_bits(), 128),
            _ => false,
        }
    }
}
