//! The rings: an inner crate never depends on an outer one, and the core depends on no runtime.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates by ring. A crate may depend on its own ring and on inner ones.
const RINGS: [&[&str]; 4] = [
    &[
        "types",
        "store",
        "orchestrator",
        "scheduler",
        "allocator",
        "calendar",
        "dispatcher",
        "consensus",
        "pki",
        "policy",
        "worker",
        "validate",
        "invariants",
        "linearizability",
    ],
    &["wire", "storage", "control"],
    &[
        "replica",
        "transport",
        "manager",
        "agent",
        "executor",
        "executor-docker",
        "executor-process",
        "executor-sim",
        "node",
    ],
    &[
        "integration",
        "torture",
        "shell-sim",
        "scenarios",
        "sim",
        "sim-bugs",
        "sim-script",
        "docker-cli",
        "xtask",
        "swarmd",
        "swarmctl",
        "swarm-bench",
        "swarm-sim",
    ],
];

/// What the core must not depend on outside of its tests.
const BANNED_IN_CORE: [&str; 4] = ["tokio", "tonic", "prost", "futures-util"];

/// Findings about the dependencies of the workspace's crates.
pub fn check(root: &Path) -> Vec<String> {
    match metadata(root) {
        Ok(packages) => packages.iter().flat_map(check_package).collect(),
        Err(why) => vec![format!("cargo metadata: {why}")],
    }
}

fn metadata(root: &Path) -> Result<Vec<Value>, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|e| e.to_string())?;
    let json: Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    json["packages"]
        .as_array()
        .cloned()
        .ok_or_else(|| "no packages".to_owned())
}

fn rings() -> BTreeMap<&'static str, usize> {
    let of_ring = |(ring, names): (usize, &&'static [&'static str])| {
        names
            .iter()
            .map(move |name| (*name, ring))
            .collect::<Vec<_>>()
    };
    RINGS.iter().enumerate().flat_map(of_ring).collect()
}

fn check_package(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let rings = rings();
    let Some(ring) = rings.get(name).copied() else {
        return vec![format!(
            "{name}: belongs to no ring; add it to xtask/src/rings.rs"
        )];
    };
    let dependencies = package["dependencies"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shipped = dependencies
        .iter()
        .filter(|d| d["kind"].as_str() != Some("dev"));
    let names = shipped.filter_map(|d| d["name"].as_str());
    names
        .filter_map(|dependency| finding(name, ring, dependency, &rings))
        .collect()
}

fn finding(
    name: &str,
    ring: usize,
    dependency: &str,
    rings: &BTreeMap<&str, usize>,
) -> Option<String> {
    if rings.get(dependency).is_some_and(|other| *other > ring) {
        return Some(format!(
            "{name}: ring {ring} depends on {dependency} of an outer ring"
        ));
    }
    let banned = ring == 0 && BANNED_IN_CORE.contains(&dependency);
    banned.then(|| format!("{name}: core crates do not depend on {dependency}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_ring_may_not_depend_on_an_outer_one() {
        let rings = rings();
        assert!(finding("store", 0, "wire", &rings).is_some());
        assert!(finding("store", 0, "tokio", &rings).is_some());
        assert!(finding("manager", 2, "store", &rings).is_none());
        assert!(finding("store", 0, "types", &rings).is_none());
    }
}
