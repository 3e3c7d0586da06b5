//! What clients saw, with times of one clock, and what was done to the cluster meanwhile.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use linearizability::models::{Objects, ObjectsInput, ObjectsOutput, Touch};
use linearizability::{Model, Operation};

/// A call of a client.
pub type Call = Operation<ObjectsInput, ObjectsOutput>;

/// Which objects a call was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Configs: only clients change them.
    Config,
    /// Services: the cluster writes the progress of updates into them.
    Service,
}

/// Everything that was seen. Times are in microseconds since the beginning.
pub struct Record {
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    calls: Mutex<Vec<(Kind, Call)>>,
    events: Mutex<Vec<(u64, String)>>,
    findings: Mutex<Vec<String>>,
}

impl Kind {
    /// What objects of this kind are.
    pub fn model(self) -> Objects {
        let touch = match self {
            Self::Config => Touch::OnlyClients,
            Self::Service => Touch::ClusterToo,
        };
        Objects { touch }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Service => "service",
        }
    }
}

/// The content of a lock; whoever panicked with it is reported elsewhere.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Record {
    /// An empty one; `clock` is the time since the beginning.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            clock: Box::new(clock),
            calls: Mutex::default(),
            events: Mutex::default(),
            findings: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from((self.clock)().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn call(&self, kind: Kind, call: Call) {
        locked(&self.calls).push((kind, call));
    }

    /// Notes what was done to the cluster, and shows it.
    pub(crate) fn event(&self, text: String) {
        let now = self.now();
        eprintln!("{:9.3} {text}", now as f64 / 1e6);
        locked(&self.events).push((now, text));
    }

    /// Notes something that must not be.
    pub(crate) fn finding(&self, text: String) {
        self.event(format!("FOUND {text}"));
        locked(&self.findings).push(text);
    }

    /// What must not be and was.
    pub fn findings(&self) -> Vec<String> {
        locked(&self.findings).clone()
    }

    /// The calls about objects of a kind.
    pub(crate) fn of(&self, kind: Kind) -> Vec<Call> {
        let calls = locked(&self.calls);
        let of_kind = calls.iter().filter(|(k, _)| *k == kind);
        of_kind.map(|(_, call)| call.clone()).collect()
    }

    /// How many calls there were, and how many have an answer.
    pub fn counts(&self) -> (usize, usize) {
        let calls = locked(&self.calls);
        let answered = calls.iter().filter(|(_, c)| c.output().is_some()).count();
        (calls.len(), answered)
    }

    /// Writes everything to a file, one line each, by time.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut lines: Vec<(u64, String)> = locked(&self.events).clone();
        for (kind, call) in locked(&self.calls).iter() {
            let until = call.returned().map_or("-".to_owned(), |at| at.to_string());
            let said = kind.model().describe(call);
            let text = format!("{until} client {} {} {said}", call.client, kind.word());
            lines.push((call.invoked, text));
        }
        lines.sort();
        let mut text = String::new();
        for (at, line) in lines {
            writeln!(text, "{at} {line}")?;
        }
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))
    }
}
