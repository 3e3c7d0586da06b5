//! Every script goes as it was recorded. `UPDATE_EXPECT=1` records it anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail")]

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "swarm"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_script_goes_as_recorded() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let only = std::env::var("SCRIPT").unwrap_or_default();
    let mut failed = String::new();
    let scripts = scripts();
    assert!(scripts.len() >= 15, "scripts are found");
    for path in scripts {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if update {
            std::fs::write(&path, scenarios::rewrite(&text)).unwrap();
            continue;
        }
        for found in scenarios::run(&text) {
            failed.push_str(&format!(
                "{name}:{}: > {}\nrecorded:\n{}printed:\n{}\n",
                found.line, found.command, found.recorded, found.printed
            ));
        }
    }
    assert!(
        failed.is_empty(),
        "{failed}(UPDATE_EXPECT=1 records them anew)"
    );
}
