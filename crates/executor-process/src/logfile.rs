//! Output of a task on disk: records in numbered files, the oldest dropped when there are too many.
//!
//! A record is a 16-byte head (data length as u32, output as u8, three zero bytes, nanoseconds
//! since the epoch as u64, all little-endian) and the data. A record cut short by a crash ends its
//! file for readers.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use executor::{LogChunk, Output};
use types::Timestamp;

const HEAD_BYTES: usize = 16;

/// Longest data of a record; longer lines are cut. The same as Docker's.
pub(crate) const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Writes records, starting a new file when one is full.
#[derive(Debug)]
pub(crate) struct LogWriter {
    dir: PathBuf,
    file: File,
    number: u64,
    /// Bytes of whole records in the file.
    file_bytes: u64,
    /// A record may have been written in part: the disk was full.
    is_torn: bool,
    file_bytes_max: u64,
    files_max: u64,
}

impl LogWriter {
    pub(crate) fn create(dir: &Path, file_bytes_max: u64, files_max: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let number = numbers(dir)?.last().map_or(1, |last| last + 1);
        Ok(Self {
            dir: dir.to_owned(),
            file: create(dir, number)?,
            number,
            file_bytes: 0,
            is_torn: false,
            file_bytes_max,
            files_max: files_max.max(1),
        })
    }

    pub(crate) fn write(&mut self, output: Output, at: Timestamp, data: &[u8]) -> io::Result<()> {
        if self.file_bytes >= self.file_bytes_max {
            self.mend()?;
            self.rotate()?;
        }
        let mut record = Vec::with_capacity(HEAD_BYTES + data.len());
        let length = u32::try_from(data.len()).map_err(io::Error::other)?;
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&[u8::from(output == Output::Stderr), 0, 0, 0]);
        record.extend_from_slice(&at.0.to_le_bytes());
        record.extend_from_slice(data);
        self.mend()?;
        self.is_torn = true;
        self.file.write_all(&record)?;
        self.is_torn = false;
        self.file_bytes += record.len() as u64;
        Ok(())
    }

    /// Takes back a record that was written in part: readers would take all that follows for it.
    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.file_bytes)?;
            self.is_torn = false;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.number += 1;
        self.file = create(&self.dir, self.number)?;
        self.file_bytes = 0;
        let keep_from = (self.number + 1).saturating_sub(self.files_max);
        for old in numbers(&self.dir)?
            .into_iter()
            .filter(|number| *number < keep_from)
        {
            fs::remove_file(path(&self.dir, old))?;
        }
        Ok(())
    }
}

/// Reads records, oldest first, and goes on where it stopped when there are more.
#[derive(Debug)]
pub(crate) struct LogReader {
    dir: PathBuf,
    current: Option<(u64, File)>,
}

impl LogReader {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, current: None }
    }

    /// The next record; `None` when there is none yet.
    pub(crate) fn next(&mut self) -> io::Result<Option<LogChunk>> {
        loop {
            if self.current.is_none() {
                let Some(first) = numbers(&self.dir)?.first().copied() else {
                    return Ok(None);
                };
                self.open(first)?;
            }
            let Some((number, file)) = &mut self.current else {
                return Ok(None);
            };
            // Whether a newer file exists is asked first: once it does, this one is complete.
            let number = *number;
            let newer = numbers(&self.dir)?.into_iter().find(|n| *n > number);
            if let Some(chunk) = read_record(file)? {
                return Ok(Some(chunk));
            }
            match newer {
                Some(newer) => self.open(newer)?,
                None => return Ok(None),
            }
        }
    }

    fn open(&mut self, number: u64) -> io::Result<()> {
        match File::open(path(&self.dir, number)) {
            Ok(file) => self.current = Some((number, file)),
            // Dropped between the listing and now: begin with what is the oldest then.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.current = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The record at the file's position, which stays where it is if the record is not whole.
fn read_record(file: &mut File) -> io::Result<Option<LogChunk>> {
    let start = file.stream_position()?;
    match read_whole(file) {
        Ok(chunk) => Ok(Some(chunk)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            file.seek(SeekFrom::Start(start))?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn read_whole(file: &mut File) -> io::Result<LogChunk> {
    let mut head = [0u8; HEAD_BYTES];
    file.read_exact(&mut head)?;
    let [a, b, c, d, output, _, _, _, stamp @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > RECORD_BYTES_MAX || output > 1 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the log file is damaged",
        ));
    }
    let mut data = vec![0; length];
    file.read_exact(&mut data)?;
    Ok(LogChunk {
        timestamp: Timestamp(u64::from_le_bytes(stamp)),
        output: if output == 1 {
            Output::Stderr
        } else {
            Output::Stdout
        },
        data: Bytes::from(data),
    })
}

fn create(dir: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(path(dir, number))
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.log"))
}

/// Numbers of the files there are, in order.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut LogReader) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(chunk) = reader.next().unwrap() {
            texts.push(String::from_utf8(chunk.data.to_vec()).unwrap());
        }
        texts
    }

    #[test]
    fn records_read_back_in_order_and_a_reader_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::create(dir.path(), 64, 100).unwrap();
        let mut reader = LogReader::new(dir.path().to_owned());
        assert!(all(&mut reader).is_empty());
        for i in 0..20 {
            let output = if i % 2 == 0 {
                Output::Stdout
            } else {
                Output::Stderr
            };
            writer
                .write(output, Timestamp(i), format!("line {i}\n").as_bytes())
                .unwrap();
            assert_eq!(all(&mut reader), [format!("line {i}\n")]);
        }
        assert!(numbers(dir.path()).unwrap().len() > 2, "files were rotated");
        let mut again = LogReader::new(dir.path().to_owned());
        assert_eq!(again.next().unwrap().unwrap().output, Output::Stdout);
        let second = again.next().unwrap().unwrap();
        assert_eq!(
            (second.output, second.timestamp),
            (Output::Stderr, Timestamp(1))
        );
        assert_eq!(all(&mut again).len(), 18);
    }

    #[test]
    fn only_so_many_files_are_kept_and_the_newest_output_is_among_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::create(dir.path(), 32, 3).unwrap();
        for i in 0..50 {
            writer
                .write(Output::Stdout, Timestamp(i), format!("{i}").as_bytes())
                .unwrap();
        }
        assert_eq!(numbers(dir.path()).unwrap().len(), 3);
        let texts = all(&mut LogReader::new(dir.path().to_owned()));
        assert_eq!(texts.last().map(String::as_str), Some("49"));
    }

    #[test]
    fn a_record_that_found_no_room_does_not_spoil_those_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::create(dir.path(), 1 << 20, 1).unwrap();
        let write = |writer: &mut LogWriter, text: &str| {
            writer.write(Output::Stdout, Timestamp(1), text.as_bytes())
        };
        write(&mut writer, "before").unwrap();
        // A full disk takes a part of a record and refuses the rest.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut writer.file, full);
        assert!(write(&mut writer, "lost").is_err());
        writer.file = file;
        writer.file.write_all(&[7; 5]).unwrap();
        write(&mut writer, "after").unwrap();
        let texts = all(&mut LogReader::new(dir.path().to_owned()));
        assert_eq!(texts, ["before", "after"]);
    }

    #[test]
    fn a_record_cut_short_is_no_record_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::create(dir.path(), 1 << 20, 1).unwrap();
        writer
            .write(Output::Stdout, Timestamp(1), b"whole")
            .unwrap();
        writer.write(Output::Stdout, Timestamp(2), b"cut").unwrap();
        let file = path(dir.path(), 1);
        let bytes = fs::read(&file).unwrap();
        for cut in 0..bytes.len() {
            fs::write(&file, &bytes[..cut]).unwrap();
            let texts = all(&mut LogReader::new(dir.path().to_owned()));
            let expected = usize::from(cut >= HEAD_BYTES + 5);
            assert_eq!(texts.len(), expected, "cut at {cut}");
        }
    }
}
