//! From request to verified identity: what the authority writes and what nodes accept.

use std::time::Duration;

use pki::chain::ChainError;
use pki::csr::CheckedCsr;
use pki::files::{CredentialsError, NodeCredentials};
use pki::identity::IdentityError;
use pki::{
    CertificateOrder, ClockProblem, Csr, Identity, NodeChain, PrivateKeyPem, RootCa, Serial, Usage,
    issue,
};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose};
use types::{ClusterId, NodeId, NodeRole, Timestamp};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn node_id() -> NodeId {
    NodeId::from_u128(u128::MAX / 3).expect("not zero")
}

fn cluster_id() -> ClusterId {
    ClusterId::from_u128(u128::MAX / 5).expect("not zero")
}

fn root() -> RootCa {
    RootCa::generate(NOW, Serial::new([3; 16])).expect("root")
}

fn issued(ca: &RootCa, role: NodeRole) -> (NodeChain, PrivateKeyPem) {
    let (csr, key) = Csr::generate().expect("request");
    let csr = CheckedCsr::parse(csr.pem().as_bytes()).expect("checked");
    let order = CertificateOrder {
        csr: &csr,
        node_id: node_id(),
        role,
        cluster_id: cluster_id(),
        now: NOW,
        validity: HOUR * 24,
        serial: Serial::new([0xff; 16]),
    };
    let pem = issue(ca, &order).expect("issue");
    (NodeChain::parse(&pem).expect("chain"), key)
}

fn names(chain: &NodeChain) -> Vec<String> {
    let (_, certificate) = X509Certificate::from_der(&chain.certificates()[0]).expect("der");
    let extension = certificate
        .subject_alternative_name()
        .expect("one")
        .expect("some");
    extension
        .value
        .general_names
        .iter()
        .map(|name| match name {
            GeneralName::DNSName(dns) => (*dns).to_owned(),
            other => panic!("unexpected {other:?}"),
        })
        .collect()
}

#[test]
fn a_certificate_says_what_the_order_says() {
    let ca = root();
    let (chain, key) = issued(&ca, NodeRole::Worker);
    let identity = chain.verify(ca.bundle(), &key, NOW).expect("valid");
    assert_eq!(identity.node_id, node_id());
    assert_eq!(identity.role, NodeRole::Worker);
    assert_eq!(identity.cluster_id, cluster_id());
    assert_eq!(identity.not_before, NOW.minus(HOUR));
    assert_eq!(identity.not_after, NOW.plus(HOUR * 24));
    assert_eq!(identity.serial.len(), 16);
    assert_eq!(identity.serial[0], 0x7f);
}

#[test]
fn managers_also_answer_to_swarm_ca_and_workers_do_not() {
    let ca = root();
    let id = node_id().to_string();
    let (manager, _) = issued(&ca, NodeRole::Manager);
    assert_eq!(names(&manager), ["swarm-manager", id.as_str(), "swarm-ca"]);
    let (worker, _) = issued(&ca, NodeRole::Worker);
    assert_eq!(names(&worker), ["swarm-worker", id.as_str()]);
}

#[test]
fn a_leaf_is_no_authority_and_serves_both_ends() {
    let (chain, _) = issued(&root(), NodeRole::Manager);
    let (_, certificate) = X509Certificate::from_der(&chain.certificates()[0]).expect("der");
    assert!(!certificate.is_ca());
    let usage = certificate.key_usage().expect("one").expect("some").value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let extended = certificate
        .extended_key_usage()
        .expect("one")
        .expect("some")
        .value;
    assert!(extended.server_auth && extended.client_auth);
}

#[test]
fn a_request_cannot_smuggle_in_names_or_powers() {
    let ca = root();
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(vec!["swarm-ca".to_owned()]).expect("names");
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, "swarm-manager");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = params
        .serialize_request(&key)
        .and_then(|csr| csr.pem())
        .expect("request");
    let csr = CheckedCsr::parse(pem.as_bytes()).expect("signature is right");
    let order = CertificateOrder {
        csr: &csr,
        node_id: node_id(),
        role: NodeRole::Worker,
        cluster_id: cluster_id(),
        now: NOW,
        validity: HOUR,
        serial: Serial::new([1; 16]),
    };
    let chain = NodeChain::parse(&issue(&ca, &order).expect("issue")).expect("chain");
    let identity = chain.claimed_identity().expect("a worker's");
    assert_eq!(identity.role, NodeRole::Worker);
    assert!(!names(&chain).contains(&"swarm-ca".to_owned()));
}

#[test]
fn another_clusters_root_does_not_verify() {
    let (chain, key) = issued(&root(), NodeRole::Worker);
    let refused = chain
        .verify(root().bundle(), &key, NOW)
        .expect_err("other root");
    assert_eq!(refused, ChainError::UnknownAuthority);
}

#[test]
fn a_foreign_key_does_not_fit() {
    let ca = root();
    let (chain, _) = issued(&ca, NodeRole::Worker);
    let (_, other) = Csr::generate().expect("request");
    assert_eq!(
        chain.verify(ca.bundle(), &other, NOW),
        Err(ChainError::KeyMismatch)
    );
}

#[test]
fn validity_is_checked_and_says_by_how_much() {
    let ca = root();
    let (chain, key) = issued(&ca, NodeRole::Worker);
    let at = |now| chain.verify(ca.bundle(), &key, now).map(|_| ());
    assert_eq!(at(NOW.minus(HOUR)), Ok(()));
    assert_eq!(at(NOW.plus(HOUR * 24)), Ok(()));
    let early = ClockProblem::NotYetValid { by: HOUR * 2 };
    assert_eq!(at(NOW.minus(HOUR * 3)), Err(early.into()));
    let late = ClockProblem::Expired { by: HOUR * 3 };
    assert_eq!(at(NOW.plus(HOUR * 27)), Err(late.into()));
}

#[test]
fn during_a_rotation_a_leaf_is_trusted_by_old_and_new_roots() {
    let (old, new) = (root(), root());
    let crossed = old
        .cross_sign(new.certificate_pem(), Serial::new([4; 16]))
        .expect("cross");
    let signer = RootCa::from_pem(new.certificate_pem(), new.key_pem())
        .expect("load")
        .with_cross_signed(crossed);
    let (chain, key) = issued(&signer, NodeRole::Manager);
    assert_eq!(chain.certificates().len(), 2);
    chain
        .verify(old.bundle(), &key, NOW)
        .expect("nodes that know the old root");
    chain
        .verify(new.bundle(), &key, NOW)
        .expect("nodes that know the new root");
    let leaf = &chain.certificates()[0];
    let alone = old.bundle().verify(leaf, &[], NOW, Usage::Client);
    assert_eq!(alone, Err(ChainError::UnknownAuthority));
}

#[test]
fn a_node_reports_who_signed_its_certificate() {
    let (ca, other) = (root(), root());
    let (chain, _) = issued(&ca, NodeRole::Worker);
    let info = chain.tls_info(ca.bundle()).expect("known issuer");
    assert_eq!(info.trust_root, ca.certificate_pem());
    let (_, root) = X509Certificate::from_der(&ca.bundle().certificates()[0]).expect("der");
    assert_eq!(info.cert_issuer_subject, root.subject().as_raw());
    assert_eq!(info.cert_issuer_public_key, root.public_key().raw);
    // Both roots have the same name: only the signature tells them apart.
    assert_eq!(
        chain.tls_info(other.bundle()),
        Err(ChainError::UnknownAuthority)
    );
}

#[test]
fn stored_credentials_are_checked_as_a_whole() {
    let ca = root();
    let (chain, key) = issued(&ca, NodeRole::Worker);
    let check = |roots: &[u8], chain: &str| {
        NodeCredentials::check(roots, chain, key.clone(), NOW).map(|found| found.identity.role)
    };
    assert_eq!(
        check(ca.certificate_pem(), chain.pem()),
        Ok(NodeRole::Worker)
    );
    assert!(matches!(
        check(b"", chain.pem()),
        Err(CredentialsError::Roots(_))
    ));
    assert!(matches!(
        check(ca.certificate_pem(), "x"),
        Err(CredentialsError::Chain(_))
    ));
    let other = root();
    assert_eq!(
        check(other.certificate_pem(), chain.pem()),
        Err(CredentialsError::Refused(ChainError::UnknownAuthority))
    );
}

/// A certificate signed by a real root, but with content that no authority of ours writes.
fn odd(change: impl FnOnce(&mut CertificateParams)) -> Result<Identity, IdentityError> {
    let id = node_id().to_string();
    let key = KeyPair::generate().expect("key");
    let root_key = KeyPair::generate().expect("key");
    let mut params =
        CertificateParams::new(vec!["swarm-worker".to_owned(), id.clone()]).expect("names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, id);
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, "swarm-worker");
    params
        .distinguished_name
        .push(DnType::OrganizationName, cluster_id().to_string());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    change(&mut params);
    let issuer = Issuer::new(CertificateParams::default(), root_key);
    let certificate = params.signed_by(&key, &issuer).expect("sign");
    Identity::from_der(certificate.der())
}

#[test]
fn identities_are_read_strictly() {
    assert!(odd(|_| {}).is_ok());
    let set = |kind: DnType, value: &'static str| {
        odd(move |params| params.distinguished_name.push(kind, value))
    };
    assert!(matches!(
        set(DnType::CommonName, "me"),
        Err(IdentityError::NodeId(_))
    ));
    assert!(matches!(
        set(DnType::OrganizationName, "us"),
        Err(IdentityError::ClusterId(_))
    ));
    let admin = set(DnType::OrganizationalUnitName, "swarm-admin");
    assert!(matches!(admin, Err(IdentityError::UnknownRole(_))));
    assert_eq!(
        set(DnType::CountryName, "CH"),
        Err(IdentityError::ForeignAttribute)
    );
    // A manager's unit without a manager's alternative name.
    let manager = set(DnType::OrganizationalUnitName, "swarm-manager");
    assert_eq!(manager, Err(IdentityError::AlternativeNames));
    let missing = odd(|params| {
        params.distinguished_name.remove(DnType::OrganizationName);
    });
    assert_eq!(
        missing,
        Err(IdentityError::SubjectAttribute("organisation"))
    );
    let nameless = odd(|params| params.subject_alt_names.clear());
    assert_eq!(nameless, Err(IdentityError::AlternativeNames));
    let one_way = odd(|params| params.extended_key_usages.truncate(1));
    assert_eq!(one_way, Err(IdentityError::Usage));
    let authority =
        odd(|params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    assert_eq!(authority, Err(IdentityError::Usage));
}

#[test]
fn a_worker_that_answers_to_a_managers_name_is_refused() {
    let sneaky = odd(|params| {
        let name = "swarm-ca".to_owned().try_into().expect("name");
        params.subject_alt_names.push(rcgen::SanType::DnsName(name));
    });
    assert_eq!(sneaky, Err(IdentityError::AlternativeNames));
}

#[test]
fn garbage_is_no_identity() {
    assert!(matches!(
        Identity::from_der(b"garbage"),
        Err(IdentityError::Malformed(_))
    ));
    assert!(matches!(
        Identity::from_der(b""),
        Err(IdentityError::Malformed(_))
    ));
}
