//! How results are written to standard output.

pub mod inspect;

use std::io::Write;

pub use docker_cli::out::{human, listing, pretty, table, template};

use crate::error::Result;

/// Writes a text to standard output with one line feed at its end.
///
/// # Errors
/// If the output is closed.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Tells the user something beside the result. Whoever closed standard error does not want to know.
pub fn note(text: &str) {
    let _closed = writeln!(std::io::stderr(), "{text}");
}
