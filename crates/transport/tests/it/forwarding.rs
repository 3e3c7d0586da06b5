//! Calls that only the leader answers, made to another manager.

use std::time::{Duration, Instant};

use crate::common::{
    CREATE_CONFIG, GET_ROOT, HEALTH, HEARTBEAT, ISSUE, LIST_NODES, Running, SUBSCRIBE_LOGS, View,
    authority, call, eventually, manager, node, request, send, serve, serve_silently, shared,
    streamed, worker,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use pki::RootCa;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};
use transport::{
    Dialer, GateLayer, Leader, LocalListener, Standing, connect_local, server_builder,
};
use types::NodeRole;

const LEADER: u128 = 1;
const FOLLOWER: u128 = 2;

async fn pair(ca: &RootCa) -> (Running, Running) {
    let leader = serve(shared(ca, manager(LEADER)), Leader::Here).await;
    let follows = View::follows(LEADER, leader.addr);
    let follower = serve(shared(ca, manager(FOLLOWER)), follows).await;
    (leader, follower)
}

async fn dial(ca: &RootCa, wanted: crate::common::Wanted, to: &Running) -> Channel {
    Dialer::member(shared(ca, wanted))
        .connect(&to.addr.to_string())
        .await
        .expect("connect")
}

#[tokio::test]
async fn a_call_reaches_the_leader_with_its_callers_identity_and_comes_back_whole() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let channel = dial(&ca, worker(7), &follower).await;
    let body = Body::new(http_body_util::Full::new(Bytes::from_static(b"question")));
    let answer = send(&channel, request(HEARTBEAT, body))
        .await
        .expect("answered");
    assert_eq!(answer.body, "question");
    assert_eq!(
        answer.trailers.get("x-kept").map(|kept| kept.as_bytes()),
        Some(&b"yes"[..])
    );
    assert_eq!(answer.header("x-served-by"), node(LEADER).to_string());
    assert_eq!(answer.header("x-node"), node(7).to_string());
    assert_eq!(answer.header("x-kind"), "Worker");
    assert_eq!(answer.header("x-forwarded-by"), node(FOLLOWER).to_string());
    assert!(answer.header("x-remote").starts_with("127.0.0.1:"));
    assert_eq!(answer.header("x-leaked"), "false");
}

#[tokio::test]
async fn what_every_manager_answers_is_not_passed_on() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let channel = dial(&ca, manager(7), &follower).await;
    for method in [HEALTH, GET_ROOT] {
        let answer = call(&channel, method).await.expect(method);
        assert_eq!(answer.header("x-served-by"), node(FOLLOWER).to_string());
    }
}

#[tokio::test]
async fn a_joiner_without_a_certificate_reaches_the_leader_as_anonymous() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let dialer = Dialer::first_certificate(ca.bundle().clone()).expect("dialer");
    let channel = dialer
        .connect(&follower.addr.to_string())
        .await
        .expect("connect");
    let answer = call(&channel, ISSUE).await.expect("answered");
    assert_eq!(answer.header("x-served-by"), node(LEADER).to_string());
    assert_eq!(answer.header("x-kind"), "Anonymous");
    assert!(answer.header("x-remote").starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn the_follower_refuses_before_it_passes_on() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let channel = dial(&ca, worker(7), &follower).await;
    let status = call(&channel, LIST_NODES).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn the_leader_refuses_a_removed_node_that_the_follower_still_knows() {
    let ca = authority();
    let (leader, follower) = pair(&ca).await;
    leader.view.set_standing(7, Standing::Removed);
    let channel = dial(&ca, worker(7), &follower).await;
    let status = call(&channel, HEARTBEAT).await.expect_err("removed");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("was removed"), "{status}");
}

#[tokio::test]
async fn a_stream_flows_both_ways_while_it_is_open() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let mut channel = dial(&ca, worker(7), &follower).await;
    let (sender, receiver) = mpsc::channel(1);
    let request = request(HEARTBEAT, streamed(ReceiverStream::new(receiver)));
    let response = channel
        .ready()
        .await
        .expect("ready")
        .call(request)
        .await
        .expect("headers");
    let mut body = response.into_body();
    for round in 0..100u32 {
        let sent = Bytes::from(round.to_string());
        sender.send(sent.clone()).await.expect("open");
        let frame = body.frame().await.expect("a frame").expect("whole");
        assert_eq!(frame.into_data().expect("data"), sent);
    }
    drop(sender);
    let end = body.frame().await.expect("a frame").expect("whole");
    assert!(
        end.into_trailers()
            .expect("trailers")
            .contains_key("x-kept")
    );
}

#[tokio::test]
async fn a_large_body_passes_in_both_directions() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let channel = dial(&ca, manager(7), &follower).await;
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let chunks = futures_util::stream::iter(vec![chunk; 200]);
    let answer = send(&channel, request(LIST_NODES, streamed(chunks)))
        .await
        .expect("answered");
    assert_eq!(answer.body.len(), 200 * 64 * 1024);
}

async fn timed(channel: &Channel) -> (Status, Duration) {
    let start = Instant::now();
    let status = call(channel, HEARTBEAT).await.expect_err("no leader");
    (status, start.elapsed())
}

#[tokio::test]
async fn without_a_leader_a_call_is_answered_within_five_seconds() {
    let ca = authority();
    let lonely = serve(shared(&ca, manager(FOLLOWER)), Leader::Unknown).await;
    let channel = dial(&ca, worker(7), &lonely).await;
    let (status, took) = timed(&channel).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no leader"), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn with_an_unreachable_leader_a_call_is_answered_within_five_seconds_and_says_why() {
    let ca = authority();
    let gone = serve(shared(&ca, manager(LEADER)), Leader::Here).await.addr;
    let follows = View::follows(LEADER, gone);
    let follower = serve(shared(&ca, manager(FOLLOWER)), follows).await;
    let channel = dial(&ca, worker(7), &follower).await;
    let (status, took) = timed(&channel).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("the leader cannot be reached"),
        "{status}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_call_made_during_a_vote_is_answered_by_the_new_leader() {
    let ca = authority();
    let leader = serve(shared(&ca, manager(LEADER)), Leader::Here).await;
    let follower = serve(shared(&ca, manager(FOLLOWER)), Leader::Unknown).await;
    let channel = dial(&ca, worker(7), &follower).await;
    let elected = async {
        let watched = || async { (follower.view.leader.receiver_count() > 0).then_some(()) };
        eventually("the call is waiting", watched).await;
        follower
            .view
            .leader
            .send_replace(View::follows(LEADER, leader.addr));
    };
    let (answer, ()) = tokio::join!(call(&channel, HEARTBEAT), elected);
    assert_eq!(
        answer.expect("answered").header("x-served-by"),
        node(LEADER).to_string()
    );
}

#[tokio::test]
async fn once_a_leader_was_found_dead_calls_wait_for_the_next_one() {
    const NEXT: u128 = 3;
    let ca = authority();
    let (leader, follower) = pair(&ca).await;
    let next = serve(shared(&ca, manager(NEXT)), Leader::Here).await;
    let channel = dial(&ca, worker(7), &follower).await;
    call(&channel, HEARTBEAT).await.expect("answered");
    drop(leader);
    // It was on its way over the connection that broke.
    call(&channel, HEARTBEAT)
        .await
        .expect_err("nobody is there");
    let elected = async {
        let watched = || async { (follower.view.leader.receiver_count() > 0).then_some(()) };
        eventually("the call is waiting", watched).await;
        let follows = View::follows(NEXT, next.addr);
        follower.view.leader.send_replace(follows);
    };
    let (answer, ()) = tokio::join!(call(&channel, HEARTBEAT), elected);
    let answer = answer.expect("answered");
    assert_eq!(answer.header("x-served-by"), node(NEXT).to_string());
}

/// A follower of a leader that takes calls and never answers them.
async fn silent_pair(ca: &RootCa) -> (Running, tokio::sync::watch::Receiver<u32>, Running) {
    let (silent, taken) = serve_silently(shared(ca, manager(LEADER)), Leader::Here).await;
    let follows = View::follows(LEADER, silent.addr);
    let follower = serve(shared(ca, manager(FOLLOWER)), follows).await;
    (silent, taken, follower)
}

#[tokio::test]
async fn a_question_to_a_leader_that_fell_silent_is_answered_by_the_next_one() {
    const NEXT: u128 = 3;
    let ca = authority();
    let (_silent, mut taken, follower) = silent_pair(&ca).await;
    let next = serve(shared(&ca, manager(NEXT)), Leader::Here).await;
    let channel = dial(&ca, manager(7), &follower).await;
    let elected = async {
        taken.wait_for(|count| *count > 0).await.expect("taken");
        let follows = View::follows(NEXT, next.addr);
        follower.view.leader.send_replace(follows);
    };
    let body = Body::new(http_body_util::Full::new(Bytes::from_static(b"question")));
    let asked = send(&channel, request(LIST_NODES, body));
    let start = Instant::now();
    let (answer, ()) = tokio::join!(asked, elected);
    let answer = answer.expect("answered");
    assert_eq!(answer.header("x-served-by"), node(NEXT).to_string());
    assert_eq!(answer.body, "question");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "it waited for the silent leader"
    );
}

#[tokio::test]
async fn a_change_sent_to_a_leader_that_fell_silent_is_given_up_at_once_and_never_repeated() {
    const NEXT: u128 = 3;
    let ca = authority();
    let (_silent, mut taken, follower) = silent_pair(&ca).await;
    let (next, taken_by_next) = serve_silently(shared(&ca, manager(NEXT)), Leader::Here).await;
    let channel = dial(&ca, manager(7), &follower).await;
    let elected = async {
        taken.wait_for(|count| *count > 0).await.expect("taken");
        let follows = View::follows(NEXT, next.addr);
        follower.view.leader.send_replace(follows);
    };
    let start = Instant::now();
    let (answer, ()) = tokio::join!(call(&channel, CREATE_CONFIG), elected);
    let status = answer.expect_err("nobody knows whether it was done");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("may or may not"), "{status}");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "it waited for the silent leader"
    );
    assert_eq!(*taken_by_next.borrow(), 0);
}

#[tokio::test]
async fn a_leader_that_steps_down_still_answers_what_it_was_sent() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let next = serve(shared(&ca, manager(3)), Leader::Here).await;
    let channel = dial(&ca, manager(7), &follower).await;
    let (sender, body) = open_stream_of(&channel, CREATE_CONFIG).await;
    let follows = View::follows(3, next.addr);
    follower.view.leader.send_replace(follows);
    drop(sender);
    let status = end_of(body).await;
    assert_eq!(status.code(), Code::Ok, "{status}");
}

#[tokio::test]
async fn a_leader_of_a_newer_term_is_asked_anew_although_it_is_the_same_node() {
    let ca = authority();
    let (_silent, mut taken, follower) = silent_pair(&ca).await;
    let again = serve(shared(&ca, manager(LEADER)), Leader::Here).await;
    let channel = dial(&ca, manager(7), &follower).await;
    let elected = async {
        taken.wait_for(|count| *count > 0).await.expect("taken");
        let Leader::Elsewhere(mut address) = View::follows(LEADER, again.addr) else {
            panic!("it follows");
        };
        address.term += 1;
        follower
            .view
            .leader
            .send_replace(Leader::Elsewhere(address));
    };
    let (answer, ()) = tokio::join!(call(&channel, LIST_NODES), elected);
    assert_eq!(
        answer.expect("answered").header("x-served-by"),
        node(LEADER).to_string()
    );
}

#[tokio::test]
async fn nobody_waits_for_a_machine_without_power_to_be_dialled() {
    const NEXT: u128 = 3;
    let ca = authority();
    // It takes connections and says nothing, so that a handshake takes until its limit.
    let dark = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let follows = View::follows(LEADER, dark.local_addr().expect("bound"));
    let follower = serve(shared(&ca, manager(FOLLOWER)), follows).await;
    let next = serve(shared(&ca, manager(NEXT)), Leader::Here).await;
    let channel = dial(&ca, worker(7), &follower).await;
    let elected = async {
        let _taken = dark.accept().await.expect("dialled");
        let follows = View::follows(NEXT, next.addr);
        follower.view.leader.send_replace(follows);
        tokio::time::timeout(Duration::from_secs(2), call(&channel, HEARTBEAT)).await
    };
    let (first, second) = tokio::join!(call(&channel, HEARTBEAT), elected);
    assert_eq!(
        first.expect("answered").header("x-served-by"),
        node(NEXT).to_string()
    );
    second
        .expect("nobody holds up the others")
        .expect("answered");
}

#[tokio::test]
async fn a_call_passed_to_a_manager_that_has_won_and_does_not_serve_yet_waits_for_it() {
    let ca = authority();
    let (winner, follower) = pair(&ca).await;
    winner.view.leader.send_replace(Leader::Unknown);
    for method in [HEARTBEAT, LIST_NODES] {
        let channel = dial(&ca, manager(7), &follower).await;
        let waiting = winner.view.leader.receiver_count();
        let serves = async {
            let held = || async { (winner.view.leader.receiver_count() > waiting).then_some(()) };
            eventually("the call is held", held).await;
            winner.view.leader.send_replace(Leader::Here);
        };
        let (answer, ()) = tokio::join!(call(&channel, method), serves);
        let answer = answer.expect("answered");
        assert_eq!(answer.header("x-served-by"), node(LEADER).to_string());
        assert_eq!(answer.header("x-forwarded-by"), node(FOLLOWER).to_string());
        winner.view.leader.send_replace(Leader::Unknown);
    }
}

#[tokio::test]
async fn streams_of_a_manager_end_when_it_is_demoted_and_of_a_node_when_it_is_removed() {
    let ca = authority();
    let (leader, follower) = pair(&ca).await;
    for via in [&leader, &follower] {
        for (method, gone, said) in [
            (
                SUBSCRIBE_LOGS,
                Standing::Known(NodeRole::Worker),
                "is not a manager any more",
            ),
            (HEARTBEAT, Standing::Removed, "was removed"),
        ] {
            let channel = dial(&ca, manager(7), via).await;
            let (_sender, body) = open_stream_of(&channel, method).await;
            // Another node's changes do not matter.
            leader.view.set_standing(8, gone);
            leader.view.set_standing(7, gone);
            let status = end_of(body).await;
            assert_eq!(status.code(), Code::PermissionDenied);
            assert!(status.message().contains(said), "{status}");
            leader
                .view
                .set_standing(7, Standing::Known(NodeRole::Manager));
        }
    }
}

#[tokio::test]
async fn a_demoted_manager_keeps_what_a_worker_may_and_nothing_else() {
    let ca = authority();
    let (leader, follower) = pair(&ca).await;
    leader
        .view
        .set_standing(7, Standing::Known(NodeRole::Worker));
    for via in [&leader, &follower] {
        let channel = dial(&ca, manager(7), via).await;
        let answer = call(&channel, HEARTBEAT).await.expect("a worker may");
        assert_eq!(answer.header("x-kind"), "Worker");
        let status = call(&channel, LIST_NODES)
            .await
            .expect_err("a worker may not");
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(
            status.message().contains("is not a manager any more"),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_manager_that_wins_the_vote_answers_itself() {
    let ca = authority();
    let winner = serve(shared(&ca, manager(FOLLOWER)), Leader::Unknown).await;
    let channel = dial(&ca, worker(7), &winner).await;
    let elected = async {
        let watched = || async { (winner.view.leader.receiver_count() > 0).then_some(()) };
        eventually("the call is waiting", watched).await;
        winner.view.leader.send_replace(Leader::Here);
    };
    let (answer, ()) = tokio::join!(call(&channel, HEARTBEAT), elected);
    let answer = answer.expect("answered");
    assert_eq!(answer.header("x-served-by"), node(FOLLOWER).to_string());
    assert_eq!(answer.header("x-node"), node(7).to_string());
}

#[tokio::test]
async fn two_managers_that_take_each_other_for_the_leader_do_not_loop() {
    let ca = authority();
    let (first, second) = pair(&ca).await;
    first
        .view
        .leader
        .send_replace(View::follows(FOLLOWER, second.addr));
    let channel = dial(&ca, worker(7), &second).await;
    let (status, took) = timed(&channel).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("passed on once already"),
        "{status}"
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// An open stream through the follower, proven open.
async fn open_stream(channel: &Channel) -> (mpsc::Sender<Bytes>, Body) {
    open_stream_of(channel, HEARTBEAT).await
}

async fn open_stream_of(channel: &Channel, method: &str) -> (mpsc::Sender<Bytes>, Body) {
    let mut channel = channel.clone();
    let (sender, receiver) = mpsc::channel(1);
    let request = request(method, streamed(ReceiverStream::new(receiver)));
    let response = channel
        .ready()
        .await
        .expect("ready")
        .call(request)
        .await
        .expect("headers");
    let mut body = response.into_body();
    sender
        .send(Bytes::from_static(b"open"))
        .await
        .expect("open");
    body.frame().await.expect("a frame").expect("whole");
    (sender, body)
}

async fn end_of(mut body: Body) -> Status {
    let frame = tokio::time::timeout(Duration::from_secs(10), body.frame())
        .await
        .expect("the stream ends in time")
        .expect("a frame")
        .expect("an orderly end");
    Status::from_header_map(&frame.into_trailers().expect("trailers")).expect("a status")
}

#[tokio::test]
async fn open_streams_end_with_a_status_when_leadership_moves() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let channel = dial(&ca, worker(7), &follower).await;
    let (_sender, body) = open_stream(&channel).await;
    follower.view.leader.send_replace(Leader::Unknown);
    follower.view.leader.send_replace(Leader::Here);
    let status = end_of(body).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("leadership moved"), "{status}");
}

#[tokio::test]
async fn open_streams_end_with_a_status_when_the_leader_dies() {
    let ca = authority();
    let (leader, follower) = pair(&ca).await;
    let channel = dial(&ca, worker(7), &follower).await;
    let (_sender, body) = open_stream(&channel).await;
    drop(leader);
    let status = end_of(body).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status
            .message()
            .contains("the connection to the leader broke"),
        "{status}"
    );
}

#[tokio::test]
async fn a_listeners_connections_can_all_be_closed() {
    let ca = authority();
    let server = serve(shared(&ca, manager(LEADER)), Leader::Here).await;
    let channel = dial(&ca, worker(7), &server).await;
    let (_sender, mut body) = open_stream(&channel).await;
    server.closer.close();
    assert!(body.frame().await.is_none_or(|frame| frame.is_err()));
}

#[tokio::test]
async fn a_follower_takes_its_renewed_certificate_to_the_leader() {
    let ca = authority();
    let (_leader, follower) = pair(&ca).await;
    let channel = dial(&ca, worker(7), &follower).await;
    call(&channel, HEARTBEAT).await.expect("before");
    let renewed = crate::common::credentials(&ca, manager(3));
    follower.credentials.replace(renewed).expect("replace");
    let answer = call(&channel, HEARTBEAT).await.expect("after");
    assert_eq!(answer.header("x-forwarded-by"), node(3).to_string());
}

#[tokio::test]
async fn a_call_on_the_local_socket_is_the_nodes_own_wherever_it_is_answered() {
    let ca = authority();
    let (leader, follower) = pair(&ca).await;
    let directory = tempfile::tempdir().expect("directory");
    for (running, kind) in [(&leader, "LocalSocket"), (&follower, "Manager")] {
        let path = directory.path().join(format!("{kind}.sock"));
        let listener = LocalListener::bind(&path).await.expect("bind");
        let gate = GateLayer::new(running.credentials.clone(), running.view.clone());
        let service = crate::common::echo(node(LEADER).to_string());
        let served = server_builder()
            .layer(gate)
            .serve_with_incoming(service, listener.incoming());
        let serving = tokio::spawn(served);
        let channel = connect_local(&path).await.expect("connect");
        let answer = call(&channel, LIST_NODES).await.expect("answered");
        assert_eq!(answer.header("x-kind"), kind);
        let own = running.credentials.identity().node_id.to_string();
        assert_eq!(answer.header("x-node"), own);
        let health = call(&channel, HEALTH).await.expect("answered here");
        assert_eq!(health.header("x-kind"), "LocalSocket");
        serving.abort();
    }
}
