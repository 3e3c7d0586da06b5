//! TLS between nodes: listeners, channels, and the gate every call passes.
//!
//! - [`Credentials`] holds a node's key, chain and roots; replacing them affects every handshake
//!   from then on and needs no restart.
//! - [`Listener`] and [`LocalListener`] accept connections and attach to each who is at its other
//!   end.
//! - [`Dialer`] opens HTTP/2 channels and says in one sentence why it could not.
//! - [`Gate`] wraps all services of a manager: it finds out who calls, asks `policy`, attaches the
//!   [`Caller`] to the request or passes the call on to the leader.
//!
//! Nothing here knows a single message: calls travel through as HTTP/2 requests.

mod clock;
mod connection;
mod credentials;
mod dial_error;
mod dialer;
mod forward;
mod gate;
mod listener;
mod local;
mod metadata;
mod network;
mod prefetch;
mod repeat;
mod server;
mod until_over;
mod verify;

pub use connection::{Closer, Connection, PeerInfo};
pub use credentials::{Credentials, ReplaceError, Snapshot};
pub use dial_error::{ClockOff, DialError, RefusedBecause, explain};
pub use dialer::{Dialer, connect_local};
pub use forward::{ClusterView, Leader, LeaderAddress};
pub use gate::{Caller, Gate, GateLayer};
pub use listener::{BindError, Incoming, Listener};
pub use local::LocalListener;
pub use metadata::KEYS as FORWARDING_METADATA;
pub use network::{Accepts, Network, Soon, Wire};
pub use policy::Standing;
pub use server::server_builder;
