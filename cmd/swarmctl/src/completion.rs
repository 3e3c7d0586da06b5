//! Completion scripts and manual pages, generated from the definition of the command line.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::{CliError, Result};
use crate::out;

/// Prints the completion script of a shell.
///
/// # Errors
/// If the output is closed.
pub fn print(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "swarmctl", &mut script);
    out::print(&String::from_utf8_lossy(&script))
}

/// Writes one manual page for each command.
///
/// # Errors
/// If the directory cannot be written.
pub fn manual(dir: &Path) -> Result<()> {
    let written = clap_mangen::generate_to(Cli::command(), dir);
    written.map_err(|e| {
        CliError::Failed(format!(
            "cannot write manual pages to {}: {e}",
            dir.display()
        ))
    })
}
