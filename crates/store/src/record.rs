//! What all tables need to know of an object.

use std::fmt::Display;

use types::{
    Annotations, Cluster, ClusterId, Config, ConfigId, Extension, ExtensionId, Meta, Network,
    NetworkId, Node, NodeId, Resource, ResourceId, Secret, SecretId, Service, ServiceId, Task,
    TaskId, Volume, VolumeId,
};

use crate::error::Kind;

/// An object that a table holds.
pub trait Record: Clone + PartialEq {
    /// Its id.
    type Id: Copy + Ord + Display;

    /// Its kind.
    const KIND: Kind;

    /// Whether its name is unique, regardless of case.
    const UNIQUE_NAME: bool;

    /// The id.
    fn id(&self) -> Self::Id;

    /// The record facts.
    fn meta(&self) -> &Meta;

    /// The record facts, for the store to set.
    fn meta_mut(&mut self) -> &mut Meta;

    /// The name it is found by; empty when it has none.
    fn name(&self) -> &str;

    /// Name, labels and search keys; `None` when it has none.
    fn annotations(&self) -> Option<&Annotations>;

    /// The id as a number.
    fn id_number(&self) -> u128;

    /// What of the object changes by the thousand, as a number.
    fn state_number(&self) -> u128 {
        0
    }

    /// Smallest and largest id whose text begins with a prefix, as numbers.
    fn id_from_u128(value: u128) -> Option<Self::Id>;
}

macro_rules! record {
    ($type:ident, $id:ident, $kind:ident, $unique:literal, $($path:ident).+) => {
        impl Record for $type {
            type Id = $id;
            const KIND: Kind = Kind::$kind;
            const UNIQUE_NAME: bool = $unique;

            fn id(&self) -> $id {
                self.id
            }

            fn meta(&self) -> &Meta {
                &self.meta
            }

            fn meta_mut(&mut self) -> &mut Meta {
                &mut self.meta
            }

            fn name(&self) -> &str {
                &self.$($path).+.name
            }

            fn annotations(&self) -> Option<&Annotations> {
                Some(&self.$($path).+)
            }

            fn id_number(&self) -> u128 {
                self.id.get()
            }

            fn id_from_u128(value: u128) -> Option<$id> {
                $id::from_u128(value)
            }
        }
    };
}

record!(Cluster, ClusterId, Cluster, true, spec.annotations);
record!(Service, ServiceId, Service, true, spec.annotations);
record!(Network, NetworkId, Network, true, spec.annotations);
record!(Secret, SecretId, Secret, true, spec.annotations);
record!(Config, ConfigId, Config, true, spec.annotations);
record!(Volume, VolumeId, Volume, true, spec.annotations);
record!(Extension, ExtensionId, Extension, true, annotations);
record!(Resource, ResourceId, Resource, true, annotations);

impl Record for Node {
    type Id = NodeId;
    const KIND: Kind = Kind::Node;
    const UNIQUE_NAME: bool = false;

    fn id(&self) -> NodeId {
        self.id
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    /// The host name it reported, as in SwarmKit.
    fn name(&self) -> &str {
        self.hostname()
    }

    fn annotations(&self) -> Option<&Annotations> {
        Some(&self.spec.annotations)
    }

    fn id_number(&self) -> u128 {
        self.id.get()
    }

    fn id_from_u128(value: u128) -> Option<NodeId> {
        NodeId::from_u128(value)
    }
}

impl Record for Task {
    type Id = TaskId;
    const KIND: Kind = Kind::Task;
    const UNIQUE_NAME: bool = false;

    fn id(&self) -> TaskId {
        self.id
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    /// Its own name only: the usual name is made of its service's and is not indexed.
    fn name(&self) -> &str {
        self.annotations.as_ref().map_or("", |a| &a.name)
    }

    fn annotations(&self) -> Option<&Annotations> {
        self.annotations.as_deref()
    }

    fn id_number(&self) -> u128 {
        self.id.get()
    }

    /// Where it is, how far it is and how far it is to come.
    fn state_number(&self) -> u128 {
        let states = (self.status.state as u128) << 8 | self.desired_state as u128;
        self.node_id.map_or(0, NodeId::get).rotate_left(16) ^ states
    }

    fn id_from_u128(value: u128) -> Option<TaskId> {
        TaskId::from_u128(value)
    }
}
