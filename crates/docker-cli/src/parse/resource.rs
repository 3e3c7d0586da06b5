//! Generic resources, ulimits, hosts, placement preferences.

use wire::api::container_spec::Ulimit;
use wire::api::generic_resource::Resource;
use wire::api::placement_preference::Preference;
use wire::api::{
    DiscreteGenericResource, GenericResource, NamedGenericResource, PlacementPreference, SpreadOver,
};

type Result<T> = std::result::Result<T, String>;

/// `KIND=COUNT` asks for a number of units, `KIND=NAME` for a particular one.
///
/// # Errors
/// If the kind or the value is missing, or a count is below 1.
pub fn generic(text: &str) -> Result<GenericResource> {
    let pair = text
        .split_once('=')
        .filter(|(kind, value)| !kind.is_empty() && !value.is_empty());
    let (kind, value) = pair.ok_or("expected KIND=COUNT such as gpu=2, or KIND=NAME")?;
    let kind = kind.to_owned();
    let resource = match value.parse::<i64>() {
        Ok(count) if count < 1 => return Err("a count must be at least 1".into()),
        Ok(value) => Resource::DiscreteResourceSpec(DiscreteGenericResource { kind, value }),
        Err(_) => {
            let value = value.to_owned();
            Resource::NamedResourceSpec(NamedGenericResource { kind, value })
        }
    };
    Ok(GenericResource {
        resource: Some(resource),
    })
}

/// The kind of a generic resource.
pub fn generic_kind(resource: &GenericResource) -> &str {
    match &resource.resource {
        Some(Resource::NamedResourceSpec(named)) => &named.kind,
        Some(Resource::DiscreteResourceSpec(discrete)) => &discrete.kind,
        None => "",
    }
}

/// `NAME=SOFT[:HARD]`.
///
/// # Errors
/// If a number is missing or the soft limit exceeds the hard one.
pub fn ulimit(text: &str) -> Result<Ulimit> {
    const EXPECTED: &str = "expected NAME=SOFT[:HARD] such as nofile=1024:2048";
    let (name, limits) = text
        .split_once('=')
        .filter(|(n, _)| !n.is_empty())
        .ok_or(EXPECTED)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let soft: i64 = soft.parse().map_err(|_| EXPECTED)?;
    let hard: i64 = hard.parse().map_err(|_| EXPECTED)?;
    if hard != -1 && (soft > hard || soft == -1) {
        return Err("the soft limit exceeds the hard one".into());
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

/// `NAME:ADDRESS` as a line of a hosts file.
///
/// # Errors
/// If either is missing or the address is none.
pub fn host(text: &str) -> Result<String> {
    const EXPECTED: &str = "expected NAME:ADDRESS such as db:10.0.0.7";
    let split = text
        .split_once([':', '='])
        .filter(|(name, _)| !name.is_empty());
    let (name, address) = split.ok_or(EXPECTED)?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
        return Err(EXPECTED.into());
    }
    Ok(format!("{address} {name}"))
}

/// `spread=node.labels.zone`.
///
/// # Errors
/// If it is another strategy or names nothing.
pub fn preference(text: &str) -> Result<PlacementPreference> {
    let over = text.strip_prefix("spread=").filter(|over| !over.is_empty());
    let over = over.ok_or("expected spread=FIELD such as spread=node.labels.zone")?;
    let spread = SpreadOver {
        spread_descriptor: over.to_owned(),
    };
    Ok(PlacementPreference {
        preference: Some(Preference::Spread(spread)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_dockers_syntax() {
        assert_eq!(generic_kind(&generic("gpu=2").unwrap()), "gpu");
        assert!(matches!(
            generic("gpu=UUID1").unwrap().resource,
            Some(Resource::NamedResourceSpec(_))
        ));
        let limit = ulimit("nofile=10:20").unwrap();
        assert_eq!((limit.soft, limit.hard), (10, 20));
        assert_eq!(host("db:10.0.0.7").unwrap(), "10.0.0.7 db");
        assert_eq!(host("db:[::1]").unwrap(), "::1 db");
        assert!(preference("spread=node.labels.zone").is_ok());
    }

    #[test]
    fn malformed_values_are_refused() {
        assert!(generic("gpu").is_err() && generic("gpu=0").is_err() && generic("=1").is_err());
        assert!(ulimit("nofile").is_err() && ulimit("n=a").is_err() && ulimit("n=2:1").is_err());
        assert!(host("db").is_err() && host("db:nowhere").is_err());
        assert!(preference("binpack=x").is_err() && preference("spread=").is_err());
    }
}
