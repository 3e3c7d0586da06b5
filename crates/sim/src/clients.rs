//! Clients that read and watch, and what they may see (R10, R11).
//!
//! Every read and every write has a version, so what a linearizable history must look like needs
//! no search: a read sees at least the newest version that anybody was told of before it began.

use consensus::{Input, ReadId};
use sim_script::params::{MS, SEC};
use store::Resume;

use crate::bugs::Bug;
use crate::world::{Event, World};

/// Clients that watch.
const WATCHERS: usize = 2;

/// What clients know.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Newest version that any read has returned.
    read: u64,
    watchers: [Watcher; WATCHERS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Watcher {
    /// Whom it asks, and which start of it.
    at: usize,
    start: u64,
    /// Version up to which it has seen everything.
    seen: u64,
}

impl World {
    pub(crate) fn start_clients(&mut self) {
        self.after(SEC, Event::Read);
        for watcher in 0..WATCHERS {
            self.after(SEC, Event::Watch(watcher));
        }
    }

    /// A client reads from somebody who believes to lead.
    pub(crate) fn client_reads(&mut self) {
        if !self.calm {
            let pause = self.rng.between(MS, self.params.read_max);
            self.after(pause, Event::Read);
        }
        let now = self.now;
        let leads = |h: &crate::host::Host| {
            h.paused_until <= now && h.process.as_ref().is_some_and(|p| p.reign.is_some())
        };
        let leaders: Vec<_> = (0..self.hosts.len())
            .filter(|at| leads(&self.hosts[*at]))
            .collect();
        self.mark_if(leaders.len() > 1, "read while two believe to lead");
        for at in leaders {
            self.read_from(at);
        }
    }

    fn read_from(&mut self, at: usize) {
        let id = ReadId(self.number());
        let floor = self.oracle.newest_ack.max(self.clients.read);
        let trusting = self.bug == Some(Bug::StaleRead);
        let Some(process) = self.process(at) else {
            return;
        };
        process.reads.insert(id, floor);
        if trusting {
            self.read_confirmed(at, id, true);
        } else {
            self.raft(at, Input::ReadIndex { id });
        }
    }

    /// A read barrier of a client was answered; false if it was of somebody else.
    pub(crate) fn read_confirmed(&mut self, at: usize, id: ReadId, leads: bool) -> bool {
        let Some(process) = self.process(at) else {
            return true;
        };
        let Some(floor) = process.reads.remove(&id) else {
            return false;
        };
        let version = process.state.version();
        if !leads {
            self.mark("read refused by a manager that may be deposed");
            return true;
        }
        if version < floor {
            let text = format!("a read on m{at} saw version {version}, {floor} was known before");
            self.violate("R10", text);
        }
        self.clients.read = self.clients.read.max(version);
        self.mark("read");
        true
    }

    /// A client that watches takes what is new, from another manager if its own is gone.
    pub(crate) fn watch(&mut self, at: usize) {
        let pause = self.rng.between(MS, 2 * SEC);
        self.after(pause, Event::Watch(at));
        let mut watcher = self.clients.watchers[at];
        let start = self.hosts[watcher.at].start;
        let up = self.hosts[watcher.at].process.is_some();
        let moves = !up || start != watcher.start || self.rng.chance(500);
        if moves {
            let up: Vec<_> = self
                .hosts
                .iter()
                .filter(|h| h.process.is_some())
                .map(|h| h.at)
                .collect();
            let Some(to) = self.rng.pick(&up) else { return };
            (watcher.at, watcher.start) = (to, self.hosts[to].start);
            self.mark("watch goes on at another manager");
        }
        self.clients.watchers[at] = watcher;
        let Some(process) = self.process(watcher.at) else {
            return;
        };
        let version = process.state.version();
        if version <= watcher.seen {
            return;
        }
        let news = process.feed.after(watcher.seen, 50);
        match news {
            Resume::Compacted => {
                self.mark("watch is told that it missed something");
                self.clients.watchers[at].seen = version;
            }
            Resume::Commits(commits) => {
                let skip = usize::from(moves && self.bug == Some(Bug::WatchGap));
                let mut seen = watcher.seen;
                for commit in commits.iter().skip(skip) {
                    let verdict = self.oracle.watched(seen, commit);
                    self.judge(verdict);
                    seen = commit.version;
                }
                self.clients.watchers[at].seen = seen;
            }
        }
    }
}
