//! What the engine says of its node.

use bollard::models::{PluginsInfo, SystemInfo};
use types::node::{EngineDescription, IMAGES_LABEL, NodeDescription, Platform, PluginDescription};
use types::{GenericResource, Labels, Resources};

/// Billionths of a core in a core.
const NANOS_PER_CPU: i64 = 1_000_000_000;

/// What the engine says of itself and its machine, with the images it holds.
pub(crate) fn description(
    info: SystemInfo,
    images: String,
    generic: &[GenericResource],
) -> NodeDescription {
    let mut labels = labels(info.labels.unwrap_or_default());
    let facts = [
        ("storagedriver", info.driver.unwrap_or_default()),
        ("kernelversion", info.kernel_version.unwrap_or_default()),
        ("operatingsystem", info.operating_system.unwrap_or_default()),
    ];
    for (key, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        // A label that somebody gave the engine stands.
        labels.entry(key.to_owned()).or_insert(value);
    }
    if !images.is_empty() {
        labels.insert(IMAGES_LABEL.to_owned(), images);
    }
    NodeDescription {
        hostname: info.name.unwrap_or_default(),
        platform: Platform {
            architecture: info.architecture.unwrap_or_default(),
            os: info.os_type.unwrap_or_default(),
        },
        resources: Resources {
            nano_cpus: info.ncpu.unwrap_or_default().saturating_mul(NANOS_PER_CPU),
            memory_bytes: info.mem_total.unwrap_or_default(),
            generic: generic.to_vec(),
        },
        engine: EngineDescription {
            version: info.server_version.unwrap_or_default(),
            labels,
            plugins: plugins(info.plugins.unwrap_or_default()),
        },
        ..NodeDescription::default()
    }
}

/// The engine's labels are `key=value`; one without a value has an empty one.
fn labels(list: Vec<String>) -> Labels {
    let pair = |text: String| match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (text, String::new()),
    };
    list.into_iter().map(pair).collect()
}

fn plugins(info: PluginsInfo) -> Vec<PluginDescription> {
    let kinds = [
        ("Volume", info.volume),
        ("Network", info.network),
        ("Authorization", info.authorization),
        ("Log", info.log),
    ];
    let mut plugins: Vec<_> = kinds
        .into_iter()
        .flat_map(|(kind, names)| {
            let plugin = move |name| PluginDescription {
                kind: kind.to_owned(),
                name,
            };
            names.unwrap_or_default().into_iter().map(plugin)
        })
        .collect();
    plugins.sort();
    plugins.dedup();
    plugins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_facts_become_a_description() {
        let info = SystemInfo {
            name: Some("n1".into()),
            ncpu: Some(2),
            mem_total: Some(1 << 30),
            labels: Some(vec![
                "rack=r1".into(),
                "ssd".into(),
                "storagedriver=mine".into(),
            ]),
            driver: Some("overlay2".into()),
            kernel_version: Some("6.1.0".into()),
            plugins: Some(PluginsInfo {
                volume: Some(vec!["local".into()]),
                log: Some(vec!["json-file".into()]),
                ..PluginsInfo::default()
            }),
            ..SystemInfo::default()
        };
        let described = description(info, "redis:7".into(), &[]);
        assert_eq!(described.hostname, "n1");
        assert_eq!(described.resources.nano_cpus, 2_000_000_000);
        assert_eq!(described.engine.labels["rack"], "r1");
        assert_eq!(described.engine.labels["ssd"], "");
        assert_eq!(described.engine.labels["kernelversion"], "6.1.0");
        assert_eq!(described.engine.labels["storagedriver"], "mine");
        assert_eq!(described.engine.labels[IMAGES_LABEL], "redis:7");
        let names: Vec<_> = described
            .engine
            .plugins
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        assert_eq!(names, ["json-file", "local"]);
    }
}
