//! Crash points, damage and full disks of the raft log.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use consensus::{Entry, EntryKind, HardState, RaftId};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

mod faults;

/// Memory-backed where possible: these tests open thousands of logs.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    let data: Vec<u8> = (0..bytes)
        .map(|n| (n as u64 * 31 + index * 7 + term) as u8 | 1)
        .collect();
    Entry {
        term,
        index,
        kind: EntryKind::Normal,
        data: Bytes::from(data),
    }
}

fn hard_state(term: u64, commit: u64) -> HardState {
    HardState {
        term,
        vote: RaftId::new(3),
        commit,
    }
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

fn open(dir: &Path) -> (EngineLog, LoadedLog) {
    EngineLog::open(config(dir)).unwrap()
}

fn batch<'a>(entries: &'a [Entry], hard_state: HardState) -> LogBatch<'a> {
    LogBatch {
        entries,
        hard_state: Some(hard_state),
        ..LogBatch::default()
    }
}

fn only_file(dir: &Path) -> PathBuf {
    let is_log = |p: &PathBuf| p.extension().is_some_and(|e| e == "raftlog");
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(is_log)
        .collect();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// A small log, and after each of its batches the bytes of the file and what must be loaded.
struct SmallLog {
    _dir: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    states: Vec<(usize, LoadedLog)>,
}

fn small_log(batches: u64) -> SmallLog {
    let dir = scratch();
    let path = dir.path().join("log");
    let (mut log, empty) = open(&path);
    let used = |path: &Path| {
        let bytes = fs::read(only_file(path)).unwrap();
        bytes.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1)
    };
    let mut states = vec![(0, empty.clone())];
    let mut expected = empty;
    for n in 0..batches {
        let first = log.last_index() + 1;
        let entries: Vec<_> = (first..first + 1 + n % 2)
            .map(|i| entry(i, n + 1, 9))
            .collect();
        let state = hard_state(n + 1, first - 1);
        log.append(batch(&entries, state)).unwrap();
        expected.entries.extend(entries);
        expected.hard_state = state;
        states.push((used(&path), expected.clone()));
    }
    drop(log);
    let bytes = fs::read(only_file(&path)).unwrap();
    // The last byte of a batch is a checksum and may be zero.
    states.last_mut().unwrap().0 = bytes.len();
    SmallLog {
        _dir: dir,
        path,
        bytes,
        states,
    }
}

fn load_changed(log: &SmallLog, bytes: &[u8]) -> Result<LoadedLog, OpenLogError> {
    fs::write(only_file(&log.path), bytes).unwrap();
    EngineLog::open(config(&log.path)).map(|(_, loaded)| loaded)
}

/// What an intact prefix of `cut` bytes must load.
fn expected_at(log: &SmallLog, cut: usize) -> &LoadedLog {
    let whole = log.states.iter().rev().find(|(end, _)| *end <= cut);
    &whole.expect("the empty state ends at byte 0").1
}

#[test]
fn cut_at_every_byte_keeps_every_batch_before_the_cut() {
    let log = small_log(6);
    for cut in 0..=log.bytes.len() {
        let loaded = load_changed(&log, &log.bytes[..cut]).unwrap();
        assert_eq!(&loaded, expected_at(&log, cut), "cut at {cut}");
    }
}

#[test]
fn a_lost_tail_that_reads_as_zeros_keeps_every_batch_before_it() {
    let log = small_log(5);
    for cut in (0..log.bytes.len()).step_by(3) {
        let mut bytes = log.bytes.clone();
        bytes[cut..].fill(0);
        match load_changed(&log, &bytes) {
            Ok(loaded) => {
                assert!(
                    loaded.entries.len() >= expected_at(&log, cut).entries.len(),
                    "at {cut}"
                );
            }
            // Zeros that replace less than a sector cannot come from a torn write.
            Err(e) => assert!(matches!(e, OpenLogError::Damaged { .. }), "at {cut}: {e}"),
        }
    }
}

#[test]
fn every_flipped_byte_is_reported() {
    let log = small_log(6);
    let whole = &log.states.last().unwrap().1;
    for at in 0..log.bytes.len() {
        let mut bytes = log.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        match load_changed(&log, &bytes) {
            Ok(loaded) => assert_eq!(&loaded, whole, "byte {at}: silent loss"),
            Err(OpenLogError::Damaged { .. } | OpenLogError::Newer { .. }) => {}
            Err(e) => panic!("byte {at}: {e}"),
        }
    }
}

#[test]
fn every_flipped_bit_of_a_header_is_reported_or_does_no_harm_where_the_process_was_killed() {
    let log = small_log(2);
    let whole = &log.states.last().unwrap().1;
    // Who is killed leaves the room that was allocated ahead.
    let mut left = log.bytes.clone();
    left.resize(log.bytes.len() + 4096, 0);
    for at in 0..100 * 8 {
        let mut bytes = left.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        match load_changed(&log, &bytes) {
            Ok(loaded) => assert_eq!(&loaded, whole, "bit {at}: silent loss"),
            Err(OpenLogError::Damaged { .. } | OpenLogError::Newer { .. }) => {}
            Err(e) => panic!("bit {at}: {e}"),
        }
    }
}

#[test]
fn a_garbled_header_of_a_file_that_was_moved_together_is_reported() {
    let log = small_log(1);
    let mut header = log.bytes[..69].to_vec();
    let moved = log.path.join("0000000000000001.rewrite");
    fs::write(&moved, &header).unwrap();
    open(&log.path);
    header[61] ^= 1;
    fs::write(&moved, &header).unwrap();
    let error = EngineLog::open(config(&log.path)).unwrap_err();
    assert!(error.to_string().contains("rewrite"), "{error}");
}

#[test]
fn a_missing_sector_is_a_torn_batch_at_the_end_and_damage_before_it() {
    let dir = scratch();
    let path = dir.path().join("log");
    let (mut log, _) = open(&path);
    log.append(batch(&[entry(1, 1, 100)], hard_state(1, 0)))
        .unwrap();
    let (first, second) = ([entry(2, 1, 3000)], [entry(3, 1, 100)]);
    log.append(batch(&first, hard_state(1, 1))).unwrap();
    drop(log);
    let file = only_file(&path);
    let mut torn = fs::read(&file).unwrap();
    torn[1024..1536].fill(0);

    let (mut log, _) = open(&path);
    log.append(batch(&second, hard_state(1, 1))).unwrap();
    drop(log);
    let mut followed = fs::read(&file).unwrap();
    followed[1024..1536].fill(0);

    fs::write(&file, &torn).unwrap();
    let (_, loaded) = open(&path);
    assert_eq!(loaded.entries, [entry(1, 1, 100)]);
    assert_eq!(loaded.hard_state, hard_state(1, 0));

    fs::write(&file, &followed).unwrap();
    let error = EngineLog::open(config(&path)).unwrap_err();
    assert!(matches!(error, OpenLogError::Damaged { .. }), "{error}");
}

#[test]
fn a_conflicting_suffix_is_overwritten() {
    let dir = scratch();
    let (mut log, _) = open(dir.path());
    let old: Vec<_> = (1..=10).map(|i| entry(i, 1, 20)).collect();
    log.append(batch(&old, hard_state(1, 3))).unwrap();
    let new: Vec<_> = (5..=6).map(|i| entry(i, 2, 20)).collect();
    log.append(batch(&new, hard_state(2, 4))).unwrap();
    assert_eq!(log.last_index(), 6);
    drop(log);
    let (_, loaded) = open(dir.path());
    assert_eq!(loaded.entries[..4], old[..4]);
    assert_eq!(loaded.entries[4..], new[..]);
    assert_eq!(loaded.hard_state, hard_state(2, 4));
}

#[test]
fn a_gap_is_refused_and_the_log_stays_as_it_was() {
    let dir = scratch();
    let (mut log, _) = open(dir.path());
    log.append(batch(&[entry(1, 1, 1)], hard_state(1, 0)))
        .unwrap();
    let error = log
        .append(batch(&[entry(3, 1, 1)], hard_state(1, 0)))
        .unwrap_err();
    assert!(matches!(
        error,
        AppendError::OutOfOrder {
            index: 3,
            first: 1,
            last: 1,
            ..
        }
    ));
    let holed = [entry(2, 1, 1), entry(4, 1, 1)];
    assert!(log.append(batch(&holed, hard_state(1, 0))).is_err());
    assert_eq!(log.last_index(), 1);
}

#[test]
fn truncation_and_an_installed_snapshot_survive_reopening() {
    let dir = scratch();
    let (mut log, _) = open(dir.path());
    let entries: Vec<_> = (1..=10).map(|i| entry(i, 1, 20)).collect();
    log.append(batch(&entries, hard_state(1, 8))).unwrap();
    log.truncate_prefix(SnapshotMark { index: 8, term: 1 }, 6)
        .unwrap();
    assert_eq!((log.first_index(), log.last_index()), (6, 10));
    drop(log);
    let (mut log, loaded) = open(dir.path());
    assert_eq!(loaded.snapshot, SnapshotMark { index: 8, term: 1 });
    assert_eq!(loaded.entries, entries[5..]);

    let installed = Some(SnapshotMark {
        index: 100,
        term: 4,
    });
    let after = [entry(101, 4, 5)];
    let state = Some(hard_state(4, 100));
    log.append(LogBatch {
        installed,
        entries: &after,
        hard_state: state,
    })
    .unwrap();
    assert_eq!((log.first_index(), log.last_index()), (101, 101));
    drop(log);
    let (log, loaded) = open(dir.path());
    assert_eq!(loaded.entries, after);
    assert_eq!(loaded.snapshot.index, 100);
    assert_eq!((log.first_index(), log.last_index()), (101, 101));
}

#[test]
fn a_snapshot_without_entries_behind_it_reopens_empty() {
    let dir = scratch();
    let (mut log, _) = open(dir.path());
    let installed = Some(SnapshotMark { index: 7, term: 2 });
    let state = Some(hard_state(2, 7));
    log.append(LogBatch {
        installed,
        entries: &[],
        hard_state: state,
    })
    .unwrap();
    drop(log);
    let (mut log, loaded) = open(dir.path());
    assert_eq!((log.first_index(), log.last_index()), (8, 7));
    assert!(loaded.entries.is_empty());
    log.append(batch(&[entry(8, 2, 1)], hard_state(2, 7)))
        .unwrap();
}

#[test]
fn space_of_dropped_entries_is_given_back() {
    let dir = scratch();
    let (mut log, _) = open(dir.path());
    let mut next = 1;
    for _ in 0..120 {
        let entries: Vec<_> = (next..next + 8).map(|i| entry(i, 1, 64 << 10)).collect();
        log.append(batch(&entries, hard_state(1, next))).unwrap();
        next += 8;
    }
    let before = log.size_bytes();
    log.truncate_prefix(
        SnapshotMark {
            index: next - 1,
            term: 1,
        },
        next - 3,
    )
    .unwrap();
    assert!(
        log.size_bytes() < before / 2,
        "{before} -> {}",
        log.size_bytes()
    );
    drop(log);
    let (_, loaded) = open(dir.path());
    assert_eq!(loaded.entries.first().unwrap().index, next - 3);
    assert_eq!(loaded.entries.last().unwrap().index, next - 1);
}

#[test]
fn a_full_disk_is_reported_and_the_log_goes_on_when_there_is_room() {
    let dir = scratch();
    let config = config(dir.path());
    let faults = config.faults.clone();
    let (mut log, _) = EngineLog::open(config).unwrap();
    log.append(batch(&[entry(1, 1, 100)], hard_state(1, 0)))
        .unwrap();
    faults.set_full(true);
    assert!(!log.has_room(1));
    for _ in 0..3 {
        let error = log
            .append(batch(&[entry(2, 1, 100)], hard_state(1, 1)))
            .unwrap_err();
        assert!(
            matches!(error, AppendError::Full) && !error.is_fatal(),
            "{error}"
        );
    }
    faults.set_full(false);
    log.append(batch(&[entry(2, 1, 100)], hard_state(1, 1)))
        .unwrap();
    drop(log);
    let (_, loaded) = open(dir.path());
    assert_eq!(loaded.entries, [entry(1, 1, 100), entry(2, 1, 100)]);
}

#[test]
fn a_failed_sync_is_final() {
    let dir = scratch();
    let config = config(dir.path());
    let faults = config.faults.clone();
    let (mut log, _) = EngineLog::open(config).unwrap();
    faults.fail_syncs();
    for _ in 0..2 {
        let error = log
            .append(batch(&[entry(1, 1, 1)], hard_state(1, 0)))
            .unwrap_err();
        assert!(matches!(error, AppendError::SyncFailed { .. }), "{error}");
        assert!(error.is_fatal());
    }
}

#[test]
fn a_log_in_use_is_refused() {
    let dir = scratch();
    let (_log, _) = open(dir.path());
    let error = EngineLog::open(config(dir.path())).unwrap_err();
    assert!(matches!(error, OpenLogError::Locked { .. }), "{error}");
}

#[test]
fn a_commit_beyond_the_last_entry_is_refused() {
    let dir = scratch();
    let (mut log, _) = open(dir.path());
    log.append(batch(&[entry(1, 1, 1)], hard_state(1, 5)))
        .unwrap();
    drop(log);
    let error = EngineLog::open(config(dir.path())).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("entry 5 is committed and missing"),
        "{error}"
    );
}

#[test]
fn a_crash_in_an_append_to_memory_keeps_or_drops_the_whole_batch() {
    for survives in [false, true] {
        let disk = MemoryDisk::default();
        let (mut log, _) = MemoryLog::open(&disk).unwrap();
        log.append(batch(&[entry(1, 1, 1)], hard_state(1, 0)))
            .unwrap();
        disk.crash_in_next_append(survives);
        assert!(
            log.append(batch(&[entry(2, 1, 1)], hard_state(2, 1)))
                .is_err()
        );
        assert!(
            log.append(batch(&[entry(2, 1, 1)], hard_state(2, 1)))
                .is_err()
        );
        let (_, loaded) = MemoryLog::open(&disk).unwrap();
        assert_eq!(loaded.entries.len(), if survives { 2 } else { 1 });
        assert_eq!(loaded.hard_state.term, if survives { 2 } else { 1 });
    }
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Append { back: u64, count: u64, bytes: usize },
    Compact { keep: u64 },
    Install { ahead: u64 },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = (0..4u64, 1..5u64, 0..2000usize);
    let step = prop_oneof![
        6 => append.prop_map(|(back, count, bytes)| Step::Append { back, count, bytes }),
        1 => (0..6u64).prop_map(|keep| Step::Compact { keep }),
        1 => (1..9u64).prop_map(|ahead| Step::Install { ahead }),
        2 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

fn apply_step(log: &mut dyn LogStore, step: &Step, term: u64, covered: u64) {
    let (first, last) = (log.first_index(), log.last_index());
    let applied = match *step {
        Step::Append { back, count, bytes } => {
            let start = (last + 1 - back.min(last)).max(covered + 1);
            let entries: Vec<_> = (start..start + count)
                .map(|i| entry(i, term, bytes))
                .collect();
            log.append(batch(&entries, hard_state(term, start - 1)))
        }
        Step::Compact { keep } => {
            let mark = SnapshotMark { index: last, term };
            log.truncate_prefix(mark, last.saturating_sub(keep).max(first))
        }
        Step::Install { ahead } => {
            let installed = Some(SnapshotMark {
                index: last + ahead,
                term,
            });
            let state = Some(hard_state(term, last + ahead));
            log.append(LogBatch {
                installed,
                entries: &[],
                hard_state: state,
            })
        }
        Step::Reopen => Ok(()),
    };
    applied.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_reads_back_as_the_memory_log_has_it(steps in steps()) {
        let dir = scratch();
        let disk = MemoryDisk::default();
        let (mut model, _) = MemoryLog::open(&disk).unwrap();
        let (mut log, _) = open(dir.path());
        for (step, term) in steps.iter().zip(1..) {
            let covered = disk.content().snapshot.index;
            apply_step(&mut log, step, term, covered);
            apply_step(&mut model, step, term, covered);
            if matches!(step, Step::Reopen) {
                drop(log);
                let (reopened, loaded) = open(dir.path());
                prop_assert_eq!(loaded, disk.content());
                log = reopened;
            }
            prop_assert_eq!(log.first_index(), model.first_index());
            prop_assert_eq!(log.last_index(), model.last_index());
        }
        drop(log);
        prop_assert_eq!(open(dir.path()).1, disk.content());
    }

    #[test]
    fn any_garbage_is_rejected_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assert!(codec::decode_entry(1, &bytes).is_err());
        prop_assert!(codec::StateRecord::decode(&bytes).is_err());
        prop_assert!(codec::find_state_records(&bytes).is_empty());
    }
}
