//! Who gets in: every kind of certificate at the door, and what a caller is told.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{
    CLUSTER, GET_ROOT, HEALTH, HEARTBEAT, HOUR, ISSUE, LIST_NODES, Wanted, authority, call,
    credentials, eventually, manager, node, now, request, send, serve, shared, worker,
};
use pki::RootCa;
use pki::chain::NodeChain;
use pki::files::NodeCredentials;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic::body::Body;
use transport::{Credentials, DialError, Dialer, Leader, RefusedBecause, Standing};

/// Dials a server of `ca` with other credentials that trust it.
async fn dial_with(
    ca: &RootCa,
    mut shown: NodeCredentials,
) -> Result<tonic::transport::Channel, DialError> {
    let server = serve(shared(ca, manager(1)), Leader::Here).await;
    shown.roots = ca.bundle().clone();
    let dialer = Dialer::member(Credentials::new(shown).expect("usable"));
    let dialled = dialer.connect(&server.addr.to_string()).await;
    if let Ok(channel) = &dialled {
        call(channel, HEARTBEAT).await.expect("served");
    }
    dialled
}

fn refused(result: Result<tonic::transport::Channel, DialError>) -> RefusedBecause {
    match result.expect_err("refused") {
        DialError::CertificateRefused { because, .. } => because,
        other => panic!("unexpected: {other}"),
    }
}

#[tokio::test]
async fn without_a_certificate_only_the_joining_rpcs_answer() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let dialer = Dialer::first_certificate(ca.bundle().clone()).expect("dialer");
    let channel = dialer
        .connect(&server.addr.to_string())
        .await
        .expect("connect");
    for method in [GET_ROOT, ISSUE] {
        let answer = call(&channel, method).await.expect(method);
        assert_eq!(answer.header("x-kind"), "Anonymous");
        assert!(answer.header("x-remote").starts_with("127.0.0.1:"));
    }
    for method in [HEARTBEAT, LIST_NODES, HEALTH] {
        let status = call(&channel, method).await.expect_err(method);
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    }
}

#[tokio::test]
async fn a_worker_may_report_and_may_not_command() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let dialer = Dialer::member(shared(&ca, worker(7)));
    let channel = dialer
        .connect(&server.addr.to_string())
        .await
        .expect("connect");
    let answer = call(&channel, HEARTBEAT).await.expect("allowed");
    assert_eq!(answer.header("x-node"), node(7).to_string());
    let status = call(&channel, LIST_NODES).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(
        status.message(),
        format!("a worker may not call {LIST_NODES}")
    );
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let dialer = Dialer::member(shared(&ca, manager(2)));
    let channel = dialer
        .connect(&server.addr.to_string())
        .await
        .expect("connect");
    let status = call(&channel, "/docker.swarmkit.v1.Control/Nothing")
        .await
        .expect_err("no row");
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_certificate_of_another_root_is_refused_at_the_door() {
    let shown = credentials(&authority(), worker(7));
    assert_eq!(
        refused(dial_with(&authority(), shown).await),
        RefusedBecause::UnknownAuthority
    );
}

#[tokio::test]
async fn expired_and_future_certificates_are_refused_at_the_door() {
    let ca = authority();
    let expired = Wanted {
        from: now().minus(HOUR * 3),
        ..worker(7)
    };
    let future = Wanted {
        from: now().plus(HOUR * 3),
        ..worker(7)
    };
    for wanted in [expired, future] {
        let because = refused(dial_with(&ca, credentials(&ca, wanted)).await);
        assert_eq!(because, RefusedBecause::NotValidNow);
    }
    dial_with(&ca, credentials(&ca, worker(7)))
        .await
        .expect("a valid one passes");
}

#[tokio::test]
async fn a_certificate_that_is_no_nodes_is_refused_at_the_door() {
    let ca = authority();
    let key = KeyPair::generate().expect("key");
    let root_key = KeyPair::from_pem(ca.key_pem().expose()).expect("key");
    let root_pem = String::from_utf8(ca.certificate_pem().to_vec()).expect("text");
    let issuer = Issuer::from_ca_cert_pem(&root_pem, root_key).expect("issuer");
    let names = vec!["swarm-manager".to_owned(), "admin".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, "admin");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let leaf = params.signed_by(&key, &issuer).expect("sign");
    let mut shown = credentials(&ca, worker(7));
    shown.chain = NodeChain::parse(&leaf.pem()).expect("chain");
    shown.key = pki::PrivateKeyPem::new(key.serialize_pem());
    assert_eq!(
        refused(dial_with(&ca, shown).await),
        RefusedBecause::NotANode
    );
}

#[tokio::test]
async fn a_node_of_another_cluster_under_the_same_root_is_refused() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let stranger = shared(
        &ca,
        Wanted {
            cluster: CLUSTER + 1,
            ..manager(7)
        },
    );
    let channel = Dialer::member(stranger)
        .connect(&server.addr.to_string())
        .await
        .expect("TLS");
    let status = call(&channel, LIST_NODES).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("belongs to cluster"), "{status}");
}

#[tokio::test]
async fn a_removed_node_is_refused_on_the_connection_it_has() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let dialer = Dialer::member(shared(&ca, manager(7)));
    let channel = dialer
        .connect(&server.addr.to_string())
        .await
        .expect("connect");
    call(&channel, LIST_NODES).await.expect("still a member");
    server.view.set_standing(7, Standing::Removed);
    let status = call(&channel, LIST_NODES).await.expect_err("removed");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("was removed"), "{status}");
}

#[tokio::test]
async fn a_worker_cannot_speak_for_a_manager() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let dialer = Dialer::member(shared(&ca, worker(7)));
    let channel = dialer
        .connect(&server.addr.to_string())
        .await
        .expect("connect");
    let forged = |method| {
        let mut request = request(method, Body::empty());
        let id = node(1).to_string();
        let org = crate::common::cluster(CLUSTER).to_string();
        let values = ["true", &id, &org, "swarm-manager", "10.9.9.9:1", "hop"];
        let keys = [
            "forwarded_cert",
            "forwarded_cert_cn",
            "forwarded_cert_org",
            "forwarded_cert_ou",
        ];
        for (key, value) in keys.iter().chain(&["remote_addr", "redirect"]).zip(values) {
            request
                .headers_mut()
                .insert(*key, value.parse().expect("value"));
        }
        request
    };
    let status = send(&channel, forged(LIST_NODES))
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
    let answer = send(&channel, forged(HEARTBEAT)).await.expect("as itself");
    assert_eq!(answer.header("x-node"), node(7).to_string());
    assert_eq!(answer.header("x-kind"), "Worker");
    assert_eq!(answer.header("x-forwarded-by"), "");
    assert!(answer.header("x-remote").starts_with("127.0.0.1:"));
    assert_eq!(answer.header("x-leaked"), "false");
}

#[tokio::test]
async fn a_certificate_that_expires_during_a_connection_stops_counting() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let short = Wanted {
        validity: Duration::from_secs(2),
        ..worker(7)
    };
    let dialer = Dialer::member(shared(&ca, short));
    let channel = dialer
        .connect(&server.addr.to_string())
        .await
        .expect("still valid");
    call(&channel, HEARTBEAT).await.expect("still valid");
    let status = eventually("expiry", || async { call(&channel, HEARTBEAT).await.err() }).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}

#[tokio::test]
async fn a_manager_of_another_cluster_is_not_trusted() {
    let server = serve(shared(&authority(), manager(1)), Leader::Here).await;
    let dialer = Dialer::member(shared(&authority(), worker(7)));
    let error = dialer
        .connect(&server.addr.to_string())
        .await
        .expect_err("other root");
    assert_eq!(
        error,
        DialError::OtherCluster {
            addr: server.addr.to_string()
        }
    );
}

#[tokio::test]
async fn a_manager_whose_certificate_is_not_valid_now_is_not_trusted_and_the_span_is_told() {
    let ca = authority();
    let dialer = Dialer::member(shared(&ca, worker(7)));
    let future = Wanted {
        from: now().plus(HOUR * 4),
        ..manager(1)
    };
    let server = serve(shared(&ca, future), Leader::Here).await;
    let error = dialer
        .connect(&server.addr.to_string())
        .await
        .expect_err("not yet");
    assert!(matches!(error, DialError::Clock { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("in 3 h 0 min") || text.contains("in 2 h 59 min"),
        "{text}"
    );
    let past = Wanted {
        from: now().minus(HOUR * 4),
        ..manager(1)
    };
    let server = serve(shared(&ca, past), Leader::Here).await;
    let error = dialer
        .connect(&server.addr.to_string())
        .await
        .expect_err("expired");
    assert!(
        error.to_string().contains("expired 3 h 0 min ago"),
        "{error}"
    );
}

#[tokio::test]
async fn a_worker_does_not_pass_for_a_manager() {
    let ca = authority();
    let server = serve(shared(&ca, worker(1)), Leader::Here).await;
    let addr = server.addr.to_string();
    let expected = DialError::NotInThatRole { addr: addr.clone() };
    let member = Dialer::member(shared(&ca, worker(7)));
    assert_eq!(member.connect(&addr).await.expect_err("worker"), expected);
    let joining = Dialer::first_certificate(ca.bundle().clone()).expect("dialer");
    assert_eq!(joining.connect(&addr).await.expect_err("worker"), expected);
}

#[tokio::test]
async fn another_node_at_a_known_address_is_noticed() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let dialer = Dialer::member(shared(&ca, manager(2)));
    let addr = server.addr.to_string();
    dialer
        .connect_to(&addr, node(1))
        .await
        .expect("the right one");
    let error = dialer
        .connect_to(&addr, node(3))
        .await
        .expect_err("another");
    assert_eq!(
        error,
        DialError::OtherNode {
            addr,
            expected: node(3),
            found: node(1)
        }
    );
}

#[tokio::test]
async fn the_root_can_be_downloaded_before_anything_is_trusted() {
    let server = serve(shared(&authority(), manager(1)), Leader::Here).await;
    let dialer = Dialer::root_download().expect("dialer");
    let channel = dialer
        .connect(&server.addr.to_string())
        .await
        .expect("connect");
    call(&channel, GET_ROOT).await.expect("answered");
}

#[tokio::test]
async fn addresses_where_no_manager_is_are_told_apart() {
    let dialer = Dialer::member(shared(&authority(), worker(7)));
    let dial = |addr: String| {
        let dialer = dialer.clone();
        async move { dialer.connect(&addr).await.expect_err("nobody") }
    };
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let addr = unused.local_addr().expect("address").to_string();
    drop(unused);
    assert_eq!(dial(addr.clone()).await, DialError::Refused { addr });
    let error = dial("no-such-host.invalid:2377".to_owned()).await;
    assert!(matches!(error, DialError::UnknownHost { .. }), "{error}");
    let web = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let addr = web.local_addr().expect("address").to_string();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = web.accept().await.expect("accept");
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .expect("write");
    });
    let error = dial(addr).await;
    assert!(matches!(error, DialError::NotAManager { .. }), "{error}");
    answering.await.expect("answered");
}

/// Speaks TLS to a manager with the given versions and protocols; gives the negotiated protocol.
async fn negotiate(
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> std::io::Result<Option<Vec<u8>>> {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(ca.bundle().certificates()[0].clone())
        .expect("root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let tcp = TcpStream::connect(server.addr).await?;
    let name = ServerName::try_from("swarm-ca").expect("name");
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    Ok(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn h2_is_negotiated_with_tls_1_2_and_1_3() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let negotiated = negotiate(version, &[b"h2", b"http/1.1"])
            .await
            .expect("handshake");
        assert_eq!(negotiated.as_deref(), Some(&b"h2"[..]));
        negotiate(version, &[b"http/1.1"])
            .await
            .expect_err("another protocol is refused");
    }
}

#[tokio::test]
async fn a_silent_peer_does_not_keep_others_out() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.addr).await.expect("connect"));
    }
    let dialer = Dialer::member(shared(&ca, worker(7)));
    dialer
        .connect(&server.addr.to_string())
        .await
        .expect("served meanwhile");
}
