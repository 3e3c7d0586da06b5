//! What this machine says of itself.

use std::fs;
use std::thread::available_parallelism;

use executor::ExecError;
use nix::unistd::gethostname;
use types::node::{EngineDescription, NodeDescription, Platform};
use types::{GenericResource, Labels, Resources};

/// Billionths of a core in a core.
const NANOS_PER_CPU: i64 = 1_000_000_000;

pub(crate) fn description(generic: &[GenericResource]) -> Result<NodeDescription, ExecError> {
    let fail = |why: String| ExecError::retry(format!("cannot describe the node: {why}"));
    let hostname = gethostname().map_err(|error| fail(error.to_string()))?;
    let cpus = available_parallelism().map_err(|error| fail(error.to_string()))?;
    let meminfo = fs::read_to_string("/proc/meminfo").map_err(|error| fail(error.to_string()))?;
    let memory_bytes = total_memory_bytes(&meminfo);
    Ok(NodeDescription {
        hostname: hostname.to_string_lossy().into_owned(),
        platform: Platform {
            architecture: std::env::consts::ARCH.to_owned(),
            os: std::env::consts::OS.to_owned(),
        },
        resources: Resources {
            nano_cpus: i64::try_from(cpus.get())
                .unwrap_or(i64::MAX)
                .saturating_mul(NANOS_PER_CPU),
            memory_bytes: memory_bytes.ok_or_else(|| fail("no memory size".to_owned()))?,
            generic: generic.to_vec(),
        },
        engine: EngineDescription {
            version: concat!("process-", env!("CARGO_PKG_VERSION")).to_owned(),
            labels: Labels::new(),
            plugins: Vec::new(),
        },
        ..NodeDescription::default()
    })
}

fn total_memory_bytes(meminfo: &str) -> Option<i64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
