//! The metadata a follower sends along when it passes a call on, with SwarmKit's names and meaning.
//!
//! | key | value |
//! |---|---|
//! | `forwarded_cert` | `true` when a caller's identity is passed along |
//! | `forwarded_cert_cn`, `_org`, `_ou` | its certificate's names; empty without a certificate |
//! | `remote_addr` | where the caller called from |
//! | `redirect` | one value per hop: who passed it on |
//!
//! Reading always removes all of it: services never see metadata that a caller could have forged.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue};
use policy::{Forwarded, Subject};

const CERT: &str = "forwarded_cert";
const NAME: &str = "forwarded_cert_cn";
const ORGANISATION: &str = "forwarded_cert_org";
const UNIT: &str = "forwarded_cert_ou";
const REMOTE_ADDR: &str = "remote_addr";
const REDIRECT: &str = "redirect";

/// In the answer of a manager that was passed a call and does not lead. Nothing was done.
pub(crate) const NOT_LEADING: &str = "swarm-not-leading";

/// All keys of forwarding metadata.
pub const KEYS: [&str; 6] = [CERT, NAME, ORGANISATION, UNIT, REMOTE_ADDR, REDIRECT];

/// What arrived with a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// The identity passed along; `Err` if it cannot be read.
    pub(crate) forwarded: Option<Result<Forwarded, Unreadable>>,
    pub(crate) remote_addr: Option<String>,
    pub(crate) hops: usize,
}

/// Forwarding metadata that is not a node's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("forwarded identity cannot be read: {0} is missing, repeated or malformed")]
pub(crate) struct Unreadable(&'static str);

/// Takes all forwarding metadata out of a call's headers.
pub(crate) fn take(headers: &mut HeaderMap) -> Received {
    let received = Received {
        forwarded: headers.contains_key(CERT).then(|| identity(headers)),
        remote_addr: text(headers, REMOTE_ADDR).map(str::to_owned),
        hops: headers.get_all(REDIRECT).iter().count(),
    };
    for key in KEYS {
        headers.remove(key);
    }
    received
}

/// Adds what the leader has to know about a call that is passed on.
///
/// A caller on the local socket is this node itself: nothing but the hop is added.
pub(crate) fn add(
    headers: &mut HeaderMap,
    caller: Option<Forwarded>,
    remote_addr: Option<&str>,
    hop: &str,
) {
    let mut put = |key: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(key, value);
        }
    };
    put(REDIRECT, hop);
    let Some(caller) = caller else { return };
    put(CERT, "true");
    if let Forwarded::Node(subject) = caller {
        put(NAME, &subject.node_id.to_string());
        put(ORGANISATION, &subject.cluster_id.to_string());
        put(UNIT, pki::ou_of(subject.role));
    }
    if let Some(remote_addr) = remote_addr {
        put(REMOTE_ADDR, remote_addr);
    }
}

fn identity(headers: &HeaderMap) -> Result<Forwarded, Unreadable> {
    if text(headers, CERT) != Some("true") {
        return Err(Unreadable(CERT));
    }
    let empty = |key| headers.get_all(key).iter().all(HeaderValue::is_empty);
    if [NAME, ORGANISATION, UNIT].into_iter().all(empty) {
        return Ok(Forwarded::Anonymous);
    }
    let unit = text(headers, UNIT).ok_or(Unreadable(UNIT))?;
    Ok(Forwarded::Node(Subject {
        node_id: parsed(headers, NAME)?,
        role: pki::role_of(unit).ok_or(Unreadable(UNIT))?,
        cluster_id: parsed(headers, ORGANISATION)?,
    }))
}

fn parsed<T: FromStr>(headers: &HeaderMap, key: &'static str) -> Result<T, Unreadable> {
    text(headers, key)
        .and_then(|text| text.parse().ok())
        .ok_or(Unreadable(key))
}

/// The value of a key that is there exactly once and is text.
fn text<'a>(headers: &'a HeaderMap, key: &'static str) -> Option<&'a str> {
    let mut values = headers.get_all(key).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{ClusterId, NodeId, NodeRole};

    fn subject() -> Subject {
        Subject {
            node_id: NodeId::MAX,
            role: NodeRole::Worker,
            cluster_id: ClusterId::MIN,
        }
    }

    #[test]
    fn what_is_added_is_what_is_read_and_nothing_stays() {
        for caller in [Forwarded::Anonymous, Forwarded::Node(subject())] {
            let mut headers = HeaderMap::new();
            headers.insert("te", HeaderValue::from_static("trailers"));
            add(&mut headers, Some(caller), Some("10.0.0.9:400"), "hop");
            let received = take(&mut headers);
            assert_eq!(received.forwarded, Some(Ok(caller)));
            assert_eq!(received.remote_addr.as_deref(), Some("10.0.0.9:400"));
            assert_eq!(received.hops, 1);
            assert_eq!(headers.len(), 1);
        }
    }

    #[test]
    fn a_local_call_carries_only_the_hop() {
        let mut headers = HeaderMap::new();
        add(&mut headers, None, None, "hop");
        let expected = Received {
            forwarded: None,
            remote_addr: None,
            hops: 1,
        };
        assert_eq!(take(&mut headers), expected);
    }

    #[test]
    fn two_units_or_half_an_identity_are_not_read_as_anybody() {
        let whole = || {
            let mut headers = HeaderMap::new();
            add(&mut headers, Some(Forwarded::Node(subject())), None, "hop");
            headers
        };
        let mut two = whole();
        two.append(UNIT, HeaderValue::from_static("swarm-manager"));
        assert_eq!(take(&mut two).forwarded, Some(Err(Unreadable(UNIT))));
        let mut half = whole();
        half.remove(NAME);
        assert_eq!(take(&mut half).forwarded, Some(Err(Unreadable(NAME))));
    }

    #[test]
    fn hops_are_counted_one_per_value() {
        let mut headers = HeaderMap::new();
        add(&mut headers, None, None, "a");
        add(&mut headers, None, None, "b");
        assert_eq!(take(&mut headers).hops, 2);
    }
}
