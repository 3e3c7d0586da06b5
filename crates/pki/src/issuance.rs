//! May this caller have a certificate, and for which role: decisions over committed state.
//!
//! A first certificate is given for a token, a renewal for the certificate the caller already
//! holds. The role of a renewal is the one the cluster has for the node, never the one in the old
//! certificate or in the request: that is how promotion and demotion take effect.

use types::node::Membership;
use types::{Node, NodeRole};

use crate::token::{JoinToken, JoinTokens, TokenError, TokenMismatch};

/// Why a token gives no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Not a token at all.
    #[error(transparent)]
    Malformed(#[from] TokenError),
    /// Not one of this cluster's current tokens.
    #[error(transparent)]
    Mismatch(#[from] TokenMismatch),
}

/// Why a node gets no new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalRefused {
    /// It was removed.
    #[error("node was removed from the cluster; it has to join again with a token")]
    Removed,
    /// The cluster does not know it.
    #[error("node is not known in this cluster; it has to join again with a token")]
    Unknown,
    /// It waits for an operator.
    #[error("node has not been accepted into the cluster yet; accept it on a manager")]
    NotAccepted,
}

/// The role a shown token gives to a new node.
///
/// # Errors
/// [`TokenRefused`] with what to do.
pub fn token_role(shown: &str, tokens: &JoinTokens) -> Result<NodeRole, TokenRefused> {
    let shown: JoinToken = shown.parse()?;
    Ok(tokens.role_of(&shown)?)
}

/// The role a node's next certificate gets. `node` is its committed object, `removed` whether its
/// certificates are on the list of removed nodes.
///
/// # Errors
/// [`RenewalRefused`] with what to do.
pub fn renewal_role(node: Option<&Node>, removed: bool) -> Result<NodeRole, RenewalRefused> {
    if removed {
        return Err(RenewalRefused::Removed);
    }
    let node = node.ok_or(RenewalRefused::Unknown)?;
    match node.spec.membership {
        Membership::Pending => Err(RenewalRefused::NotAccepted),
        Membership::Accepted => Ok(node.role),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use types::{NodeId, NodeSpec};

    fn node(role: NodeRole, membership: Membership) -> Node {
        Node {
            role,
            ..Node::new(
                NodeId::MAX,
                NodeSpec {
                    membership,
                    ..NodeSpec::default()
                },
            )
        }
    }

    #[test]
    fn a_renewal_gives_the_role_the_cluster_has_for_the_node() {
        for role in [NodeRole::Worker, NodeRole::Manager] {
            let node = node(role, Membership::Accepted);
            assert_eq!(renewal_role(Some(&node), false), Ok(role));
        }
    }

    #[test]
    fn removed_unknown_and_waiting_nodes_get_no_certificate() {
        let accepted = node(NodeRole::Manager, Membership::Accepted);
        assert_eq!(
            renewal_role(Some(&accepted), true),
            Err(RenewalRefused::Removed)
        );
        assert_eq!(renewal_role(None, false), Err(RenewalRefused::Unknown));
        let waiting = node(NodeRole::Worker, Membership::Pending);
        assert_eq!(
            renewal_role(Some(&waiting), false),
            Err(RenewalRefused::NotAccepted)
        );
    }

    #[test]
    fn a_token_is_parsed_before_it_is_compared() {
        let tokens = JoinTokens {
            worker: JoinToken::new(b"root", [1; 16]),
            manager: JoinToken::new(b"root", [2; 16]),
        };
        assert_eq!(
            token_role(&tokens.manager.to_string(), &tokens),
            Ok(NodeRole::Manager)
        );
        assert_eq!(token_role("x", &tokens), Err(TokenError::NotAToken.into()));
        let rotated = JoinToken::new(b"root", [3; 16]).to_string();
        assert_eq!(
            token_role(&rotated, &tokens),
            Err(TokenMismatch::Rotated.into())
        );
    }
}
