//! A manager's log in the files of the real one, broken as disks break them: torn, short and
//! misdirected writes and flipped bits. What a crash left must be read back as it was; damage to
//! what was acknowledged must be reported, or do no harm.
//!
//! Lives as long as one look: between looks the world keeps entries, not bytes. Never draws from
//! the sequence of the world, so that nothing else shifts with what is broken here.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use consensus::{Entry, Persist};
use sim_script::rng::Rng;
use storage::{
    DiskBudget, EngineLog, EngineLogConfig, LoadedLog, LogBatch, LogStore, OpenLogError,
    SnapshotMark,
};
use tempfile::TempDir;

/// The unit that every disk writes whole.
const SECTOR: usize = 512;

/// No log has as many zeros in a row, in bytes; the room behind it has more.
const WINDOW: u64 = 64 << 10;

/// Batches that a log is written in: damage to the last one can look like a torn write.
const BATCHES_MAX: u64 = 6;

/// Bits that flip together.
const FLIPS_MAX: u64 = 3;

/// What the real log made of damage to acknowledged writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It does not open.
    Reported,
    /// It holds all it held.
    Harmless,
}

/// Crashes while the last write is under way: all of it `reached` the disk, or some sectors did,
/// or its beginning. What the log holds afterwards.
///
/// # Errors
/// In words, why the real log could not be written or read.
pub(crate) fn after_crash(
    before: &LoadedLog,
    write: &Persist,
    reached: bool,
    rng: &mut Rng,
) -> Result<LoadedLog, String> {
    let mut files = Files::write(before, 1)?;
    files.append(&LogBatch {
        installed: write.snapshot.as_ref().map(|s| SnapshotMark {
            index: s.index,
            term: s.term,
        }),
        entries: &write.entries,
        hard_state: write.hard_state,
    })?;
    if reached {
        return files.read().map_err(|e| e.to_string());
    }
    let newest = files.newest();
    let bytes = match rng.under(2) {
        0 => files.short(newest, rng),
        _ => files.torn(newest, rng),
    };
    files.put(&bytes)?;
    files.read().map_err(|e| e.to_string())
}

/// Damages what was acknowledged.
///
/// # Errors
/// In words: the real log opened and holds something else, or could not be written.
pub(crate) fn after_damage(held: &LoadedLog, rng: &mut Rng) -> Result<Found, String> {
    let mut files = Files::write(held, 1 + rng.under(BATCHES_MAX))?;
    let (fault, bytes) = files.damaged(rng);
    files.put(&bytes)?;
    found(files, held).map_err(|why| format!("{fault}: {why}"))
}

fn found(files: Files, held: &LoadedLog) -> Result<Found, String> {
    match files.read() {
        Ok(loaded) if loaded == *held => Ok(Found::Harmless),
        Ok(_) => Err("what was acknowledged is gone and nothing says so".to_owned()),
        Err(OpenLogError::Damaged { .. } | OpenLogError::Newer { .. }) => Ok(Found::Reported),
        Err(e) => Err(e.to_string()),
    }
}

/// A log that was written, and the bytes of its file after every batch.
struct Files {
    dir: TempDir,
    log: Option<EngineLog>,
    steps: Vec<Vec<u8>>,
}

// === impl Files ===

impl Files {
    /// Writes a log that holds this, its entries in so many batches or fewer.
    fn write(held: &LoadedLog, batches: u64) -> Result<Self, String> {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.map_err(|e| format!("no scratch directory: {e}"))?;
        let (log, _) = EngineLog::open(config(dir.path())).map_err(|e| e.to_string())?;
        let log = Some(log);
        let steps = Vec::new();
        let mut files = Self { dir, log, steps };
        files.note()?;
        files.begin(held)?;
        let batches = usize::try_from(batches).unwrap_or(1);
        let size = held.entries.len().div_ceil(batches).max(1);
        for entries in held.entries.chunks(size) {
            files.append(&LogBatch {
                entries,
                ..LogBatch::default()
            })?;
        }
        files.truncate(held)?;
        files.append(&LogBatch {
            hard_state: Some(held.hard_state),
            ..LogBatch::default()
        })?;
        Ok(files)
    }

    /// A log that does not begin at the first entry follows a snapshot.
    fn begin(&mut self, held: &LoadedLog) -> Result<(), String> {
        let first = held.entries.first();
        let mark = match first {
            Some(entry) if entry.index <= held.snapshot.index => SnapshotMark {
                index: entry.index - 1,
                term: entry.term,
            },
            _ => held.snapshot,
        };
        match mark.index {
            0 => Ok(()),
            _ => self.append(&LogBatch {
                installed: Some(mark),
                ..LogBatch::default()
            }),
        }
    }

    /// Notes the newest snapshot where the log reaches back behind it.
    fn truncate(&mut self, held: &LoadedLog) -> Result<(), String> {
        let covered = |e: &&Entry| e.index <= held.snapshot.index;
        let Some(first) = held.entries.first().filter(covered) else {
            return Ok(());
        };
        let cut = self.log().truncate_prefix(held.snapshot, first.index);
        cut.map_err(|e| e.to_string())?;
        self.note()
    }

    fn append(&mut self, batch: &LogBatch<'_>) -> Result<(), String> {
        self.log().append(*batch).map_err(|e| e.to_string())?;
        self.note()
    }

    fn log(&mut self) -> &mut EngineLog {
        self.log.as_mut().expect("open until it is read")
    }

    /// Keeps the bytes as they are now, without the room that the engine allocated ahead.
    fn note(&mut self) -> Result<(), String> {
        let bytes = used(&self.file()?).map_err(|e| e.to_string())?;
        self.steps.push(bytes);
        Ok(())
    }

    /// The newest file of the log.
    fn file(&self) -> Result<PathBuf, String> {
        let files = fs::read_dir(self.dir.path()).map_err(|e| e.to_string())?;
        let paths = files.filter_map(|f| f.ok().map(|f| f.path()));
        let newest = paths.filter(|p| p.extension().is_some_and(|e| e == "raftlog"));
        newest.max().ok_or_else(|| "the log has no file".to_owned())
    }

    fn newest(&self) -> usize {
        self.steps.len() - 1
    }

    fn bytes(&self, step: usize) -> &[u8] {
        &self.steps[step]
    }

    /// A sector of the file after `step`; zeros where it does not reach.
    fn sector(&self, step: usize, at: usize) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        let there = self.bytes(step).iter().skip(at * SECTOR);
        sector
            .iter_mut()
            .zip(there)
            .for_each(|(to, from)| *to = *from);
        sector
    }

    /// Sectors that a step wrote.
    fn written(&self, step: usize) -> Vec<usize> {
        let all = 0..self.bytes(step).len().div_ceil(SECTOR);
        all.filter(|at| self.wrote(step, *at)).collect()
    }

    fn wrote(&self, step: usize, at: usize) -> bool {
        self.sector(step, at) != self.sector(step - 1, at)
    }

    /// The same, but for those that a later step wrote again, with what was there.
    fn own(&self, step: usize) -> Vec<usize> {
        let later = |at: &usize| (step + 1..self.steps.len()).any(|s| self.wrote(s, *at));
        let mut own = self.written(step);
        own.retain(|at| !later(at));
        own
    }

    /// Only the beginning of a write reached the disk.
    fn short(&self, step: usize, rng: &mut Rng) -> Vec<u8> {
        let own = self.own(step);
        let kept = pick(rng, own.len());
        self.without(step, &own[kept..])
    }

    /// At least one sector of a write did not reach the disk.
    fn torn(&self, step: usize, rng: &mut Rng) -> Vec<u8> {
        let own = self.own(step);
        let lost = pick(rng, own.len());
        let mut gone = |n: usize| n == lost || rng.chance(5_000);
        let gone: Vec<usize> = (0..own.len())
            .filter(|n| gone(*n))
            .map(|n| own[n])
            .collect();
        self.without(step, &gone)
    }

    /// The newest bytes as if a step had not written these sectors.
    fn without(&self, step: usize, sectors: &[usize]) -> Vec<u8> {
        let mut bytes = self.bytes(self.newest()).to_vec();
        for at in sectors {
            put(&mut bytes, *at, &self.sector(step - 1, *at));
        }
        bytes
    }

    /// Breaks what was acknowledged, and says how.
    fn damaged(&self, rng: &mut Rng) -> (&'static str, Vec<u8>) {
        // The very last batch is not among them: nothing says that it was acknowledged.
        let steps = (1..self.newest()).filter(|s| !self.own(*s).is_empty());
        let steps: Vec<usize> = steps.collect();
        match rng.under(3) {
            1 if !steps.is_empty() => ("short write", self.short(rng.one_of(&steps), rng)),
            2 if !steps.is_empty() => {
                let bytes = self.misdirected(rng.one_of(&steps), rng);
                ("write that went elsewhere", bytes)
            }
            _ => ("flipped bits", self.flipped(rng)),
        }
    }

    fn misdirected(&self, step: usize, rng: &mut Rng) -> Vec<u8> {
        let at = rng.one_of(&self.own(step));
        let mut bytes = self.without(step, &[at]);
        let elsewhere = pick(rng, bytes.len() / SECTOR + 2);
        if !(step + 1..self.steps.len()).any(|s| self.wrote(s, elsewhere)) {
            put(&mut bytes, elsewhere, &self.sector(step, at));
        }
        bytes
    }

    fn flipped(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.bytes(self.newest()).to_vec();
        for _ in 0..=rng.under(FLIPS_MAX) {
            let at = pick(rng, bytes.len());
            bytes[at] ^= 1 << rng.under(8);
        }
        bytes
    }

    /// Closes the log and gives its file other bytes.
    fn put(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.log = None;
        fs::write(self.file()?, bytes).map_err(|e| e.to_string())
    }

    /// What the real log reads when it is opened anew.
    fn read(mut self) -> Result<LoadedLog, OpenLogError> {
        self.log = None;
        EngineLog::open(config(self.dir.path())).map(|(_, loaded)| loaded)
    }
}

/// What was written of a file, in whole sectors: all before the first window of zeros.
fn used(path: &Path) -> io::Result<Vec<u8>> {
    let blank = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
    let (mut file, mut bytes, mut from) = (fs::File::open(path)?, Vec::new(), 0);
    loop {
        (&mut file).take(WINDOW).read_to_end(&mut bytes)?;
        if blank(&bytes[from..]) {
            break;
        }
        from = bytes.len();
    }
    let last = bytes.chunks(SECTOR).rposition(|sector| !blank(sector));
    bytes.truncate(last.map_or(0, |n| (n + 1) * SECTOR));
    Ok(bytes)
}

fn config(dir: &Path) -> EngineLogConfig {
    let budget = DiskBudget {
        reserve_bytes: 0,
        floor_bytes: 0,
    };
    EngineLogConfig {
        budget,
        ..EngineLogConfig::new(dir)
    }
}

fn pick(rng: &mut Rng, of: usize) -> usize {
    usize::try_from(rng.under(of as u64)).unwrap_or(0)
}

fn put(bytes: &mut Vec<u8>, at: usize, sector: &[u8]) {
    let from = at * SECTOR;
    bytes.resize(bytes.len().max(from + SECTOR), 0);
    bytes[from..from + SECTOR].copy_from_slice(sector);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus::{EntryKind, HardState, RaftId};

    use super::*;

    fn entries(first: u64, count: u64, rng: &mut Rng) -> Vec<Entry> {
        let entry = |index| Entry {
            term: 2 + index / 8,
            index,
            kind: EntryKind::Normal,
            data: Bytes::from(vec![index as u8 | 1; rng.under(1_500) as usize]),
        };
        (first..first + count).map(entry).collect()
    }

    fn hard_state(commit: u64) -> HardState {
        HardState {
            term: 9,
            vote: RaftId::new(3),
            commit,
        }
    }

    /// A log without a snapshot, behind one, or one that reaches back behind it.
    fn log(rng: &mut Rng) -> LoadedLog {
        let (first, covered) = rng.one_of(&[(1, 0), (21, 20), (11, 20)]);
        let entries = entries(first, rng.between(10, 30), rng);
        LoadedLog {
            hard_state: hard_state(first + 9),
            snapshot: SnapshotMark {
                index: covered,
                term: u64::from(covered > 0),
            },
            entries,
        }
    }

    /// A write that replaces the end of the log.
    fn write(log: &LoadedLog, rng: &mut Rng) -> Persist {
        let last = log.entries.last().map_or(0, |e| e.index);
        let first = last + 1 - rng.under(last - log.hard_state.commit + 1);
        Persist {
            entries: entries(first, rng.between(1, 5), rng),
            hard_state: Some(hard_state(log.hard_state.commit)),
            ..Persist::default()
        }
    }

    #[test]
    fn a_crash_leaves_all_of_a_write_or_nothing() {
        for seed in 0..30 {
            let mut rng = Rng::new(seed);
            let before = log(&mut rng);
            let write = write(&before, &mut rng);
            let read = after_crash(&before, &write, false, &mut rng).unwrap();
            assert_eq!(read, before, "seed {seed}");
            let read = after_crash(&before, &write, true, &mut rng).unwrap();
            let kept = before.entries.iter();
            let kept = kept.filter(|e| e.index < write.entries[0].index);
            let all: Vec<_> = kept.chain(&write.entries).cloned().collect();
            assert_eq!(read.entries, all, "seed {seed}");
        }
    }

    #[test]
    fn damage_is_reported_unless_it_does_no_harm() {
        let look = |seed| {
            let mut rng = Rng::new(seed);
            after_damage(&log(&mut rng), &mut rng).unwrap()
        };
        let reported = (0..30).filter(|s| look(*s) == Found::Reported).count();
        assert!(reported > 20, "{reported} of 30");
    }

    #[test]
    fn a_loss_that_nothing_reports_is_seen() {
        let held = log(&mut Rng::new(1));
        let mut files = Files::write(&held, 3).unwrap();
        let earlier = files.bytes(files.newest() - 1).to_vec();
        files.put(&earlier).unwrap();
        found(files, &held).unwrap_err();
    }
}
