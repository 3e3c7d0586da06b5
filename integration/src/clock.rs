//! Clocks that are wrong, or become wrong.
//!
//! A process sees another time through `libfaketime`; time that passes is not touched, as when
//! somebody sets a machine's clock.

use std::fs;
use std::path::PathBuf;

use crate::Cluster;

/// Where Debian's package `faketime` puts the library, below the directory of the architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// What turns the clocks of nodes.
#[derive(Debug, Clone)]
pub struct Faketime(PathBuf);

impl Faketime {
    /// The library, if this machine has it.
    pub fn find() -> Option<Self> {
        let dirs = fs::read_dir("/usr/lib").ok()?;
        let mut found = dirs.flatten().map(|dir| dir.path().join(LIBRARY));
        found.find(|path| path.is_file()).map(Self)
    }

    /// Gives a node's next process a clock that is off by so much, now and until it is
    /// [turned](Cluster::turn_clock).
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn set(&self, cluster: &mut Cluster, node: usize, by: &str) -> anyhow::Result<()> {
        let own = |key: &str, value: String| (key.to_owned(), value);
        let file = cluster.clock_file(node).display().to_string();
        cluster.node_mut(node).environment = vec![
            own("LD_PRELOAD", self.0.display().to_string()),
            own("FAKETIME_TIMESTAMP_FILE", file),
            own("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            own("FAKETIME_CACHE_DURATION", "1".into()),
        ];
        cluster.turn_clock(node, by)
    }
}

impl Cluster {
    fn clock_file(&self, node: usize) -> PathBuf {
        self.dir().join(format!("clock-{node}"))
    }

    /// Changes by how much a node's clock is off, if it was given one that can be turned.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn turn_clock(&self, node: usize, by: &str) -> anyhow::Result<()> {
        let file = self.clock_file(node);
        let new = file.with_extension("new");
        fs::write(&new, by)?;
        Ok(fs::rename(new, file)?)
    }
}
