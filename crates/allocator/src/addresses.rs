//! Addresses on cluster networks: each slot of a service keeps its own.
//!
//! What is held is read from the committed tasks and services and from nothing else, so a new
//! leader, a migration or a restart of the task changes no address. An address belongs to the slot
//! as long as a record of the slot names it: a slot's next task takes the address of the one
//! before, or, where that one may still run (start-first, runs of a job beside one another), one
//! more. The address is free again when the slot is given up: when the last record that names it
//! is gone, or when all of them are on their way out and have ended.
//!
//! No stage uses this yet: there are no cluster networks. What writes addresses into tasks is to
//! ask [`Held::choose`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use store::State;
use types::{Network, NetworkId, ServiceId, SlotKey, Task, TaskId, TaskState, Timestamp};

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The network's subnet cannot be read, or has no room for hosts.
    #[error("network {network} has no subnet to take addresses from: {subnet:?}")]
    NoSubnet {
        /// Name of the network.
        network: String,
        /// What it has.
        subnet: String,
    },
    /// Every address is held.
    #[error("no address is left in {subnet} of network {network}, remove tasks or make it larger")]
    Exhausted {
        /// Name of the network.
        network: String,
        /// The subnet.
        subnet: String,
    },
}

/// Who holds an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The network itself: gateway or set aside.
    Network,
    /// A service: its virtual address.
    Service(ServiceId),
    /// A slot of a service.
    Slot(ServiceId, SlotKey),
    /// A task without a service.
    Task(TaskId),
}

impl Holder {
    /// Who holds the addresses of a task.
    pub fn of(task: &Task) -> Self {
        match task.service_id {
            Some(service) => Self::Slot(service, SlotKey::of(task)),
            None => Self::Task(task.id),
        }
    }
}

/// The addresses of one network that are held, and where more come from.
#[derive(Debug)]
pub struct Held {
    network: String,
    subnet: String,
    prefix_len: u8,
    hosts: RangeInclusive<u128>,
    v6: bool,
    holders: BTreeMap<u128, Holder>,
    /// Addresses that a task may still be using, and those that slots had, newest task first.
    busy: BTreeMap<u128, TaskId>,
    had: BTreeMap<Holder, Vec<(Timestamp, u128)>>,
}

impl Held {
    /// Reads the tables.
    ///
    /// # Errors
    /// If the network has no subnet.
    pub fn read(view: &State, network: &Network) -> Result<Self, AddressError> {
        let mut held = Self::empty(network)?;
        for service in view.services().iter() {
            let virtual_ips = service.endpoint.iter().flat_map(|e| &e.virtual_ips);
            for ip in virtual_ips.filter(|ip| ip.network_id == network.id) {
                let number = held.number(&ip.addr);
                number.map(|n| held.holders.insert(n, Holder::Service(service.id)));
            }
        }
        for task in view.tasks().iter() {
            held.add(task, network.id);
        }
        held.had
            .values_mut()
            .for_each(|had| had.sort_by_key(|(at, _)| std::cmp::Reverse(*at)));
        Ok(held)
    }

    fn empty(network: &Network) -> Result<Self, AddressError> {
        let ipam = network.ipam.as_ref().or(network.spec.ipam.as_ref());
        let config = ipam
            .and_then(|i| i.configs.first())
            .cloned()
            .unwrap_or_default();
        let name = network.spec.annotations.name.clone();
        let Some((hosts, prefix_len, v6)) = hosts(&config.subnet) else {
            return Err(AddressError::NoSubnet {
                network: name,
                subnet: config.subnet,
            });
        };
        let mut held = Self {
            network: name,
            subnet: config.subnet.clone(),
            prefix_len,
            hosts,
            v6,
            holders: BTreeMap::new(),
            busy: BTreeMap::new(),
            had: BTreeMap::new(),
        };
        for own in config.reserved.values().chain([&config.gateway]) {
            let number = held.number(own);
            number.map(|n| held.holders.insert(n, Holder::Network));
        }
        Ok(held)
    }

    /// Notes the addresses of a task.
    fn add(&mut self, task: &Task, network: NetworkId) {
        let state = task.status.state;
        let may_run = !state.is_terminal();
        if task.desired_state == TaskState::Remove && !may_run {
            return;
        }
        let holder = Holder::of(task);
        let attachments = task.networks.iter().filter(|n| n.network.id == network);
        let numbers: Vec<u128> = attachments
            .flat_map(|a| &a.addresses)
            .filter_map(|a| self.number(a))
            .collect();
        for number in numbers {
            self.holders.insert(number, holder);
            if may_run {
                self.busy.insert(number, task.id);
            }
            let had = self.had.entry(holder).or_default();
            had.push((task.meta.created_at, number));
        }
    }

    fn number(&self, text: &str) -> Option<u128> {
        let (number, v6) = parse(text.split('/').next()?)?;
        (v6 == self.v6 && self.hosts.contains(&number)).then_some(number)
    }

    /// Who holds an address, written with or without its prefix.
    pub fn holder(&self, address: &str) -> Option<Holder> {
        self.holders.get(&self.number(address)?).copied()
    }

    /// Gives a task its address, in CIDR notation: the one that its slot had last and that no task
    /// may still be using, else the one after the highest that is held, so that an address that was
    /// given up is not used again soon; else the lowest free one.
    ///
    /// # Errors
    /// If every address is held.
    pub fn choose(&mut self, task: &Task) -> Result<String, AddressError> {
        let holder = Holder::of(task);
        let had = self.had.get(&holder).into_iter().flatten();
        let kept = had
            .map(|(_, number)| *number)
            .find(|n| self.busy.get(n).is_none_or(|by| *by == task.id));
        let number = kept
            .or_else(|| self.free())
            .ok_or_else(|| AddressError::Exhausted {
                network: self.network.clone(),
                subnet: self.subnet.clone(),
            })?;
        self.holders.insert(number, holder);
        self.busy.insert(number, task.id);
        Ok(format!("{}/{}", self.write(number), self.prefix_len))
    }

    fn free(&self) -> Option<u128> {
        let (first, last) = (*self.hosts.start(), *self.hosts.end());
        let highest = self.holders.keys().next_back().copied();
        let next = highest.map_or(first, |n| n + 1);
        if next <= last {
            return Some(next);
        }
        let mut gaps = (first..).zip(self.holders.keys());
        gaps.find(|(free, held)| free != *held)
            .map(|(free, _)| free)
    }

    fn write(&self, number: u128) -> IpAddr {
        match (self.v6, u32::try_from(number)) {
            (false, Ok(number)) => Ipv4Addr::from(number).into(),
            _ => Ipv6Addr::from(number).into(),
        }
    }
}

fn parse(text: &str) -> Option<(u128, bool)> {
    Some(match text.parse().ok()? {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), false),
        IpAddr::V6(ip) => (u128::from(ip), true),
    })
}

/// The host addresses of a subnet (without its first and last), the length of its prefix, and
/// whether it is one of IPv6.
fn hosts(subnet: &str) -> Option<(RangeInclusive<u128>, u8, bool)> {
    let (base, prefix_len) = subnet.split_once('/')?;
    let (base, v6) = parse(base)?;
    let prefix_len: u8 = prefix_len.parse().ok()?;
    let free_bits = (if v6 { 128u8 } else { 32 }).checked_sub(prefix_len)?;
    let size = 1u128
        .checked_shl(free_bits.into())
        .filter(|_| (2..128).contains(&free_bits))?;
    let first = base & !(size - 1);
    Some((first + 1..=first + (size - 2), prefix_len, v6))
}

#[cfg(test)]
mod tests;
