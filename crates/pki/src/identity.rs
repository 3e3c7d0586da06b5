//! Who a certificate belongs to, read strictly.
//!
//! Anything this project's authority (or SwarmKit's) would not have written is refused: a second
//! common name, a second unit, a foreign attribute, missing names or usages, an authority's
//! certificate. Reading does not verify: see [`crate::chain`].

use types::{ClusterId, NodeId, NodeRole, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, Oid,
};
use x509_parser::prelude::FromDer;

use crate::{ou_of, role_of, time};

/// What a node's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Common name.
    pub node_id: NodeId,
    /// Organisational unit.
    pub role: NodeRole,
    /// Organisation.
    pub cluster_id: ClusterId,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Subject of the issuer, DER.
    pub issuer_subject: Vec<u8>,
}

/// Why a certificate is no node's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not one X.509 certificate.
    #[error("certificate cannot be read: {0}")]
    Malformed(String),
    /// A subject attribute is missing, given twice, or not text.
    #[error("certificate's subject must have exactly one {0}")]
    SubjectAttribute(&'static str),
    /// A subject attribute that node certificates do not have.
    #[error("certificate's subject has an attribute that node certificates do not have")]
    ForeignAttribute,
    /// The unit is not a role.
    #[error("certificate's organisational unit \"{0}\" is neither swarm-manager nor swarm-worker")]
    UnknownRole(String),
    /// The common name is not a node id.
    #[error("certificate's common name \"{0}\" is not a node id")]
    NodeId(String),
    /// The organisation is not a cluster id.
    #[error("certificate's organisation \"{0}\" is not a cluster id")]
    ClusterId(String),
    /// The alternative names do not repeat role and id.
    #[error("certificate's alternative names lack its role or its node id")]
    AlternativeNames,
    /// It may not be used as a node's.
    #[error("certificate may not be used for both ends of TLS, or is an authority's")]
    Usage,
}

// === impl Identity ===

impl Identity {
    /// Reads a leaf certificate.
    ///
    /// # Errors
    /// [`IdentityError`] naming the first thing that does not fit.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let (rest, certificate) = X509Certificate::from_der(der)
            .map_err(|error| IdentityError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(IdentityError::Malformed("bytes after its end".to_owned()));
        }
        let subject = Subject::read(&certificate)?;
        let role =
            role_of(&subject.unit).ok_or(IdentityError::UnknownRole(subject.unit.clone()))?;
        let node_id = subject
            .name
            .parse()
            .map_err(|_| IdentityError::NodeId(subject.name))?;
        let cluster_id = subject
            .organisation
            .parse()
            .map_err(|_| IdentityError::ClusterId(subject.organisation))?;
        check_alternative_names(&certificate, node_id, role)?;
        check_usage(&certificate)?;
        let validity = certificate.validity();
        Ok(Self {
            node_id,
            role,
            cluster_id,
            not_before: time::from_asn1(&validity.not_before),
            not_after: time::from_asn1(&validity.not_after),
            serial: certificate.raw_serial().to_vec(),
            issuer_subject: certificate.issuer().as_raw().to_vec(),
        })
    }
}

/// The three attributes of a node's subject.
struct Subject {
    name: String,
    unit: String,
    organisation: String,
}

impl Subject {
    fn read(certificate: &X509Certificate<'_>) -> Result<Self, IdentityError> {
        let known = [
            OID_X509_COMMON_NAME,
            OID_X509_ORGANIZATIONAL_UNIT,
            OID_X509_ORGANIZATION_NAME,
        ];
        let subject = certificate.subject();
        if subject
            .iter_attributes()
            .any(|attribute| !known.contains(attribute.attr_type()))
        {
            return Err(IdentityError::ForeignAttribute);
        }
        let one = |oid: &Oid<'static>, what| {
            let mut values = subject.iter_by_oid(oid);
            match (values.next(), values.next()) {
                (Some(value), None) => value
                    .as_str()
                    .map(str::to_owned)
                    .map_err(|_| IdentityError::SubjectAttribute(what)),
                _ => Err(IdentityError::SubjectAttribute(what)),
            }
        };
        Ok(Self {
            name: one(&OID_X509_COMMON_NAME, "common name")?,
            unit: one(&OID_X509_ORGANIZATIONAL_UNIT, "organisational unit")?,
            organisation: one(&OID_X509_ORGANIZATION_NAME, "organisation")?,
        })
    }
}

fn check_alternative_names(
    certificate: &X509Certificate<'_>,
    node_id: NodeId,
    role: NodeRole,
) -> Result<(), IdentityError> {
    let extension = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .ok_or(IdentityError::AlternativeNames)?;
    let node_id = node_id.to_string();
    let has = |wanted: &str| {
        let mut names = extension.value.general_names.iter();
        names.any(|name| matches!(name, GeneralName::DNSName(dns) if *dns == wanted))
    };
    // A worker that could answer to a manager's or the authority's name could collect tokens.
    let too_much = role == NodeRole::Worker && (has(crate::MANAGER_OU) || has(crate::CA_NAME));
    if has(ou_of(role)) && has(&node_id) && !too_much {
        Ok(())
    } else {
        Err(IdentityError::AlternativeNames)
    }
}

fn check_usage(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    let key_usage = certificate.key_usage().ok().flatten();
    let signs = key_usage.is_some_and(|usage| usage.value.digital_signature());
    let extended = certificate.extended_key_usage().ok().flatten();
    let both_ends =
        extended.is_some_and(|usage| usage.value.server_auth && usage.value.client_auth);
    if signs && both_ends && !certificate.is_ca() {
        Ok(())
    } else {
        Err(IdentityError::Usage)
    }
}
