//! Why a manager could not be reached, in one sentence each.

use std::error::Error;
use std::io;

use pki::renewal::{ClockProblem, validity_problem};
use rustls::{AlertDescription, CertificateError};
use types::{NodeId, Timestamp};

/// Why no channel could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Not an address.
    #[error("\"{addr}\" is not an address of the form HOST:PORT")]
    BadAddress {
        /// As given.
        addr: String,
    },
    /// The name has no address.
    #[error("cannot reach {addr}: the host name is not known")]
    UnknownHost {
        /// As given.
        addr: String,
    },
    /// A machine answered that nobody listens.
    #[error("cannot reach {addr}: connection refused; is swarmd running there, on this port?")]
    Refused {
        /// Where.
        addr: String,
    },
    /// Nobody answered.
    #[error("cannot reach {addr}: {reason}; check the address, the network and firewalls")]
    Unreachable {
        /// Where.
        addr: String,
        /// The system's word.
        reason: String,
    },
    /// It does not speak TLS with HTTP/2.
    #[error("{addr} does not answer like a manager of a cluster: {reason}; check address and port")]
    NotAManager {
        /// Where.
        addr: String,
        /// What it did instead.
        reason: String,
    },
    /// Its certificate is of another root.
    #[error(
        "{addr} belongs to another cluster, or to one whose root certificate was replaced: its \
         certificate was not issued by the root certificate this node trusts"
    )]
    OtherCluster {
        /// Where.
        addr: String,
    },
    /// Its certificate is a worker's.
    #[error("{addr} is a node of this cluster, but not a manager; use the address of a manager")]
    NotInThatRole {
        /// Where.
        addr: String,
    },
    /// Another node has the address now.
    #[error("{addr} is node {found}, expected was node {expected}")]
    OtherNode {
        /// Where.
        addr: String,
        /// Who should be there.
        expected: NodeId,
        /// Who is there.
        found: NodeId,
    },
    /// The manager's certificate is not valid now.
    #[error("cannot trust {addr}: {problem}")]
    Clock {
        /// Where.
        addr: String,
        /// Which way, and by how much if it is known.
        problem: ClockOff,
    },
    /// The manager refuses this node's certificate.
    #[error("{addr} refuses this node's certificate: {because}")]
    CertificateRefused {
        /// Where.
        addr: String,
        /// Why, by its alert.
        because: RefusedBecause,
    },
    /// The local socket cannot be opened.
    #[error("cannot reach the local socket {path}: {reason}")]
    LocalSocket {
        /// Which.
        path: String,
        /// What to do.
        reason: String,
    },
    /// Anything else.
    #[error("cannot connect to {addr}: {reason}")]
    Other {
        /// Where.
        addr: String,
        /// The library's words.
        reason: String,
    },
}

/// A certificate is used outside its validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockOff {
    /// The span is known.
    #[error("its {0}")]
    By(#[from] ClockProblem),
    /// Only that it has not begun.
    #[error("its certificate is not valid yet; synchronise the clocks of both machines")]
    NotYetValid,
    /// Only that it has ended.
    #[error("its certificate has expired, or the clock of one of the two machines is off")]
    Expired,
}

/// What a manager objects to in a node's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedBecause {
    /// By its clock.
    #[error(
        "it has expired or is not valid yet by that manager's clock; synchronise the clocks, or \
         join again if it has expired"
    )]
    NotValidNow,
    /// It trusts other roots.
    #[error("it was not issued by that cluster's root certificate; join that cluster first")]
    UnknownAuthority,
    /// Anything else.
    #[error("it is not one that a node of that cluster would have; join again")]
    NotANode,
}

/// The reason of a failed call, if it is that no connection could be made.
#[must_use]
pub fn explain<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DialError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<DialError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

// === impl DialError ===

impl DialError {
    /// A failed TCP connection.
    pub(crate) fn tcp(addr: &str, error: &io::Error) -> Self {
        let addr = addr.to_owned();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { addr },
            _ => Self::Unreachable {
                addr,
                reason: error.to_string(),
            },
        }
    }

    /// A failed handshake, or an alert that came right after it.
    pub(crate) fn tls(addr: &str, error: &io::Error, now: Timestamp) -> Self {
        let addr = addr.to_owned();
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(refused)) => {
                Self::certificate(addr, refused, now)
            }
            Some(rustls::Error::AlertReceived(alert)) => Self::alert(addr, *alert),
            Some(other) => Self::NotAManager {
                addr,
                reason: other.to_string(),
            },
            None => Self::NotAManager {
                addr,
                reason: format!("it closed the connection ({error})"),
            },
        }
    }

    fn certificate(addr: String, refused: &CertificateError, now: Timestamp) -> Self {
        use CertificateError as E;
        let clock = |addr, problem| Self::Clock { addr, problem };
        match refused {
            E::UnknownIssuer | E::BadSignature => Self::OtherCluster { addr },
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::NotInThatRole { addr },
            E::Expired => clock(addr, ClockOff::Expired),
            E::NotValidYet => clock(addr, ClockOff::NotYetValid),
            E::ExpiredContext { not_after, .. } => {
                let end = Timestamp::from_secs(not_after.as_secs());
                let problem = validity_problem(Timestamp::ZERO, end, now);
                clock(addr, problem.map_or(ClockOff::Expired, ClockOff::By))
            }
            E::NotValidYetContext { not_before, .. } => {
                let start = Timestamp::from_secs(not_before.as_secs());
                let problem = validity_problem(start, Timestamp::MAX, now);
                clock(addr, problem.map_or(ClockOff::NotYetValid, ClockOff::By))
            }
            other => Self::NotAManager {
                addr,
                reason: other.to_string(),
            },
        }
    }

    fn alert(addr: String, alert: AlertDescription) -> Self {
        use AlertDescription as A;
        let because = match alert {
            A::CertificateExpired => RefusedBecause::NotValidNow,
            A::UnknownCA | A::DecryptError => RefusedBecause::UnknownAuthority,
            A::AccessDenied
            | A::BadCertificate
            | A::CertificateUnknown
            | A::CertificateRevoked
            | A::UnsupportedCertificate => RefusedBecause::NotANode,
            other => {
                let reason = format!("it ended the handshake with {other:?}");
                return Self::NotAManager { addr, reason };
            }
        };
        Self::CertificateRefused { addr, because }
    }
}
