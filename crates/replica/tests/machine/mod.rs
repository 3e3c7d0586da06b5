//! A state machine that remembers what it saw, and bounded waiting.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use consensus::{Member, Membership, RaftId};
use replica::{Applied, Handle, RestoreError, SnapshotSource, StateMachine, Status};

/// Everything that is waited for happens within this, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const TICK: Duration = Duration::from_millis(20);

pub fn raft_id(id: u64) -> RaftId {
    RaftId::new(id).unwrap()
}

pub fn member(id: u64, addr: &str) -> Member {
    Member {
        raft_id: raft_id(id),
        node_id: format!("node{id}"),
        addr: addr.to_owned(),
    }
}

/// What a state machine has seen.
#[derive(Clone, Default)]
pub struct Seen {
    entries: Arc<Mutex<Vec<(u64, Bytes)>>>,
    restored: Arc<Mutex<u64>>,
}

impl Seen {
    pub fn entries(&self) -> Vec<(u64, Bytes)> {
        self.entries.lock().unwrap().clone()
    }

    /// How many snapshots were restored.
    pub fn restored(&self) -> u64 {
        *self.restored.lock().unwrap()
    }
}

/// Entries that say `panic` make it panic.
pub struct Recorder(pub Seen);

struct Capture(Vec<(u64, Bytes)>);

impl StateMachine for Recorder {
    fn apply(&mut self, committed: &[Applied]) {
        let mut entries = self.0.entries.lock().unwrap();
        for Applied { index, data, .. } in committed {
            assert!(
                entries.last().is_none_or(|(last, _)| last < index),
                "applied twice"
            );
            assert_ne!(data, "panic");
            entries.push((*index, data.clone()));
        }
    }

    fn membership(&mut self, _membership: &Arc<Membership>) {}

    fn capture(&self) -> Box<dyn SnapshotSource> {
        Box::new(Capture(self.0.entries()))
    }

    fn restore(&mut self, payload: &mut dyn Read) -> Result<(), RestoreError> {
        let mut bytes = Vec::new();
        payload.read_to_end(&mut bytes)?;
        let mut entries = Vec::new();
        let mut rest = &bytes[..];
        while let Some((head, tail)) = rest.split_first_chunk::<12>() {
            let index = u64::from_be_bytes(head[..8].try_into()?);
            let length = u32::from_be_bytes(head[8..].try_into()?) as usize;
            entries.push((index, Bytes::copy_from_slice(&tail[..length])));
            rest = &tail[length..];
        }
        *self.0.entries.lock().unwrap() = entries;
        *self.0.restored.lock().unwrap() += 1;
        Ok(())
    }
}

impl SnapshotSource for Capture {
    fn write_to(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for (index, data) in &self.0 {
            out.write_all(&index.to_be_bytes())?;
            out.write_all(&(data.len() as u32).to_be_bytes())?;
            out.write_all(data)?;
        }
        Ok(())
    }
}

/// Waits until the status satisfies `wanted`.
pub async fn wait(handle: &Handle, wanted: impl Fn(&Status) -> bool) -> Arc<Status> {
    let mut status = handle.status();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(|s| wanted(s))).await;
    match waited {
        Ok(Ok(status)) => status.clone(),
        Ok(Err(_)) => panic!("the replica is gone: {:?}", handle.status_now()),
        Err(_) => panic!("waited in vain: {:?}", handle.status_now()),
    }
}
