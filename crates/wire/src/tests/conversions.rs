//! Round trips of every kind through bytes, refusals with their field, garbage.

use std::fmt::Debug;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use types::task::{Runtime, TaskSpec};
use types::{ServiceMode, ServiceSpec, Task, naming};

use crate::api;
use crate::convert::{self, ConvertError, Problem};
use crate::testgen::Gen;

/// Sends a domain object over the wire and back.
fn travel<D, A>(object: &D) -> D
where
    A: Message + Default + for<'a> From<&'a D>,
    D: TryFrom<A, Error = ConvertError>,
{
    let bytes = A::from(object).encode_to_vec();
    D::try_from(A::decode(&bytes[..]).unwrap()).unwrap()
}

fn assert_travels<D, A>(object: &D)
where
    A: Message + Default + for<'a> From<&'a D>,
    D: TryFrom<A, Error = ConvertError> + PartialEq + Debug,
{
    assert_eq!(&travel::<D, A>(object), object);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_kind_of_object_survives_the_wire(seed: u64) {
        let mut g = Gen::new(seed);
        assert_travels::<_, api::Node>(&g.node());
        assert_travels::<_, api::Service>(&g.service());
        assert_travels::<_, api::Network>(&g.network());
        assert_travels::<_, api::Secret>(&g.secret());
        assert_travels::<_, api::Config>(&g.config());
        assert_travels::<_, api::Volume>(&g.volume());
        assert_travels::<_, api::Extension>(&g.extension());
        assert_travels::<_, api::Resource>(&g.resource());
        assert_travels::<_, api::NodeDescription>(&g.description());
        assert_travels::<_, api::TaskStatus>(&g.task_status());
        let cluster = types::Cluster { feature_level: 0, ..g.cluster() };
        assert_travels::<_, api::Cluster>(&cluster);
    }

    #[test]
    fn a_task_survives_the_wire_when_its_service_spec_is_known(seed: u64) {
        let mut task = Gen::new(seed).task();
        task.annotations = task.annotations.filter(|a| **a != types::Annotations::default());
        let bytes = api::Task::from(&task).encode_to_vec();
        let spec = Arc::clone(&task.service_spec);
        let read = api::Task::decode(&bytes[..]).unwrap();
        prop_assert_eq!(convert::task_with_service_spec(read, spec).unwrap(), task);
    }

    #[test]
    fn a_task_alone_tells_an_agent_all_that_it_runs(seed: u64) {
        let task = Gen::new(seed).task();
        let read: Task = travel::<_, api::Task>(&task);
        prop_assert_eq!(read.spec(), task.spec());
        prop_assert_eq!(read.service_annotations(), task.service_annotations());
        prop_assert_eq!((read.id, read.status), (task.id, task.status));
    }

    #[test]
    fn bytes_of_a_hostile_peer_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_messages_never_panic(seed: u64, at: prop::sample::Index, with: u8) {
        let mut g = Gen::new(seed);
        let encoded = [
            api::Task::from(&g.task()).encode_to_vec(),
            api::Service::from(&g.service()).encode_to_vec(),
            api::Node::from(&g.node()).encode_to_vec(),
            api::Cluster::from(&g.cluster()).encode_to_vec(),
            api::Volume::from(&g.volume()).encode_to_vec(),
        ];
        for mut bytes in encoded {
            let at = at.index(bytes.len());
            bytes[at] = with;
            read_as_everything(&bytes);
        }
    }
}

fn read_as_everything(bytes: &[u8]) {
    fn read<A: Message + Default, D: TryFrom<A>>(bytes: &[u8]) {
        if let Ok(message) = A::decode(bytes) {
            let _ = D::try_from(message);
        }
    }
    read::<api::Cluster, types::Cluster>(bytes);
    read::<api::Node, types::Node>(bytes);
    read::<api::Service, types::Service>(bytes);
    read::<api::Task, types::Task>(bytes);
    read::<api::Network, types::Network>(bytes);
    read::<api::Secret, types::Secret>(bytes);
    read::<api::Config, types::Config>(bytes);
    read::<api::Volume, types::Volume>(bytes);
    read::<api::Extension, types::Extension>(bytes);
    read::<api::Resource, types::Resource>(bytes);
}

fn container_spec() -> api::ServiceSpec {
    let spec = ServiceSpec {
        mode: ServiceMode::Replicated { replicas: 3 },
        task: TaskSpec {
            runtime: Runtime::Container(Box::default()),
            ..TaskSpec::default()
        },
        ..ServiceSpec::default()
    };
    (&spec).into()
}

fn with_container(edit: impl FnOnce(&mut api::ContainerSpec)) -> api::ServiceSpec {
    let mut spec = container_spec();
    let task = spec.task.as_mut().unwrap();
    let Some(api::task_spec::Runtime::Container(container)) = &mut task.runtime else {
        panic!("the spec runs a container");
    };
    edit(container);
    spec
}

fn refusal(spec: api::ServiceSpec) -> String {
    ServiceSpec::try_from(spec).unwrap_err().to_string()
}

#[test]
fn an_unknown_enum_number_is_refused_with_the_path_of_its_field() {
    let spec = with_container(|c| {
        let known = api::Mount::default();
        c.mounts = vec![known.clone(), api::Mount { r#type: 9, ..known }];
    });
    assert_eq!(
        refusal(spec),
        "task.container.mounts[1].type: has the unknown value 9"
    );
}

#[test]
fn an_id_that_is_none_is_refused_with_the_path_of_its_field() {
    let spec = with_container(|c| {
        c.secrets = vec![api::SecretReference {
            secret_id: "s3cret".to_owned(),
            ..Default::default()
        }];
    });
    assert_eq!(
        refusal(spec),
        "task.container.secrets[0].secret_id: is not an id: an id has 25 characters, this has 6"
    );
}

#[test]
fn what_must_be_chosen_is_missed_by_name() {
    let modeless = api::ServiceSpec {
        mode: None,
        ..container_spec()
    };
    assert_eq!(refusal(modeless), "mode: is required and was not given");
    let taskless = api::ServiceSpec {
        task: None,
        ..container_spec()
    };
    assert_eq!(refusal(taskless), "task: is required and was not given");
    let idle = api::ServiceSpec {
        task: Some(api::TaskSpec::default()),
        ..container_spec()
    };
    assert_eq!(refusal(idle), "task.runtime: is required and was not given");
}

#[test]
fn durations_that_go_cannot_hold_are_refused() {
    let grace = |seconds, nanos| {
        let grace = prost_types::Duration { seconds, nanos };
        ServiceSpec::try_from(with_container(|c| c.stop_grace_period = Some(grace)))
    };
    assert!(grace(9_223_372_036, 854_775_807).is_ok());
    for (seconds, nanos) in [
        (9_223_372_036, 854_775_808),
        (-1, 0),
        (0, -1),
        (i64::MAX, i32::MAX),
    ] {
        let error = grace(seconds, nanos).unwrap_err();
        assert_eq!(error.path(), "task.container.stop_grace_period");
        assert_eq!(error.problem(), &Problem::Duration);
    }
}

#[test]
fn what_is_shown_of_cluster_and_secret_holds_no_key() {
    let canary = || types::SecretBytes::new(*b"canary");
    let key = types::cluster::EncryptionKey {
        key: canary(),
        ..Default::default()
    };
    let mut cluster = Gen::new(1).cluster();
    cluster.root_ca.ca_key = canary();
    cluster.root_ca.root_rotation = Some(types::cluster::RootRotation {
        ca_key: canary(),
        ..Default::default()
    });
    cluster.spec.ca.signing_ca_key = canary();
    cluster.network_bootstrap_keys = vec![key.clone()];
    cluster.unlock_keys = vec![key];
    let holds_canary = |bytes: Vec<u8>| bytes.windows(6).any(|w| w == b"canary");
    assert!(holds_canary(api::Cluster::from(&cluster).encode_to_vec()));
    assert!(!holds_canary(
        convert::cluster_without_secrets(&cluster).encode_to_vec()
    ));

    let mut secret = Gen::new(1).secret();
    secret.spec.data = canary();
    assert!(!holds_canary(
        convert::secret_without_data(&secret).encode_to_vec()
    ));
}

#[test]
fn a_task_read_from_the_wire_has_the_name_that_swarmkit_gives_it() {
    let mut g = Gen::new(3);
    let mut task = Task {
        annotations: None,
        slot: 4,
        ..g.task()
    };
    task.node_id = Some(types::NodeId::random(g.entropy()));
    let mut spec = g.service_spec();
    spec.annotations.name = "web".to_owned();
    task.service_spec = Arc::new(spec);
    let name = |task: &Task| naming::task_name(&travel::<_, api::Task>(task));
    assert_eq!(name(&task), format!("web.4.{}", task.id));
    task.slot = 0;
    assert_eq!(
        name(&task),
        format!("web.{}.{}", task.node_id.unwrap(), task.id)
    );
}
