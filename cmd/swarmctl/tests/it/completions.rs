//! The completion scripts in the repository are those of this program.

use std::path::Path;

use crate::fake::run_at;

/// Set to write the scripts anew instead of comparing.
const UPDATE: &str = "UPDATE_EXPECT";

#[tokio::test]
async fn completion_scripts_are_up_to_date() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/completions");
    for (shell, file) in [
        ("bash", "swarmctl.bash"),
        ("zsh", "_swarmctl"),
        ("fish", "swarmctl.fish"),
    ] {
        let outcome = run_at(&dir.join("none.sock"), &["completion", shell]).await;
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let path = dir.join(file);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &outcome.stdout).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == outcome.stdout,
            "{} is not up to date; run the test with {UPDATE}=1",
            path.display()
        );
    }
}

#[tokio::test]
async fn manual_pages_are_written_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().to_str().unwrap();
    let outcome = run_at(&dir.path().join("none.sock"), &["man", target]).await;
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    for page in [
        "swarmctl.1",
        "swarmctl-service-create.1",
        "swarmctl-node-promote.1",
    ] {
        assert!(dir.path().join(page).exists(), "{page}");
    }
}
