//! What a node refuses to start with, in one sentence, and what it leaves behind: nothing.

use std::fs;
use std::time::Duration;

use node::{Memory, Start};
use pki::files::{CHAIN_FILE, KEY_FILE, ROOT_FILE};
use types::NodeRole;

use crate::support::{Cluster, Machine, join, run, set_role};

fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in {error:?}");
    }
    assert!(!error.ends_with('.') && !error.contains('\n'), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_belongs_to_one_cluster_and_one_process() {
    let mut cluster = Cluster::found().await;
    let first = &mut cluster.first;
    let mut again = first.config(run(false));
    again.control_socket = first.dir.path().join("other.sock");
    let Err(second) = node::Node::start(again).await else {
        panic!("a second process on one directory");
    };
    assert_says(&second.to_string(), &["in use by process", "--state-dir"]);
    first.node.take().unwrap().stop().await.unwrap();
    let id = cluster.ready.cluster_id.to_string();
    let error = first.fails(Start::Init).await;
    assert_says(&error, &["cannot init", &id, "swarmd run", "swarmd leave"]);
    let token = cluster.worker_token.clone();
    let to_itself = Start::Join {
        token,
        addr: first.listen.to_string(),
    };
    assert_says(&first.fails(to_itself).await, &["cannot join", &id]);
    let error = Machine::new("new").fails(run(false)).await;
    assert_says(
        &error,
        &["belongs to no cluster", "swarmd init", "swarmd join"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_is_found_out_before_anything_is_made() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut machine = Machine::new("m1");
    let free = std::mem::replace(&mut machine.listen, taken.local_addr().unwrap());
    let error = machine.fails(Start::Init).await;
    assert_says(&error, &["the port is in use by another process"]);
    machine.listen = free;
    let mut metrics = machine.config(Start::Init);
    metrics.metrics_addr = Some(taken.local_addr().unwrap());
    let Err(error) = node::Node::start(metrics).await else {
        panic!("two on one port");
    };
    assert_says(&error.to_string(), &["--metrics-addr"]);
    let socket = tokio::net::UnixListener::bind(machine.socket()).unwrap();
    assert_says(
        &machine.fails(Start::Init).await,
        &["another process answers there"],
    );
    drop(socket);
    // Nothing was left behind that would be in the way.
    machine.start(Start::Init).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_named() {
    let mut cluster = Cluster::found().await;
    let machine = &mut cluster.first;
    machine.stop().await;
    let certificates = machine.state_dir().join("certificates");
    for name in [ROOT_FILE, CHAIN_FILE, KEY_FILE] {
        let path = certificates.join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, "garbage").unwrap();
        let error = machine.fails(run(false)).await;
        assert_says(&error, &["restore the file", "swarmd leave"]);
        fs::remove_file(&path).unwrap();
        assert_says(&machine.fails(run(false)).await, &[name, "is missing"]);
        fs::write(&path, whole).unwrap();
    }
    let member = machine.state_dir().join("raft/member");
    let whole = fs::read(&member).unwrap();
    fs::write(&member, "garbage").unwrap();
    assert_says(&machine.fails(run(false)).await, &["member"]);
    fs::write(&member, whole).unwrap();
    fs::rename(
        machine.state_dir().join("raft/log"),
        machine.state_dir().join("raft/elsewhere"),
    )
    .unwrap();
    assert_says(
        &machine.fails(run(false)).await,
        &["its log is gone", "join again"],
    );
    fs::remove_dir_all(machine.state_dir().join("raft/log")).ok();
    fs::rename(
        machine.state_dir().join("raft/elsewhere"),
        machine.state_dir().join("raft/log"),
    )
    .unwrap();
    machine.resume().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_of_another_cluster_is_refused() {
    let mut cluster = Cluster::found().await;
    let mut other = Cluster::found().await;
    cluster.first.stop().await;
    other.first.stop().await;
    for name in [ROOT_FILE, CHAIN_FILE, KEY_FILE] {
        let at = |m: &Machine| m.state_dir().join("certificates").join(name);
        fs::copy(at(&other.first), at(&cluster.first)).unwrap();
    }
    let error = cluster.first.fails(run(false)).await;
    let (own, foreign) = (cluster.ready.cluster_id, other.ready.cluster_id);
    assert_says(&error, &[&own.to_string(), &foreign.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_remembers_can_be_lost() {
    let mut cluster = Cluster::found().await;
    let (mut worker, ready) = cluster.join("w1", NodeRole::Worker).await;
    worker.stop().await;
    cluster.first.stop().await;
    fs::write(cluster.first.state_dir().join("state.json"), "garbage").unwrap();
    let resumed = cluster.first.resume().await;
    assert_eq!(resumed.advertise_addr, cluster.first.listen.to_string());
    let again = worker.resume().await;
    assert_eq!(again.node_id, ready.node_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stopped_right_after_it_had_joined_finds_the_managers_again() {
    let cluster = Cluster::found().await;
    let (mut second, _) = cluster.join("m2", NodeRole::Manager).await;
    cluster.voters(&cluster.first, 2).await;
    second.stop().await;
    let dir = storage::StateDir::open(&second.state_dir()).unwrap();
    let memory = Memory::load(&dir).unwrap();
    assert_eq!(memory.joined_through, cluster.first.listen.to_string());
    let early = Memory {
        managers: Default::default(),
        ..memory
    };
    early.store(&dir).unwrap();
    drop(dir);
    second.resume().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_leaves_by_force_only_and_anyone_can_join_again() {
    let mut cluster = Cluster::found().await;
    let mut control = cluster.control().await;
    let (mut worker, ready) = cluster.join("w1", NodeRole::Worker).await;
    worker.stop().await;
    worker.leave(false).await.unwrap();
    let none = worker.leave(false).await.unwrap_err();
    assert_says(&none.to_string(), &["belongs to no cluster"]);
    let again = worker
        .start(join(&cluster.worker_token, &cluster.first))
        .await;
    assert_ne!(again.node_id, ready.node_id);
    let id = again.node_id.to_string();
    set_role(&mut control, &id, NodeRole::Manager)
        .await
        .unwrap();
    cluster.voters(&cluster.first, 2).await;
    worker.stop().await;
    let error = worker.leave(false).await.unwrap_err();
    assert_says(&error.to_string(), &["manager", "demote", "--force"]);
    worker.leave(true).await.unwrap();
    cluster.first.stop().await;
}

/// Writes a certificate that expired an hour ago over a machine's own.
fn expire(machine: &Machine, cluster: &Cluster, root_key: &[u8]) {
    let at = |name: &str| machine.state_dir().join("certificates").join(name);
    let root = pki::RootCa::from_pem(
        &fs::read(at(ROOT_FILE)).expect("the files and keys of this test"),
        &pki::PrivateKeyPem::new(
            String::from_utf8(root_key.to_vec()).expect("the files and keys of this test"),
        ),
    );
    let (csr, key) = pki::Csr::generate().expect("the files and keys of this test");
    let hour = Duration::from_secs(3600);
    let order = pki::CertificateOrder {
        csr: &pki::csr::CheckedCsr::parse(csr.pem().as_bytes())
            .expect("the files and keys of this test"),
        node_id: cluster.ready.node_id,
        role: NodeRole::Manager,
        cluster_id: cluster.ready.cluster_id,
        now: manager::clock::now().minus(hour * 3),
        validity: hour * 2,
        serial: pki::Serial::new([9; 16]),
    };
    let chain = pki::issue(&root.expect("the files and keys of this test"), &order)
        .expect("the files and keys of this test");
    fs::write(at(CHAIN_FILE), chain).expect("the files and keys of this test");
    fs::write(at(KEY_FILE), key.expose()).expect("the files and keys of this test");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_manager_says_so_and_goes_on_when_it_is_told_that_it_is_alone() {
    let mut cluster = Cluster::found().await;
    let root_key = {
        let tables = cluster.first.node.as_ref().unwrap().tables();
        let tables = tables.borrow().clone().unwrap().state();
        tables.cluster().unwrap().root_ca.ca_key.expose().to_vec()
    };
    cluster.first.stop().await;
    expire(&cluster.first, &cluster, &root_key);
    let error = cluster.first.fails(run(false)).await;
    assert_says(&error, &["expired at", "--force-new-cluster"]);
    let ready = cluster.first.start(run(true)).await;
    assert_eq!(ready.node_id, cluster.ready.node_id);
    cluster.first.stop().await;
    cluster.first.resume().await;
}
