//! Asks the linker to pack relative relocations: a position-independent program of this size has
//! more than a megabyte of them, all read at every start and resident from then on. The loader
//! must know the packed form, which glibc's does from 2.36 on; elsewhere nothing is asked.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let env = |key: &str| std::env::var(key).unwrap_or_default();
    let native = env("HOST") == env("TARGET");
    if native && env("PROFILE") == "release" && glibc().is_some_and(|v| v >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc, if it has one.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
