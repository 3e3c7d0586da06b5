//! Completions and man pages, made from the command line itself.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit;

/// Prints completions.
pub fn completion(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    clap_complete::generate(shell, &mut Cli::command(), "swarmd", &mut std::io::stdout());
    Ok(exit::DONE)
}

/// Writes man pages.
pub fn man(dir: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(Cli::command(), dir)
        .with_context(|| format!("cannot write man pages to {}", dir.display()))?;
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(shell: clap_complete::Shell) -> String {
        let mut out = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "swarmd", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_packaged_completions_are_up_to_date() {
        use clap_complete::Shell::{Bash, Fish, Zsh};
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/completions");
        for (shell, name) in [
            (Bash, "swarmd.bash"),
            (Zsh, "_swarmd"),
            (Fish, "swarmd.fish"),
        ] {
            let (path, fresh) = (dir.join(name), generated(shell));
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(&path, &fresh).unwrap();
            }
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                stored == fresh,
                "{name} is stale: UPDATE_EXPECT=1 cargo test -p swarmd"
            );
        }
    }
}
