//! Objects as JSON with Docker's field names. Pure functions over the messages of the API.

pub mod cluster;
pub mod container;
pub mod node;
pub mod options;
pub mod rows;
pub mod service;
pub mod task;

use serde_json::{Map, Value, json};
use wire::api;

use crate::out::human;

/// An object under construction; fields keep their order.
#[derive(Default)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a field unless it is empty, zero or false.
    #[must_use]
    pub fn unless_empty(self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let empty = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(true) => false,
        };
        if empty { self } else { self.with(name, value) }
    }

    /// Adds a field if there is a value, even an empty one.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The object.
    pub fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// Id, version and times, as every object begins.
pub fn begin(id: &str, meta: Option<&api::Meta>) -> Fields {
    let version = meta.and_then(|m| m.version).map_or(0, |v| v.index);
    let time = |of: fn(&api::Meta) -> Option<&prost_types::Timestamp>| {
        time(meta.and_then(of)).unwrap_or_default()
    };
    Fields::default()
        .with("ID", id)
        .with("Version", json!({"Index": version}))
        .with("CreatedAt", time(|m| m.created_at.as_ref()))
        .with("UpdatedAt", time(|m| m.updated_at.as_ref()))
}

/// Name and labels, as every spec begins.
pub fn annotations(annotations: Option<&api::Annotations>) -> Fields {
    let empty = api::Annotations::default();
    let annotations = annotations.unwrap_or(&empty);
    Fields::default()
        .with("Name", annotations.name.as_str())
        .with("Labels", texts(&annotations.labels))
}

/// A moment in RFC 3339.
pub fn time(value: Option<&prost_types::Timestamp>) -> Option<String> {
    let moment = human::moment(value);
    moment.is_set().then(|| moment.to_string())
}

/// A duration in nanoseconds.
pub fn nanos(value: Option<&prost_types::Duration>) -> Option<Value> {
    let nanos = value.map(|d| u64::try_from(human::span(d).as_nanos()).unwrap_or(u64::MAX));
    nanos.map(Value::from)
}

/// A map of texts.
pub fn texts(map: &std::collections::BTreeMap<String, String>) -> Value {
    map.iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect()
}

/// Items, each as `show` has it.
pub fn each<T>(items: &[T], show: impl Fn(&T) -> Value) -> Value {
    items.iter().map(show).collect()
}

/// A driver.
pub fn driver(driver: &api::Driver) -> Value {
    Fields::default()
        .with("Name", driver.name.as_str())
        .unless_empty("Options", texts(&driver.options))
        .done()
}

/// The name of an enumeration's value as Docker writes it: lower case with dashes.
pub fn dashed(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// A network.
pub fn network(network: &api::Network) -> Value {
    let empty = api::NetworkSpec::default();
    let spec = network.spec.as_ref().unwrap_or(&empty);
    let shown = annotations(spec.annotations.as_ref())
        .maybe(
            "DriverConfiguration",
            spec.driver_config.as_ref().map(driver),
        )
        .unless_empty("IPv6Enabled", spec.ipv6_enabled)
        .unless_empty("Internal", spec.internal)
        .unless_empty("Attachable", spec.attachable)
        .unless_empty("Ingress", spec.ingress)
        .done();
    let subnet =
        |c: &api::IpamConfig| json!({"Subnet": c.subnet, "Range": c.range, "Gateway": c.gateway});
    let subnets = network
        .ipam
        .as_ref()
        .map(|ipam| each(&ipam.configs, subnet));
    begin(&network.id, network.meta.as_ref())
        .with("Spec", shown)
        .maybe("DriverState", network.driver_state.as_ref().map(driver))
        .maybe("IPAMConfigs", subnets)
        .done()
}
