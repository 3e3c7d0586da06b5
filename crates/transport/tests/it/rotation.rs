//! New certificates and roots take effect without restarting anything.

use crate::common::{
    HEARTBEAT, LIST_NODES, authority, call, credentials, manager, node, serve, shared, worker,
};
use pki::RootCa;
use pki::Serial;
use tonic::Code;
use transport::{Credentials, DialError, Dialer, Leader, ReplaceError};

#[tokio::test]
async fn a_promoted_node_gets_in_as_a_manager_with_its_next_connection() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let addr = server.addr.to_string();
    let own = shared(&ca, worker(7));
    let dialer = Dialer::member(own.clone());
    let before = dialer.connect(&addr).await.expect("connect");
    let status = call(&before, LIST_NODES).await.expect_err("a worker");
    assert_eq!(status.code(), Code::PermissionDenied);
    let mut changes = own.changes();
    own.replace(credentials(&ca, manager(7))).expect("replace");
    changes.changed().await.expect("told");
    let after = dialer.connect(&addr).await.expect("connect");
    call(&after, LIST_NODES).await.expect("a manager");
    let answer = call(&before, HEARTBEAT)
        .await
        .expect("the old connection lives on");
    assert_eq!(answer.header("x-kind"), "Worker");
}

#[tokio::test]
async fn a_listener_shows_its_new_certificate_without_a_restart() {
    let ca = authority();
    let server = serve(shared(&ca, manager(1)), Leader::Here).await;
    let addr = server.addr.to_string();
    let dialer = Dialer::member(shared(&ca, worker(7)));
    dialer.connect_to(&addr, node(1)).await.expect("before");
    server
        .credentials
        .replace(credentials(&ca, manager(2)))
        .expect("replace");
    dialer.connect_to(&addr, node(2)).await.expect("after");
}

#[tokio::test]
async fn a_root_rotation_never_closes_the_door() {
    let (old, new) = (authority(), authority());
    let crossed = old
        .cross_sign(new.certificate_pem(), Serial::new([6; 16]))
        .expect("cross");
    let signer = RootCa::from_pem(new.certificate_pem(), new.key_pem())
        .expect("load")
        .with_cross_signed(crossed);
    // Trusts the old root; shows a certificate of the new one with the cross-signed intermediate.
    let between = |wanted| {
        let mut node = credentials(&signer, wanted);
        node.roots = old.bundle().clone();
        Credentials::new(node).expect("usable")
    };
    let server = serve(shared(&old, manager(1)), Leader::Here).await;
    let addr = server.addr.to_string();
    let reach = |credentials| {
        let addr = addr.clone();
        async move { Dialer::member(credentials).connect(&addr).await }
    };
    reach(between(worker(7)))
        .await
        .expect("renewed first, server still old");
    server
        .credentials
        .replace(between(manager(1)).current().node().clone())
        .expect("renew");
    reach(shared(&old, worker(8)))
        .await
        .expect("still old, server renewed");
    reach(shared(&new, worker(9)))
        .await
        .expect_err("the new root alone is not trusted yet");
    server
        .credentials
        .replace_roots(new.certificate_pem())
        .expect("the new root");
    reach(between(worker(7)))
        .await
        .expect("renewed nodes stay in");
    reach(shared(&new, worker(9)))
        .await
        .expect("the new root is trusted");
    let refused = reach(shared(&old, worker(8)))
        .await
        .expect_err("not renewed in time");
    assert!(
        matches!(refused, DialError::CertificateRefused { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn roots_that_would_lock_the_node_out_are_not_taken() {
    let own = shared(&authority(), worker(7));
    let error = own
        .replace_roots(authority().certificate_pem())
        .expect_err("not ours");
    assert!(matches!(error, ReplaceError::Check(_)), "{error}");
    assert_eq!(own.current().generation(), 0);
}
