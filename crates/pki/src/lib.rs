//! Identity of nodes: join tokens, the cluster's certificate authority, node certificates.
//!
//! Everything here is a function of its inputs. The time, serial numbers, token secrets and the
//! random part of a renewal moment come in as arguments. The one exception is the making of
//! private keys and ECDSA signatures: `rcgen` draws those random bytes from the operating system
//! itself (through `ring`), and a caller must not choose them.
//!
//! The crate never opens a connection or a file, never keeps a private key longer than the value
//! the caller holds, and never decides from anything but the certificate what a node is.
//!
//! | module | what it answers |
//! |---|---|
//! | [`token`] | is this a join token, of this cluster, and for which role |
//! | [`root`] | the self-signed root, loading it, cross-signing its successor |
//! | [`csr`] | the request a node sends and what is taken from it |
//! | [`node_cert`] | the certificate a node gets |
//! | [`identity`] | who a certificate says it belongs to |
//! | [`chain`] | does a certificate lead to a trusted root, now |
//! | [`renewal`] | when to ask for the next certificate; whose clock is off |
//! | [`issuance`] | may this caller have a certificate, and for which role |
//! | [`files`] | file names and contents in a node's certificate directory |

pub mod chain;
pub mod csr;
pub mod files;
pub mod identity;
pub mod issuance;
pub mod node_cert;
pub mod renewal;
pub mod root;
pub mod token;

mod base36;
mod time;

pub use chain::{ChainError, NodeChain, RootBundle, RootBundleError, Usage};
pub use csr::{Csr, CsrError, PrivateKeyPem};
pub use identity::{Identity, IdentityError};
pub use issuance::{RenewalRefused, renewal_role, token_role};
pub use node_cert::{CertificateOrder, IssueError, Serial, issue};
pub use renewal::{ClockProblem, renew_at, retry_delay, validity_problem};
pub use root::{RootCa, RootError};
pub use token::{JoinToken, JoinTokens, TokenError, TokenMismatch, TokenVersion};

/// Organisational unit of a manager's certificate, and the server name clients expect.
pub const MANAGER_OU: &str = "swarm-manager";
/// Organisational unit of a worker's certificate.
pub const WORKER_OU: &str = "swarm-worker";
/// Common name of the root and the server name a node expects before it has a certificate.
pub const CA_NAME: &str = "swarm-ca";

/// Organisational unit that stands for a role in certificates and forwarding metadata.
#[must_use]
pub fn ou_of(role: types::NodeRole) -> &'static str {
    match role {
        types::NodeRole::Manager => MANAGER_OU,
        types::NodeRole::Worker => WORKER_OU,
    }
}

/// Role an organisational unit stands for; `None` for any other text.
#[must_use]
pub fn role_of(ou: &str) -> Option<types::NodeRole> {
    match ou {
        MANAGER_OU => Some(types::NodeRole::Manager),
        WORKER_OU => Some(types::NodeRole::Worker),
        _ => None,
    }
}
