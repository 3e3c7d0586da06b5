//! The raft log against a killed process, a full file system and a power cut.
//!
//! The child process of the kill test is this very binary, started again with an environment
//! variable that names its directory.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use consensus::{Entry, EntryKind, HardState, RaftId};
use storage::{
    AppendError, DiskBudget, EngineLog, EngineLogConfig, LogBatch, LogStore, SnapshotMark,
};

const CHILD_DIR: &str = "STORAGE_TEST_CHILD_DIR";
const KILLS: u64 = 50;

fn entry(index: u64) -> Entry {
    let bytes = (index * 37 % 900) as usize;
    let data = Bytes::from(vec![(index % 250) as u8 + 1; bytes]);
    Entry {
        term: 1 + index / 1000,
        index,
        kind: EntryKind::Normal,
        data,
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

fn append(log: &mut EngineLog, count: u64) -> Result<u64, AppendError> {
    let first = log.last_index() + 1;
    let entries: Vec<_> = (first..first + count).map(entry).collect();
    let last = first + count - 1;
    let hard_state = HardState {
        term: entry(last).term,
        vote: RaftId::new(1),
        commit: first - 1,
    };
    log.append(LogBatch {
        entries: &entries,
        hard_state: Some(hard_state),
        installed: None,
    })?;
    Ok(last)
}

/// Checks everything that is in the log and returns its last index.
fn check(dir: &Path, acknowledged: u64) -> u64 {
    let (log, loaded) = EngineLog::open(config(dir)).unwrap();
    let mut next = log.first_index();
    for found in &loaded.entries {
        assert_eq!(found, &entry(next));
        next += 1;
    }
    assert!(
        next > acknowledged,
        "acknowledged up to {acknowledged}, log ends at {}",
        next - 1
    );
    assert!(loaded.hard_state.commit < next);
    next - 1
}

/// The child: appends forever, says on its output what was acknowledged.
#[test]
fn child_appends_until_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let (mut log, _) = EngineLog::open(config(Path::new(&dir))).unwrap();
    let mut out = std::io::stdout();
    for round in 0u64.. {
        let last = append(&mut log, 1 + round % 16).unwrap();
        writeln!(out, "acknowledged {last}").unwrap();
        out.flush().unwrap();
        if round % 40 == 39 {
            let mark = SnapshotMark {
                index: last - 20,
                term: entry(last - 20).term,
            };
            log.truncate_prefix(mark, last - 60).unwrap();
        }
    }
}

fn spawn_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_appends_until_killed", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[test]
fn fifty_kills_lose_no_acknowledged_entry() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for kill in 0..KILLS {
        let mut child = spawn_child(dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = last;
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            if let Some(index) = line.strip_prefix("acknowledged ") {
                acknowledged = index.parse().unwrap();
                seen += 1;
            }
            if seen == 1 + kill * 7 % 90 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen > 0, "the child of kill {kill} did nothing");
        last = check(dir.path(), acknowledged);
    }
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!(
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// A mounted file system, unmounted when dropped.
struct Mounted {
    point: PathBuf,
}

impl Mounted {
    fn new(point: &Path, args: &[&str]) -> Result<Self, String> {
        fs::create_dir_all(point).unwrap();
        let mut all: Vec<&str> = args.to_vec();
        all.push(point.to_str().unwrap());
        run("mount", &all)?;
        Ok(Self {
            point: point.to_owned(),
        })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = run("umount", &[self.point.to_str().unwrap()]);
        if let Err(e) = unmounted {
            eprintln!("{e}");
        }
    }
}

#[test]
fn a_really_full_file_system_stops_writes_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Mounted::new(
        &dir.path().join("m"),
        &["-t", "tmpfs", "-o", "size=12m", "none"],
    );
    let mounted = match mounted {
        Ok(mounted) => mounted,
        Err(e) => return println!("skipped, a tmpfs cannot be mounted: {e}"),
    };
    let log_dir = mounted.point.join("log");
    let (mut log, _) = EngineLog::open(config(&log_dir)).unwrap();
    let mut last = append(&mut log, 3).unwrap();
    let filler = mounted.point.join("filler");
    fs::write(&filler, vec![1; 6 << 20]).unwrap();
    // No reserve: this goes on until the file system itself refuses in the middle of a batch.
    loop {
        match append(&mut log, 16) {
            Ok(index) => last = index,
            Err(AppendError::Full) => break,
            Err(e) => panic!("{e}"),
        }
    }
    assert!(matches!(append(&mut log, 16), Err(AppendError::Full)));
    fs::remove_file(&filler).unwrap();
    last = append(&mut log, 16).unwrap().max(last);
    drop(log);
    assert_eq!(check(&log_dir, last), last);

    // With a reserve, entries are refused while hard state still fits.
    let budget = DiskBudget {
        reserve_bytes: 64 << 20,
        floor_bytes: 0,
    };
    let (mut log, _) = EngineLog::open(EngineLogConfig {
        budget,
        ..config(&log_dir)
    })
    .unwrap();
    assert!(!log.has_room(1));
    assert!(matches!(append(&mut log, 1), Err(AppendError::Full)));
    let vote = HardState {
        term: 900,
        vote: RaftId::new(2),
        commit: 1,
    };
    log.append(LogBatch {
        hard_state: Some(vote),
        ..LogBatch::default()
    })
    .unwrap();
    drop(log);
    assert_eq!(
        EngineLog::open(config(&log_dir)).unwrap().1.hard_state,
        vote
    );
}

/// Copies the image of a mounted file system at the moment of an acknowledgement: what is in the
/// copy is what the device had received, as after a power cut.
#[test]
fn a_power_cut_loses_no_acknowledged_entry() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::File::create(&image).unwrap().set_len(48 << 20).unwrap();
    let made = run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
    let live = made.and_then(|_| {
        let image = image.to_str().unwrap();
        Mounted::new(&dir.path().join("live"), &["-o", "loop", image])
    });
    let live = match live {
        Ok(live) => live,
        Err(e) => return println!("skipped, no loop-mounted file system: {e}"),
    };
    let log_dir = live.point.join("log");
    for (trial, batches) in [1, 40, 7].into_iter().enumerate() {
        let (mut log, _) = EngineLog::open(config(&log_dir)).unwrap();
        let mut acknowledged = 0;
        for n in 0..batches {
            acknowledged = append(&mut log, 1 + n % 16).unwrap();
        }
        let copy = dir.path().join(format!("copy-{trial}"));
        fs::copy(&image, &copy).unwrap();
        drop(log);
        let after = dir.path().join(format!("after-{trial}"));
        let after = Mounted::new(&after, &["-o", "loop", copy.to_str().unwrap()]).unwrap();
        check(&after.point.join("log"), acknowledged);
    }
}
