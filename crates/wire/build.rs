//! Generates the messages and services from every `.proto` below the workspace's `proto/`.
//!
//! The compiler is a library, so that no tool has to be installed for a build.

use std::error::Error;
use std::path::{Path, PathBuf};

/// Fields that carry payloads: they are shared with the buffer they arrived in, not copied.
const PAYLOAD_FIELDS: &[&str] = &[
    ".docker.swarmkit.v1.SecretSpec.data",
    ".docker.swarmkit.v1.ConfigSpec.data",
    ".docker.swarmkit.v1.LogMessage.data",
    ".swarm.v1",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let descriptors = protox::compile(&files, [&root])?;
    let builder = tonic_prost_build::configure().btree_map(".");
    let builder = PAYLOAD_FIELDS
        .iter()
        .fold(builder, |builder, path| builder.bytes(path));
    builder.compile_fds(descriptors)?;
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    println!("cargo::rerun-if-changed={}", dir.display());
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
    Ok(())
}
