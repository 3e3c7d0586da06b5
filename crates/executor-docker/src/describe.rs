//! What the engine says of its node.

use bollard::models::{PluginsInfo, SystemInfo};
use types::node::{EngineDescription, NodeDescription, Platform, PluginDescription};
use types::{GenericResource, Labels, Resources};

/// Billionths of a core in a core.
const NANOS_PER_CPU: i64 = 1_000_000_000;

pub(crate) fn description(info: SystemInfo, generic: &[GenericResource]) -> NodeDescription {
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
            labels: labels(info.labels.unwrap_or_default()),
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
            labels: Some(vec!["rack=r1".into(), "ssd".into()]),
            plugins: Some(PluginsInfo {
                volume: Some(vec!["local".into()]),
                log: Some(vec!["json-file".into()]),
                ..PluginsInfo::default()
            }),
            ..SystemInfo::default()
        };
        let described = description(info, &[]);
        assert_eq!(described.hostname, "n1");
        assert_eq!(described.resources.nano_cpus, 2_000_000_000);
        assert_eq!(described.engine.labels["rack"], "r1");
        assert_eq!(described.engine.labels["ssd"], "");
        let names: Vec<_> = described
            .engine
            .plugins
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        assert_eq!(names, ["json-file", "local"]);
    }
}
