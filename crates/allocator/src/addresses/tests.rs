//! A slot keeps its address whatever becomes of its tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use store::{Action, Key, Object, State, Transaction};
use types::entropy::SeededEntropy;
use types::network::{IpamConfig, IpamOptions, NetworkAttachment};
use types::service::{Endpoint, VirtualIp};
use types::{
    Annotations, Meta, Network, NetworkId, NetworkSpec, Service, ServiceId, ServiceMode,
    ServiceSpec, SlotKey, Task, TaskId, TaskState, Timestamp,
};

use super::{AddressError, Held, Holder};

struct Bench {
    state: State,
    entropy: SeededEntropy,
    network: Network,
    service: ServiceId,
    now: u64,
}

fn network(subnet: &str, entropy: &mut SeededEntropy) -> Network {
    let mut config = IpamConfig {
        subnet: subnet.into(),
        gateway: "10.0.1.1".into(),
        ..IpamConfig::default()
    };
    config.reserved.insert("printer".into(), "10.0.1.3".into());
    Network {
        id: NetworkId::random(entropy),
        meta: Meta::default(),
        spec: NetworkSpec {
            annotations: Annotations::named("blue"),
            ..NetworkSpec::default()
        },
        driver_state: None,
        ipam: Some(IpamOptions {
            driver: None,
            configs: vec![config],
        }),
        pending_delete: false,
    }
}

impl Bench {
    fn new(subnet: &str) -> Self {
        let mut entropy = SeededEntropy::new(3);
        let network = network(subnet, &mut entropy);
        let service = ServiceId::random(&mut entropy);
        let mut bench = Self {
            state: State::default(),
            entropy,
            network,
            service,
            now: 0,
        };
        bench.declare(service, "10.0.1.2/24");
        bench
    }

    fn declare(&mut self, id: ServiceId, vip: &str) {
        let endpoint = Endpoint {
            virtual_ips: vec![VirtualIp {
                network_id: self.network.id,
                addr: vip.into(),
            }],
            ..Endpoint::default()
        };
        let spec = ServiceSpec {
            annotations: Annotations::named("web"),
            mode: ServiceMode::Replicated { replicas: 3 },
            ..ServiceSpec::default()
        };
        self.apply(Action::Create(Object::from(Service {
            endpoint: Some(Arc::new(endpoint)),
            ..Service::new(id, spec)
        })));
    }

    fn apply(&mut self, action: Action) {
        self.now += 1;
        let tx = Transaction {
            digest: None,
            version: self.state.version() + 1,
            at: Timestamp::from_secs(self.now),
            actions: vec![action],
        };
        self.state.apply(&tx).unwrap();
    }

    /// A task of a slot with the address that the rule gives it.
    fn start(&mut self, slot: u64) -> Result<(TaskId, String), AddressError> {
        let service = self.state.services().get(self.service).unwrap();
        let mut task = Task {
            spec_version: Some(0),
            service_id: Some(self.service),
            slot,
            ..Task::new(TaskId::random(&mut self.entropy), service.spec.clone())
        };
        let address = Held::read(&self.state, &self.network)?.choose(&task)?;
        task.networks = Arc::new([NetworkAttachment {
            network: Arc::new(self.network.clone()),
            addresses: vec![address.clone()],
            aliases: Vec::new(),
            driver_attachment_opts: Default::default(),
        }]);
        let id = task.id;
        self.apply(Action::Create(Object::from(task)));
        Ok((id, address))
    }

    fn end(&mut self, id: TaskId) {
        let mut status = self.state.tasks().get(id).unwrap().status.clone();
        status.state = TaskState::Failed;
        self.apply(Action::Report {
            task: id,
            status: Box::new(status),
        });
    }

    fn remove(&mut self, id: TaskId) {
        self.apply(Action::Remove(Key::Task(id)));
    }

    fn give_up(&mut self, id: TaskId) {
        self.apply(Action::Desire {
            task: id,
            state: TaskState::Remove,
        });
    }
}

#[test]
fn a_slot_keeps_its_address_when_its_task_is_replaced() {
    let mut bench = Bench::new("10.0.1.0/24");
    let (one, first) = bench.start(1).unwrap();
    let (_, other) = bench.start(2).unwrap();
    assert_eq!((&*first, &*other), ("10.0.1.4/24", "10.0.1.5/24"));
    bench.end(one);
    let (two, again) = bench.start(1).unwrap();
    assert_eq!(again, first);
    bench.remove(one);
    bench.end(two);
    assert_eq!(
        bench.start(1).unwrap().1,
        first,
        "the newest record is enough"
    );
}

#[test]
fn a_task_that_starts_beside_another_gets_one_more_address_and_the_next_one_the_first_again() {
    let mut bench = Bench::new("10.0.1.0/24");
    let (old, first) = bench.start(1).unwrap();
    let (new, second) = bench.start(1).unwrap();
    assert_ne!(first, second);
    bench.end(old);
    assert_eq!(bench.start(1).unwrap().1, first);
    let held = Held::read(&bench.state, &bench.network).unwrap();
    let slot = Some(Holder::Slot(bench.service, SlotKey::Number(1)));
    assert_eq!((held.holder(&first), held.holder(&second)), (slot, slot));
    assert!(bench.state.tasks().get(new).is_some());
}

#[test]
fn an_address_is_free_when_its_slot_is_given_up_and_not_before() {
    let mut bench = Bench::new("10.0.1.0/29");
    let (one, first) = bench.start(1).unwrap();
    let (two, _) = bench.start(2).unwrap();
    let (three, _) = bench.start(3).unwrap();
    assert!(matches!(
        bench.start(4),
        Err(AddressError::Exhausted { .. })
    ));
    bench.end(two);
    assert!(bench.start(4).is_err(), "its slot still has a record");
    bench.give_up(one);
    assert!(bench.start(4).is_err(), "the task may still run");
    bench.end(one);
    assert_eq!(bench.start(4).unwrap().1, first);
    bench.remove(three);
    let error = bench.start(5).map(|_| bench.start(6));
    let text = error.unwrap().unwrap_err().to_string();
    assert_eq!(
        text,
        "no address is left in 10.0.1.0/29 of network blue, remove tasks or make it larger"
    );
}

#[test]
fn addresses_of_the_network_itself_and_of_services_are_never_given_out() {
    let mut bench = Bench::new("10.0.1.0/24");
    let held = Held::read(&bench.state, &bench.network).unwrap();
    assert_eq!(held.holder("10.0.1.1"), Some(Holder::Network));
    assert_eq!(held.holder("10.0.1.3/24"), Some(Holder::Network));
    assert_eq!(
        held.holder("10.0.1.2/24"),
        Some(Holder::Service(bench.service))
    );
    assert_eq!(held.holder("10.0.1.0"), None, "not the address of a host");
    assert_eq!(bench.start(1).unwrap().1, "10.0.1.4/24");
}

#[test]
fn subnets_of_ipv6_work_and_those_without_hosts_are_refused() {
    let mut bench = Bench::new("fd00:7::/64");
    assert_eq!(bench.start(1).unwrap().1, "fd00:7::1/64");
    for subnet in [
        "",
        "10.0.1.0",
        "10.0.1.0/33",
        "10.0.1.0/31",
        "10.0.1.0/x",
        "blue/24",
    ] {
        let network = network(subnet, &mut bench.entropy);
        let error = Held::read(&bench.state, &network).unwrap_err();
        assert!(error.to_string().contains("has no subnet"), "{subnet}");
    }
}

#[derive(Debug, Clone)]
enum Event {
    Start(u64),
    End(usize),
    GiveUp(u64),
    Reap(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..6u64).prop_map(Event::Start),
        4 => (0..20usize).prop_map(Event::End),
        1 => (1..6u64).prop_map(Event::GiveUp),
        2 => (0..20usize).prop_map(Event::Reap),
    ]
}

proptest! {
    #[test]
    fn no_address_is_ever_in_use_twice_and_a_slot_keeps_one_of_its_own(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut bench = Bench::new("10.0.1.0/26");
        for event in events {
            let slot_of = |t: &Task| t.slot;
            let tasks: Vec<_> = bench.state.tasks().iter().cloned().collect();
            match event {
                Event::Start(slot) => {
                    let records = tasks.iter().filter(|t| slot_of(t) == slot);
                    let records: Vec<_> = records
                        .filter(|t| t.desired_state < TaskState::Remove)
                        .collect();
                    let quiet = records.iter().all(|t| t.status.state.is_terminal());
                    let newest = records.iter().max_by_key(|t| t.meta.created_at);
                    let had = newest.map(|t| t.networks[0].addresses[0].clone());
                    let (_, address) = bench.start(slot).unwrap();
                    if let (true, Some(had)) = (quiet, had) {
                        prop_assert_eq!(had, address);
                    }
                }
                Event::End(n) if !tasks.is_empty() => bench.end(tasks[n % tasks.len()].id),
                Event::GiveUp(slot) => {
                    tasks.iter().filter(|t| slot_of(t) == slot).for_each(|t| bench.give_up(t.id));
                }
                Event::Reap(n) if !tasks.is_empty() => {
                    let task = &tasks[n % tasks.len()];
                    if task.status.state.is_terminal() {
                        bench.remove(task.id);
                    }
                }
                _ => {}
            }
            let mut users: BTreeMap<String, TaskId> = BTreeMap::new();
            for task in bench.state.tasks().iter().filter(|t| !t.status.state.is_terminal()) {
                let address = task.networks[0].addresses[0].clone();
                prop_assert!(users.insert(address, task.id).is_none());
            }
        }
    }
}
