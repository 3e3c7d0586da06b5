//! What the tasks on one node take, and what is left of it.
//!
//! Follows the loads it is given; never reads a task or decides where one goes.

use std::collections::BTreeMap;

use types::{GenericResource, Node, Resources};

use crate::requirements::{HostPort, Load, Requirements};

/// What the tasks on one node take.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Account {
    /// Tasks that occupy the node.
    pub(crate) held: u32,
    /// Those of them that are not meant to stop.
    pub(crate) active: u32,
    /// CPU set aside, in billionths of a core.
    pub(crate) nano_cpus: i64,
    /// Memory set aside, in bytes.
    pub(crate) memory_bytes: i64,
    /// What tasks take that are told to stop and have not ended.
    leaving: Share,
    /// What tasks take that may be displaced, by priority, lowest first.
    displaceable: Vec<(u8, Share)>,
    discrete: BTreeMap<String, i64>,
    named: BTreeMap<(String, String), u32>,
    ports: BTreeMap<HostPort, u32>,
}

/// What some of the tasks on a node take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Tasks.
    pub(crate) tasks: u32,
    /// CPU, in billionths of a core.
    pub(crate) nano_cpus: i64,
    /// Memory, in bytes.
    pub(crate) memory_bytes: i64,
}

impl Account {
    /// Counts a task in.
    pub(crate) fn add(&mut self, load: &Load) {
        self.held += 1;
        self.active += u32::from(load.active);
        if let Some(share) = self.share(load) {
            share.tasks += 1;
            share.nano_cpus += load.nano_cpus;
            share.memory_bytes += load.memory_bytes;
        }
        self.nano_cpus += load.nano_cpus;
        self.memory_bytes += load.memory_bytes;
        for resource in &load.generic {
            match resource {
                GenericResource::Discrete { kind, value } => {
                    *self.discrete.entry(kind.clone()).or_default() += value;
                }
                GenericResource::Named { kind, value } => {
                    let unit = (kind.clone(), value.clone());
                    *self.named.entry(unit).or_default() += 1;
                }
            }
        }
        for port in &load.ports {
            *self.ports.entry(*port).or_default() += 1;
        }
    }

    /// Counts a task out that was counted in with the same load.
    pub(crate) fn remove(&mut self, load: &Load) {
        assert!(
            self.held > 0,
            "only a task that was counted in is counted out"
        );
        self.held -= 1;
        self.active -= u32::from(load.active);
        if let Some(share) = self.share(load) {
            share.tasks -= 1;
            share.nano_cpus -= load.nano_cpus;
            share.memory_bytes -= load.memory_bytes;
        }
        self.displaceable.retain(|(_, share)| share.tasks > 0);
        self.nano_cpus -= load.nano_cpus;
        self.memory_bytes -= load.memory_bytes;
        for resource in &load.generic {
            match resource {
                GenericResource::Discrete { kind, value } => {
                    let rest = self.discrete.get(kind).map_or(0, |used| used - value);
                    if rest == 0 {
                        self.discrete.remove(kind);
                    } else {
                        self.discrete.insert(kind.clone(), rest);
                    }
                }
                GenericResource::Named { kind, value } => {
                    decrement(&mut self.named, &(kind.clone(), value.clone()));
                }
            }
        }
        for port in &load.ports {
            decrement(&mut self.ports, port);
        }
    }

    /// The share that a load is counted in besides the whole, if it can become free.
    fn share(&mut self, load: &Load) -> Option<&mut Share> {
        if load.promised {
            return None;
        }
        if !load.active {
            return Some(&mut self.leaving);
        }
        let priority = load.displaceable?;
        let at = self
            .displaceable
            .binary_search_by_key(&priority, |(p, _)| *p);
        let at = at.unwrap_or_else(|before| {
            self.displaceable
                .insert(before, (priority, Share::default()));
            before
        });
        Some(&mut self.displaceable[at].1)
    }

    /// What tasks take that are told to stop and have not ended.
    pub(crate) fn leaving(&self) -> Share {
        self.leaving
    }

    /// What would become free if all tasks ended that are told to stop or may be displaced by one
    /// of this priority.
    pub(crate) fn below(&self, priority: u8) -> Share {
        let lower = self.displaceable.iter().take_while(|(p, _)| *p < priority);
        lower.fold(self.leaving, |sum, (_, share)| Share {
            tasks: sum.tasks + share.tasks,
            nano_cpus: sum.nano_cpus + share.nano_cpus,
            memory_bytes: sum.memory_bytes + share.memory_bytes,
        })
    }

    /// How full the node would be with such a task, in percent of CPU plus percent of memory, as
    /// classic Swarm counts: what the task does not ask for counts as full.
    pub(crate) fn weight(&self, asked: &Requirements, node: &Node) -> u32 {
        let nothing = Resources::default();
        let has = node.description.as_ref().map_or(&nothing, |d| &d.resources);
        let score = |asked: i64, used: i64, has: i64| -> u32 {
            if asked <= 0 || has <= 0 {
                return 100;
            }
            let percent = (i128::from(used) + i128::from(asked)) * 100 / i128::from(has);
            u32::try_from(percent.clamp(0, 100)).unwrap_or(100)
        };
        score(asked.nano_cpus, self.nano_cpus, has.nano_cpus)
            + score(asked.memory_bytes, self.memory_bytes, has.memory_bytes)
    }

    /// Whether a port of the node is taken.
    pub(crate) fn uses(&self, port: &HostPort) -> bool {
        self.ports.contains_key(port)
    }

    /// The first resource that does not suffice, with what is wanted and what is free of it.
    pub(crate) fn lacks<'a>(&self, asked: &'a Requirements, node: &Node) -> Option<Lack<'a>> {
        if asked.nano_cpus <= 0 && asked.memory_bytes <= 0 && asked.generic.is_empty() {
            return None;
        }
        let nothing = Resources::default();
        let has = node.description.as_ref().map_or(&nothing, |d| &d.resources);
        let lack = |resource, wanted, free| Lack {
            resource,
            wanted,
            free,
        };
        let cpus_free = has.nano_cpus - self.nano_cpus;
        if asked.nano_cpus > 0 && asked.nano_cpus > cpus_free {
            return Some(lack("cpu", asked.nano_cpus, cpus_free));
        }
        let memory_free = has.memory_bytes - self.memory_bytes;
        if asked.memory_bytes > 0 && asked.memory_bytes > memory_free {
            return Some(lack("memory", asked.memory_bytes, memory_free));
        }
        asked.generic.iter().find_map(|(kind, wanted)| {
            let free = self.generic_free(kind, &has.generic);
            (free < *wanted).then(|| lack(kind, *wanted, free))
        })
    }

    /// The units a task gets: names where the node names them, in the node's order; counts else.
    /// Nothing where [`Account::lacks`] finds a lack.
    pub(crate) fn claim(&self, asked: &Requirements, node: &Node) -> Vec<GenericResource> {
        if asked.generic.is_empty() {
            return Vec::new();
        }
        let Some(described) = &node.description else {
            return Vec::new();
        };
        let has = &described.resources.generic;
        let mut claimed = Vec::new();
        for (kind, wanted) in &asked.generic {
            if has.iter().any(|r| is_named(r, kind)) {
                let count = usize::try_from(*wanted).unwrap_or(usize::MAX);
                claimed.extend(self.free_units(kind, has).take(count).cloned());
            } else {
                claimed.push(GenericResource::Discrete {
                    kind: kind.clone(),
                    value: *wanted,
                });
            }
        }
        claimed
    }

    fn generic_free(&self, kind: &str, has: &[GenericResource]) -> i64 {
        if has.iter().any(|r| is_named(r, kind)) {
            return i64::try_from(self.free_units(kind, has).count()).unwrap_or(i64::MAX);
        }
        let total: i64 = has
            .iter()
            .map(|r| match r {
                GenericResource::Discrete { kind: k, value } if k == kind => *value,
                _ => 0,
            })
            .sum();
        total - self.discrete.get(kind).copied().unwrap_or(0)
    }

    fn free_units<'a>(
        &'a self,
        kind: &'a str,
        has: &'a [GenericResource],
    ) -> impl Iterator<Item = &'a GenericResource> {
        has.iter().filter(move |r| match r {
            GenericResource::Named { kind: k, value } if k == kind => {
                !self.named.contains_key(&(k.clone(), value.clone()))
            }
            _ => false,
        })
    }
}

/// A resource that does not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lack<'a> {
    /// `cpu`, `memory` or the kind of a generic resource.
    pub(crate) resource: &'a str,
    /// How much is asked.
    pub(crate) wanted: i64,
    /// How much is free; negative where the node is overcommitted.
    pub(crate) free: i64,
}

fn is_named(resource: &GenericResource, of_kind: &str) -> bool {
    matches!(resource, GenericResource::Named { kind, .. } if kind == of_kind)
}

fn decrement<K: Ord + Clone>(counts: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
