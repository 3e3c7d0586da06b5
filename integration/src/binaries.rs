//! Where `swarmd` and `swarmctl` are, and that they are up to date.
//!
//! Cargo gives a test the path of a program only if both are in one crate, so the tests build the
//! programs themselves: once per test executable, with the profile and the target directory of
//! the test, which takes a moment when nothing changed. `SWARM_BIN_DIR` names a directory with
//! finished programs instead.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, anyhow, ensure};

/// Environment variable that names a directory with finished programs.
const BIN_DIR: &str = "SWARM_BIN_DIR";

/// The programs under test.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Those of this workspace, built now. For tests.
    ///
    /// # Errors
    /// If they do not build, with the compiler's words.
    pub fn built() -> anyhow::Result<Self> {
        static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let build = || match std::env::var_os(BIN_DIR) {
            Some(dir) => Ok(PathBuf::from(dir)),
            None => build().map_err(|error| format!("{error:#}")),
        };
        let dir = BUILT.get_or_init(build).clone().map_err(|e| anyhow!(e))?;
        Self::in_dir(dir)
    }

    /// Those in the directory of the running program. For benchmarks, which never build.
    ///
    /// # Errors
    /// If they are not there, saying how to build them.
    pub fn beside_this_program() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program's own file")?;
        let dir = program.parent().context("find this program's directory")?;
        Self::in_dir(std::env::var_os(BIN_DIR).map_or_else(|| dir.to_owned(), PathBuf::from))
    }

    fn in_dir(dir: PathBuf) -> anyhow::Result<Self> {
        for name in ["swarmd", "swarmctl"] {
            ensure!(
                dir.join(name).is_file(),
                "{name} is not in {}: build it with `cargo build --release -p swarmd -p swarmctl` \
                 or name its directory in {BIN_DIR}",
                dir.display()
            );
        }
        Ok(Self { dir })
    }

    /// The daemon.
    pub fn swarmd(&self) -> PathBuf {
        self.dir.join("swarmd")
    }

    /// The command line.
    pub fn swarmctl(&self) -> PathBuf {
        self.dir.join("swarmctl")
    }
}

/// Builds with the profile that built the running test; `target/PROFILE/deps/TEST` tells it.
fn build() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("find the test's own file")?;
    let profile_dir = test
        .ancestors()
        .nth(2)
        .context("find the profile's directory")?;
    let target_dir = profile_dir.parent().context("find the target directory")?;
    ensure!(
        target_dir.join("CACHEDIR.TAG").is_file(),
        "{} is not in a target directory of cargo: name the programs' directory in {BIN_DIR}",
        test.display()
    );
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "-p",
            "swarmd",
            "-p",
            "swarmctl",
            "--profile",
            profile,
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(workspace.context("find the workspace")?)
        .output()
        .context("run cargo")?;
    let said = String::from_utf8_lossy(&built.stderr);
    ensure!(
        built.status.success(),
        "building swarmd and swarmctl failed:\n{said}"
    );
    Ok(profile_dir.to_owned())
}
