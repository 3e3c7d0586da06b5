//! Small files that appear whole or not at all, directory syncs and free space.
//!
//! Never holds state: every function acts on the path it is given.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// First bytes of a small file: a format byte, then CRC-32C of the content.
const SMALL_FILE_HEADER_BYTES: usize = 5;
const SMALL_FILE_VERSION: u8 = 1;

/// Why a small file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SmallFileError {
    /// The file system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The content does not match its checksum or its format byte is unknown.
    #[error(
        "{} is damaged or from a newer release: restore it from a backup or remove it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Makes the names inside `dir` durable (a rename is only durable after this).
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replaces `path` with `content` so that after a crash either the old or the new content is there.
///
/// The content is checksummed; [`read_small_file`] checks it. Mode 0600.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut framed = Vec::with_capacity(SMALL_FILE_HEADER_BYTES + content.len());
    framed.push(SMALL_FILE_VERSION);
    framed.extend_from_slice(&crc32c::crc32c(content).to_be_bytes());
    framed.extend_from_slice(content);
    replace_file(path, &framed)
}

/// Reads a file written by [`write_atomic`]; `None` when there is none.
pub fn read_small_file(path: &Path) -> Result<Option<Vec<u8>>, SmallFileError> {
    let framed = match fs::read(path) {
        Ok(framed) => framed,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(SmallFileError::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    let damaged = || SmallFileError::Damaged {
        path: path.to_owned(),
    };
    if framed.len() < SMALL_FILE_HEADER_BYTES || framed[0] != SMALL_FILE_VERSION {
        return Err(damaged());
    }
    let (header, content) = framed.split_at(SMALL_FILE_HEADER_BYTES);
    if header[1..] != crc32c::crc32c(content).to_be_bytes() {
        return Err(damaged());
    }
    Ok(Some(content.to_vec()))
}

/// Writes raw bytes under a temporary name, syncs, renames, syncs the directory.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = parent(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.new"));
    let mut file = private_file(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    sync_dir(dir)
}

/// Opens an empty file that only its owner can read.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Bytes an ordinary process may still write on the file system of `path`.
pub fn available_bytes(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path).map_err(io::Error::from)?;
    Ok((stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64))
}

/// The first of `name`, `name.1`, `name.2`, … that does not exist yet.
///
/// The suffix is a number and not a time, so that what is set aside is named the same way in every
/// run.
pub(crate) fn unused_name(path: &Path, label: &str) -> PathBuf {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    (1u32..)
        .map(|n| path.with_file_name(format!("{name}.{label}-{n}")))
        .find(|candidate| !candidate.exists())
        .unwrap_or_else(|| path.with_file_name(format!("{name}.{label}")))
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Reads until `buffer` is full or the source ends; returns the bytes read.
pub(crate) fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_file_round_trips_and_every_flipped_bit_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert!(read_small_file(&path).unwrap().is_none());
        write_atomic(&path, b"{\"a\":1}").unwrap();
        assert_eq!(read_small_file(&path).unwrap().unwrap(), b"{\"a\":1}");
        let good = fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bad).unwrap();
            assert!(matches!(
                read_small_file(&path),
                Err(SmallFileError::Damaged { .. })
            ));
        }
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(read_small_file(&path).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_leftover_temporary_file_does_not_disturb_a_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        fs::write(dir.path().join(".state.json.new"), b"half").unwrap();
        write_atomic(&path, b"whole").unwrap();
        assert_eq!(read_small_file(&path).unwrap().unwrap(), b"whole");
    }

    #[test]
    fn set_aside_names_never_collide() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tasks");
        let first = unused_name(&path, "damaged");
        fs::create_dir(&first).unwrap();
        assert_ne!(unused_name(&path, "damaged"), first);
    }
}
