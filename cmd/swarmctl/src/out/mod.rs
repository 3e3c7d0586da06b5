//! How results are written: tables, JSON lines, templates, times and sizes. Pure functions.

pub mod human;
pub mod inspect;
pub mod listing;
pub mod pretty;
pub mod table;
pub mod template;

use std::io::Write;

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
