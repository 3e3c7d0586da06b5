//! The local socket: who may open it, and what happens to one that was left behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use transport::{BindError, DialError, LocalListener, connect_local};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path)
        .expect("exists")
        .permissions()
        .mode()
        & 0o777
}

#[tokio::test]
async fn only_the_owner_can_open_a_new_socket() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("run/swarmd/swarmd.sock");
    let _listener = LocalListener::bind(&path).await.expect("bind");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().expect("directory")), 0o700);
}

#[tokio::test]
async fn a_socket_that_nobody_answers_is_replaced() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("s.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
    assert!(path.exists());
    LocalListener::bind(&path).await.expect("replaced");
}

#[tokio::test]
async fn a_socket_that_somebody_answers_is_left_alone() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("s.sock");
    let _first = LocalListener::bind(&path).await.expect("bind");
    let error = LocalListener::bind(&path).await.expect_err("in use");
    assert!(matches!(error, BindError::Answered { .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_removed() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("precious");
    std::fs::write(&path, "data").expect("write");
    LocalListener::bind(&path).await.expect_err("not a socket");
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "data");
}

#[tokio::test]
async fn the_file_goes_with_the_listener_unless_it_is_another_ones() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("s.sock");
    drop(LocalListener::bind(&path).await.expect("bind"));
    assert!(!path.exists());
    let first = LocalListener::bind(&path).await.expect("bind");
    std::fs::remove_file(&path).expect("remove");
    std::fs::write(&path, "another's").expect("write");
    drop(first);
    assert!(path.exists());
}

#[tokio::test]
async fn a_missing_or_silent_socket_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("s.sock");
    let error = connect_local(&path).await.expect_err("missing");
    assert!(
        error
            .to_string()
            .contains("is swarmd running, with this socket path"),
        "{error}"
    );
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
    let error = connect_local(&path).await.expect_err("silent");
    assert!(matches!(&error, DialError::LocalSocket { .. }), "{error}");
    assert!(error.to_string().contains("nobody answers"), "{error}");
}
