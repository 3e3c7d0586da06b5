//! Damage, resumption and pruning of snapshot files.

use std::io::Write;

use consensus::Membership;
use tempfile::TempDir;

use super::*;

fn meta(index: u64, term: u64) -> SnapshotMeta {
    SnapshotMeta {
        index,
        term,
        membership: Membership::default(),
    }
}

fn store() -> (TempDir, SnapshotStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(&dir.path().join("snapshots")).unwrap();
    (dir, store)
}

fn content(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes)
        .map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed) | 1)
        .collect()
}

fn write(store: &SnapshotStore, index: u64, payload: &[u8]) -> SnapshotInfo {
    let mut writer = store.create(meta(index, 1)).unwrap();
    for part in payload.chunks(1000) {
        writer.write_all(part).unwrap();
    }
    writer.finish().unwrap()
}

fn read(store: &SnapshotStore, info: &SnapshotInfo) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    store.payload(info).unwrap().read_to_end(&mut payload)?;
    Ok(payload)
}

#[test]
fn the_newest_snapshot_reads_back_and_old_ones_are_pruned() {
    let (_dir, store) = store();
    assert_eq!(store.newest_valid(u64::MAX).unwrap().0, None);
    for index in [5, 300, 70] {
        write(&store, index, &content(700_000, index as u8));
    }
    let (newest, damaged) = store.newest_valid(u64::MAX).unwrap();
    let newest = newest.unwrap();
    assert_eq!((newest.meta.clone(), damaged.len()), (meta(300, 1), 0));
    assert_eq!(
        read(&store, &newest).unwrap(),
        content(700_000, 300u64 as u8)
    );
    assert_eq!(store.newest_valid(299).unwrap().0.unwrap().id.index, 70);
    store.prune(2).unwrap();
    let left: Vec<_> = store.list().unwrap().iter().map(|i| i.id.index).collect();
    assert_eq!(left, [70, 300]);
}

#[test]
fn an_empty_payload_is_a_snapshot_too() {
    let (_dir, store) = store();
    let info = write(&store, 1, &[]);
    assert!(store.payload(&info).unwrap().is_empty());
    assert_eq!(store.newest_valid(u64::MAX).unwrap().0.unwrap(), info);
}

#[test]
fn every_flipped_byte_and_every_cut_is_reported_and_the_file_is_kept() {
    let (_dir, store) = store();
    let old = write(&store, 1, b"old");
    let new = write(&store, 2, &content(300, 1));
    let good = fs::read(&new.path).unwrap();
    let flips = (0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    let cuts = (0..good.len()).map(|at| good[..at].to_vec());
    for (n, bytes) in flips.chain(cuts).enumerate() {
        fs::write(&new.path, &bytes).unwrap();
        let (newest, damaged) = store.newest_valid(u64::MAX).unwrap();
        assert_eq!(newest.as_ref(), Some(&old), "damage {n}");
        assert_eq!(damaged.len(), 1);
        assert_eq!(fs::read(&damaged[0].kept).unwrap(), bytes);
        fs::remove_file(&damaged[0].kept).unwrap();
    }
}

#[test]
fn pruning_never_removes_the_only_valid_one() {
    let (_dir, store) = store();
    let old = write(&store, 1, b"old");
    let new = write(&store, 2, &content(300, 1));
    let mut bytes = fs::read(&new.path).unwrap();
    bytes[20] ^= 1;
    fs::write(&new.path, bytes).unwrap();
    store.prune(1).unwrap();
    assert_eq!(store.newest_valid(u64::MAX).unwrap().0, Some(old));
}

#[test]
fn an_unfinished_snapshot_does_not_exist() {
    let (dir, store) = store();
    let mut writer = store.create(meta(9, 1)).unwrap();
    writer.write_all(&content(600_000, 3)).unwrap();
    // What a crash would leave.
    std::mem::forget(writer);
    assert_eq!(store.newest_valid(u64::MAX).unwrap().0, None);
    let store = SnapshotStore::open(&dir.path().join("snapshots")).unwrap();
    assert_eq!(fs::read_dir(store.dir()).unwrap().count(), 0);
    let mut writer = store.create(meta(9, 1)).unwrap();
    writer.write_all(b"x").unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(store.dir()).unwrap().count(), 0);
}

#[test]
fn a_transfer_resumes_where_it_broke_off() {
    let (_from_dir, from) = store();
    let (to_dir, to) = store();
    let info = write(&from, 40, &content(900_000, 5));
    let file = from.file(&info).unwrap();
    let mut offset = 0;
    let mut resumed = Vec::new();
    // Every round is a new stream, and the second one comes after a restart.
    for round in 0..40 {
        let to = SnapshotStore::open(&to_dir.path().join("snapshots")).unwrap();
        let mut receiver = to.receive(info.id).unwrap();
        assert!(receiver.offset() <= offset);
        resumed.push(receiver.offset());
        offset = receiver.offset();
        for _ in 0..7 {
            let bytes = file.read_at(offset, 50_000 + round).unwrap();
            receiver.write_at(offset, &bytes).unwrap();
            offset += bytes.len() as u64;
        }
        if receiver.is_complete() {
            receiver.finish().unwrap();
            break;
        }
    }
    assert!(
        resumed.len() > 2 && resumed[1] > 0 && resumed.is_sorted(),
        "{resumed:?}"
    );
    let (got, _) = to.newest_valid(u64::MAX).unwrap();
    assert_eq!(read(&to, &got.unwrap()).unwrap(), content(900_000, 5));
}

#[test]
fn a_transfer_refuses_gaps_overlong_and_changed_bytes() {
    let (_from_dir, from) = store();
    let (_to_dir, to) = store();
    let info = write(&from, 40, &content(1000, 5));
    let bytes = from.file(&info).unwrap().read_at(0, usize::MAX).unwrap();
    let mut receiver = to.receive(info.id).unwrap();
    assert!(matches!(
        receiver.write_at(1, b"x"),
        Err(SnapshotError::WrongOffset { .. })
    ));
    let overlong = vec![0; bytes.len() + 1];
    assert!(matches!(
        receiver.write_at(0, &overlong),
        Err(SnapshotError::WrongOffset { .. })
    ));
    let mut changed = bytes.clone();
    changed[100] ^= 4;
    receiver.write_at(0, &changed).unwrap();
    assert!(matches!(
        receiver.finish(),
        Err(SnapshotError::Damaged { .. })
    ));
    assert_eq!(to.list().unwrap(), []);

    let mut receiver = to.receive(info.id).unwrap();
    assert_eq!(receiver.offset(), 0);
    receiver.write_at(0, &bytes).unwrap();
    // A repeated chunk is harmless.
    receiver.write_at(0, &bytes).unwrap();
    receiver.finish().unwrap();
}

#[test]
fn a_newer_transfer_replaces_an_older_unfinished_one() {
    let (_dir, store) = store();
    let id = |index| SnapshotId {
        term: 1,
        index,
        file_bytes: 100,
        checksum: 1,
    };
    store.receive(id(1)).unwrap().write_at(0, b"abc").unwrap();
    let _second = store.receive(id(2)).unwrap();
    assert_eq!(fs::read_dir(store.dir()).unwrap().count(), 1);
    write(&store, 2, b"done");
    store.prune(1).unwrap();
    assert_eq!(fs::read_dir(store.dir()).unwrap().count(), 1);
}
