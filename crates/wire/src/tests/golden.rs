//! Bytes as a stock engine sends and expects them, put together by hand from field numbers.
//!
//! A tag byte is the field number times eight plus the wire type: 0 varint, 2 length-delimited.

use prost::Message;

use crate::api::{self, assignment::Item, assignment_change, assignments_message};

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(number < 16 && length < 128);
    [&[number << 3 | 2, length], content].concat()
}

fn varint(number: u8, value: u8) -> Vec<u8> {
    assert!(number < 16 && value < 128);
    vec![number << 3, value]
}

#[test]
fn issue_node_certificate_request() {
    let bytes = [
        varint(1, 1),
        field(2, b"csr"),
        field(3, b"SWMTKN-1-x"),
        varint(4, 2),
    ]
    .concat();
    let message = api::IssueNodeCertificateRequest {
        role: api::NodeRole::Manager.into(),
        csr: b"csr".to_vec(),
        token: "SWMTKN-1-x".to_owned(),
        availability: api::node_spec::Availability::Drain.into(),
    };
    assert_eq!(message.encode_to_vec(), bytes);
    assert_eq!(
        api::IssueNodeCertificateRequest::decode(&bytes[..]).unwrap(),
        message
    );
}

#[test]
fn node_certificate_status_response() {
    let issued = field(1, &varint(1, 3));
    let certificate = [
        varint(1, 1),
        field(2, b"csr"),
        field(3, &varint(1, 3)),
        field(4, b"pem"),
        field(5, b"cn"),
    ]
    .concat();
    let message = api::NodeCertificateStatusResponse {
        status: Some(api::IssuanceStatus {
            state: 3,
            err: String::new(),
        }),
        certificate: Some(api::Certificate {
            role: 1,
            csr: b"csr".to_vec(),
            status: Some(api::IssuanceStatus {
                state: 3,
                err: String::new(),
            }),
            certificate: b"pem".to_vec(),
            cn: "cn".to_owned(),
        }),
    };
    assert_eq!(
        message.encode_to_vec(),
        [issued, field(2, &certificate)].concat()
    );
}

#[test]
fn session_message() {
    let peer = [field(1, b"node"), field(2, b"10.0.0.1:2377")].concat();
    let manager = [field(1, &peer), varint(2, 1)].concat();
    let key = [field(1, b"networking:gossip"), field(3, b"k"), varint(4, 7)].concat();
    let bytes = [
        field(1, b"session"),
        field(2, &field(1, b"node")),
        field(3, &manager),
        field(4, &key),
        field(5, b"pem"),
    ]
    .concat();
    let message = api::SessionMessage {
        session_id: "session".to_owned(),
        node: Some(api::Node {
            id: "node".to_owned(),
            ..Default::default()
        }),
        managers: vec![api::WeightedPeer {
            peer: Some(api::Peer {
                node_id: "node".to_owned(),
                addr: "10.0.0.1:2377".to_owned(),
            }),
            weight: 1,
        }],
        network_bootstrap_keys: vec![api::EncryptionKey {
            subsystem: "networking:gossip".to_owned(),
            algorithm: 0,
            key: b"k".to_vec(),
            lamport_time: 7,
        }],
        root_ca: b"pem".to_vec(),
    };
    assert_eq!(message.encode_to_vec(), bytes);
}

#[test]
fn assignments_message() {
    let task = |item| api::AssignmentChange {
        assignment: Some(api::Assignment { item: Some(item) }),
        action: assignment_change::AssignmentAction::Remove.into(),
    };
    let message = api::AssignmentsMessage {
        r#type: assignments_message::Type::Incremental.into(),
        applies_to: "1".to_owned(),
        results_in: "2".to_owned(),
        changes: vec![
            task(Item::Task(api::Task {
                id: "t".to_owned(),
                ..Default::default()
            })),
            task(Item::Secret(api::Secret {
                id: "s".to_owned(),
                ..Default::default()
            })),
            task(Item::Config(api::Config {
                id: "c".to_owned(),
                ..Default::default()
            })),
            task(Item::Volume(api::VolumeAssignment {
                id: "v".to_owned(),
                ..Default::default()
            })),
        ],
    };
    let change = |alternative, id: &[u8]| {
        let assignment = field(alternative, &field(1, id));
        field(4, &[field(1, &assignment), varint(2, 1)].concat())
    };
    let bytes = [
        varint(1, 1),
        field(2, b"1"),
        field(3, b"2"),
        change(1, b"t"),
        change(2, b"s"),
        change(3, b"c"),
        change(4, b"v"),
    ]
    .concat();
    assert_eq!(message.encode_to_vec(), bytes);
}

#[test]
fn heartbeat_response_and_task_status_update() {
    let period = prost_types::Duration {
        seconds: 5,
        nanos: 0,
    };
    let message = api::HeartbeatResponse {
        period: Some(period),
    };
    assert_eq!(message.encode_to_vec(), field(1, &varint(1, 5)));

    // RUNNING is 512: two varint bytes, 0x80 0x04.
    let container = [field(1, b"id"), varint(2, 9)].concat();
    let status = [
        vec![2 << 3, 0x80, 4],
        field(3, b"started"),
        field(5, &container),
    ]
    .concat();
    let update = [field(1, b"task"), field(2, &status)].concat();
    let bytes = [field(1, b"session"), field(3, &update)].concat();
    let request = api::UpdateTaskStatusRequest::decode(&bytes[..]).unwrap();
    let status = request.updates[0].status.clone().unwrap();
    assert_eq!(status.state, i32::from(api::TaskState::Running));
    assert_eq!(status.message, "started");
    let read = types::TaskStatus::try_from(status).unwrap();
    assert_eq!(read.container.unwrap().pid, 9);
}

#[test]
fn fields_far_from_the_start_have_swarmkits_numbers() {
    let auth = api::container_spec::PullOptions {
        registry_auth: "a".to_owned(),
    };
    // Field 64, length-delimited: 64 * 8 + 2 = 514.
    assert_eq!(auth.encode_to_vec(), [0x82, 0x04, 1, b'a']);

    let port = api::Node {
        vxlanudp_port: 1,
        ..Default::default()
    };
    assert_eq!(port.encode_to_vec(), varint(11, 1));

    let configs = vec![api::IpamConfig::default()];
    let ipam = api::IpamOptions {
        driver: None,
        configs,
    };
    assert_eq!(ipam.encode_to_vec(), field(3, b""));

    let volumes = vec![api::VolumeAttachment::default()];
    let task = api::Task {
        volumes,
        ..Default::default()
    };
    assert_eq!(task.encode_to_vec(), [0x8a, 0x01, 0]);
}

#[test]
fn messages_that_go_writes_even_when_empty_are_read() {
    // Meta, spec, status and certificate are present with no content, as gogo writes them.
    let id = "2e7q4m8vk1c0z9xw5y3t6r8p0".as_bytes();
    let bytes = [
        field(1, id),
        field(2, b""),
        field(3, b""),
        field(5, b""),
        field(8, b""),
    ]
    .concat();
    let node = types::Node::try_from(api::Node::decode(&bytes[..]).unwrap()).unwrap();
    assert_eq!(node.spec.membership, types::node::Membership::Pending);
    assert!(node.description.is_none());
}

#[test]
fn fields_of_a_newer_swarmkit_are_skipped() {
    let known = [varint(1, 1), field(2, b"csr")].concat();
    let newer = [known.clone(), field(15, b"new"), varint(14, 1)].concat();
    assert_eq!(
        api::IssueNodeCertificateRequest::decode(&newer[..]).unwrap(),
        api::IssueNodeCertificateRequest::decode(&known[..]).unwrap()
    );
}

#[test]
fn old_readers_get_enum_lists_unpacked() {
    let options = api::LogSubscriptionOptions {
        streams: vec![1, 2],
        ..Default::default()
    };
    assert_eq!(
        options.encode_to_vec(),
        [varint(1, 1), varint(1, 2)].concat()
    );
    let packed = field(1, &[1, 2]);
    assert_eq!(
        api::LogSubscriptionOptions::decode(&packed[..]).unwrap(),
        options
    );
}
