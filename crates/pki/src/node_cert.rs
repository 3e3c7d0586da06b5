//! Node certificates: what the authority writes into them.
//!
//! Of the request only the public key is used. Everything else comes from the order, which the
//! leader fills from committed state.

use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType, SerialNumber, date_time_ymd,
};
use types::{ClusterId, Entropy, NodeId, NodeRole, Timestamp};

use crate::csr::CheckedCsr;
use crate::root::RootCa;
use crate::{CA_NAME, ou_of};

/// How far before the present a certificate's validity begins, so that clocks which differ by less
/// do not matter. SwarmKit's value.
pub const BACKDATE: Duration = Duration::from_secs(3_600);

/// A certificate's serial number: 126 random bits, always written with 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial([u8; 16]);

/// Everything that goes into a node certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateOrder<'a> {
    /// The request; its signature has been checked.
    pub csr: &'a CheckedCsr,
    /// Becomes the common name.
    pub node_id: NodeId,
    /// Becomes the organisational unit.
    pub role: NodeRole,
    /// Becomes the organisation.
    pub cluster_id: ClusterId,
    /// The present.
    pub now: Timestamp,
    /// Life from now on; [`BACKDATE`] comes on top, and the root's end cuts it.
    pub validity: Duration,
    /// Freshly drawn.
    pub serial: Serial,
}

/// Why no certificate could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The root has run out.
    #[error(
        "cannot sign a node certificate: the root certificate has expired; replace it with \
         `swarmctl cluster update --rotate-ca`"
    )]
    RootExpired,
    /// The signing library refused.
    #[error("cannot sign a node certificate: {0}")]
    Signing(String),
}

// === impl Serial ===

impl Serial {
    /// A serial of freshly drawn random bytes. The two top bits are set to 01: positive and of one
    /// length in every encoding.
    #[must_use]
    pub fn new(mut random: [u8; 16]) -> Self {
        random[0] = random[0] & 0x3f | 0x40;
        Self(random)
    }

    /// A serial from a source of randomness.
    pub fn draw(entropy: &mut dyn Entropy) -> Self {
        let high = entropy.next_u64().to_be_bytes();
        let low = entropy.next_u64().to_be_bytes();
        let mut random = [0; 16];
        random[..8].copy_from_slice(&high);
        random[8..].copy_from_slice(&low);
        Self::new(random)
    }

    /// Big-endian bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Signs a node certificate; returns the chain as PEM, leaf first.
///
/// # Errors
/// [`IssueError`]; nothing is kept of a failed attempt.
pub fn issue(ca: &RootCa, order: &CertificateOrder<'_>) -> Result<String, IssueError> {
    let not_after = order.now.plus(order.validity).min(ca.not_after());
    if not_after <= order.now {
        return Err(IssueError::RootExpired);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(order);
    params.subject_alt_names = alternative_names(order)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    set_validity(&mut params, order.now.minus(BACKDATE), not_after);
    params.serial_number = Some(SerialNumber::from_slice(order.serial.bytes()));
    params.use_authority_key_identifier_extension = true;
    let leaf = params
        .signed_by(&order.csr.public_key, &ca.issuer)
        .map_err(signing)?;
    Ok(leaf.pem() + &ca.cross_signed_pem)
}

/// Writes a validity; fractions of a second are cut off.
pub(crate) fn set_validity(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from.secs());
    params.not_after = epoch + Duration::from_secs(to.secs());
}

fn subject(order: &CertificateOrder<'_>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, order.cluster_id.to_string());
    name.push(DnType::OrganizationalUnitName, ou_of(order.role));
    name.push(DnType::CommonName, order.node_id.to_string());
    name
}

fn alternative_names(order: &CertificateOrder<'_>) -> Result<Vec<SanType>, IssueError> {
    let mut names = vec![ou_of(order.role).to_owned(), order.node_id.to_string()];
    if order.role == NodeRole::Manager {
        // Nodes without a certificate check this name before they send their token.
        names.push(CA_NAME.to_owned());
    }
    names
        .into_iter()
        .map(|name| name.try_into().map(SanType::DnsName).map_err(signing))
        .collect()
}

fn signing(error: rcgen::Error) -> IssueError {
    IssueError::Signing(error.to_string())
}
