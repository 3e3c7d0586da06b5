//! Published ports of the routing mesh: explicit ones are taken as asked, the others are chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use store::State;
use types::service::{Endpoint, EndpointSpec, PortConfig, Protocol, PublishMode};
use types::{Service, ServiceId};

/// Where ports are chosen from when a service names none (SwarmKit's range).
pub const DYNAMIC_PORTS: RangeInclusive<u32> = 30_000..=32_767;

/// Why a service cannot have the ports it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Another service has the port.
    #[error("port {port}/{protocol} is published by service {by}, choose another or remove that")]
    Taken {
        /// Port.
        port: u32,
        /// Name of its protocol.
        protocol: &'static str,
        /// Name of the service that has it.
        by: String,
    },
    /// Every port that could be chosen is in use.
    #[error(
        "no {protocol} port is left in 30000-32767 for target port {target}, publish it on a \
         port of your choice"
    )]
    Exhausted {
        /// Port in the container.
        target: u32,
        /// Name of its protocol.
        protocol: &'static str,
    },
}

type Taken = BTreeMap<(Protocol, u32), ServiceId>;

/// The ports of the routing mesh that services have or ask for.
#[derive(Debug, Default)]
pub(crate) struct PortsInUse {
    /// Allocated.
    taken: Taken,
    /// Asked for by number; the dynamic choice keeps clear of them.
    asked: Taken,
}

impl PortsInUse {
    /// Reads all services.
    pub(crate) fn of(view: &State) -> Self {
        let mut ports = Self::default();
        for service in view.services().iter() {
            if let Some(endpoint) = &service.endpoint {
                ports.hold(service.id, &endpoint.ports);
            }
            let spec = service.spec.endpoint.iter().flat_map(|e| &e.ports);
            for port in spec.filter(|p| is_ingress(p) && p.published_port != 0) {
                let key = (port.protocol, port.published_port);
                ports.asked.entry(key).or_insert(service.id);
            }
        }
        ports
    }

    /// Notes ports as allocated to a service. Those it had stay its own until the change that gives
    /// them up is seen: its step may be dropped, and that of a service that was given them not.
    pub(crate) fn hold(&mut self, service: ServiceId, ports: &[PortConfig]) {
        for port in ports.iter().filter(|p| is_ingress(p)) {
            let key = (port.protocol, port.published_port);
            self.taken.entry(key).or_insert(service);
        }
    }

    /// The endpoint of a service as its spec asks for it.
    ///
    /// # Errors
    /// If an explicit port belongs to another service or no dynamic one is left.
    pub(crate) fn allocate(&self, view: &State, service: &Service) -> Result<Endpoint, PortError> {
        let spec = service.spec.endpoint.clone().unwrap_or_default();
        let mut ports = spec.ports.clone();
        let mut own = BTreeSet::new();
        for port in ports.iter().filter(|p| is_ingress(p)) {
            if port.published_port != 0 {
                self.check(view, service.id, port)?;
            }
            own.insert((port.protocol, port.published_port));
        }
        for port in &mut ports {
            if is_ingress(port) && port.published_port == 0 {
                port.published_port = self.choose(service, port, &own)?;
                own.insert((port.protocol, port.published_port));
            }
        }
        Ok(Endpoint {
            spec,
            ports,
            virtual_ips: Vec::new(),
        })
    }

    fn check(&self, view: &State, id: ServiceId, port: &PortConfig) -> Result<(), PortError> {
        let key = (port.protocol, port.published_port);
        match self.taken.get(&key).filter(|by| **by != id) {
            None => Ok(()),
            Some(by) => Err(PortError::Taken {
                port: port.published_port,
                protocol: port.protocol.name(),
                by: view
                    .services()
                    .get(*by)
                    .map_or_else(|| by.to_string(), |s| s.spec.annotations.name.clone()),
            }),
        }
    }

    /// The port that the service had for the same target, else the one after the highest in use,
    /// so that a port that was given up is not reused soon; else the lowest free one.
    fn choose(
        &self,
        service: &Service,
        wanted: &PortConfig,
        own: &BTreeSet<(Protocol, u32)>,
    ) -> Result<u32, PortError> {
        let free = |number: u32| {
            let key = (wanted.protocol, number);
            let others = |t: &Taken| t.get(&key).is_some_and(|by| *by != service.id);
            !others(&self.taken) && !others(&self.asked) && !own.contains(&key)
        };
        let had = service.endpoint.iter().flat_map(|e| &e.ports);
        let had = had
            .filter(|p| same_but_number(p, wanted))
            .map(|p| p.published_port);
        let had = had.into_iter().find(|number| *number != 0 && free(*number));
        let in_use =
            (wanted.protocol, *DYNAMIC_PORTS.start())..=(wanted.protocol, *DYNAMIC_PORTS.end());
        let highest = self
            .taken
            .range(in_use.clone())
            .next_back()
            .map(|(key, _)| *key);
        let highest = highest.max(own.range(in_use).next_back().copied());
        let after = highest.map_or(*DYNAMIC_PORTS.start(), |(_, number)| number + 1);
        had.or_else(|| (after..=*DYNAMIC_PORTS.end()).find(|n| free(*n)))
            .or_else(|| DYNAMIC_PORTS.into_iter().find(|n| free(*n)))
            .ok_or(PortError::Exhausted {
                target: wanted.target_port,
                protocol: wanted.protocol.name(),
            })
    }
}

/// Whether a service has what its spec asks for. One that asks for no ports needs nothing.
pub(crate) fn is_allocated(service: &Service) -> bool {
    let empty = EndpointSpec::default();
    let wanted = service.spec.endpoint.as_ref().unwrap_or(&empty);
    match &service.endpoint {
        Some(endpoint) => endpoint.spec == *wanted,
        None => wanted.ports.is_empty(),
    }
}

fn is_ingress(port: &PortConfig) -> bool {
    port.publish_mode == PublishMode::Ingress
}

fn same_but_number(a: &PortConfig, b: &PortConfig) -> bool {
    a.name == b.name
        && a.protocol == b.protocol
        && a.target_port == b.target_port
        && a.publish_mode == b.publish_mode
}
