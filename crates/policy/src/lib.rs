//! Who may call what: one row per RPC, and one function that decides.
//!
//! A caller is known by the certificate of its connection, or by the local socket it came in
//! through. A follower passes calls that only the leader answers on to it, together with the
//! caller's identity; that identity is then held to the same row and the same standing in the
//! tables as if the caller had come directly. A certificate never gives more than the tables do
//! now: a demoted manager is a worker, whatever its certificate says.
//!
//! Nothing here reads certificates, metadata or stores: the facts come in, the decision goes out.
//! An RPC without a row is refused. What a service checks beyond the row (a node reports only its
//! own tasks) is the service's.

mod decide;
mod table;

pub use decide::{
    Call, Caller, ClusterFacts, Decision, Denied, DeniedKind, Forwarded, Peer, Route, Standing,
    Subject, decide,
};
pub use table::{CallerKind, Row, Serve, TABLE, row};
