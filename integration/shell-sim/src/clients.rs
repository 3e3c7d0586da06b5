//! Clients on hosts of their own: they call managers that they pick at random and record what they
//! saw, in simulated time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use invariants::as_desired;
use linearizability::models::{ObjectsInput, ObjectsOutput, Seen};
use linearizability::{Model, Outcome};
use tokio::time::{sleep, timeout};
use torture::{Answer, Call, Caller, Dice, Kind};
use transport::Dialer;
use types::NodeRole;

use crate::nodes::{Ended, Stage, address, credentials};

/// Connecting takes no longer, or counts as failed.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Names that clients fight for.
const NAMES: u64 = 4;
/// Clients that are the same client after a call of unknown outcome have numbers this far apart.
const CLIENTS_MAX: u64 = 1_000;
/// Number of the client that reads everything in the end.
const LAST_CLIENT: u64 = 999_999;
/// Pause between two looks at a condition.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// What all clients saw.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Vec<(Kind, Call)>>);

impl History {
    pub(crate) fn add(&self, kind: Kind, call: Call) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push((kind, call));
    }

    pub(crate) fn of(&self, kind: Kind) -> Vec<Call> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = calls.iter().filter(|(k, _)| *k == kind);
        of_kind.map(|(_, call)| call.clone()).collect()
    }
}

/// Simulated time since the beginning.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

fn now() -> u64 {
    u64::try_from(elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Connects to a manager as the first one: control calls need a manager's certificate.
async fn connect(stage: &Stage, manager: usize) -> anyhow::Result<Caller> {
    let nodes = &stage.authority.nodes;
    let dialer = Dialer::member(credentials(&nodes[0])?);
    let addr = address(&nodes[manager]);
    let channel = timeout(CONNECT_TIME_MAX, dialer.connect(&addr)).await??;
    Ok(Caller::over(channel, ""))
}

fn managers(stage: &Stage) -> usize {
    let is_manager = |p: &&crate::authority::Papers| p.role == NodeRole::Manager;
    stage.authority.nodes.iter().filter(is_manager).count()
}

/// Clients that share a host.
pub(crate) async fn run_all(clients: [Client; 2]) -> Ended {
    let [one, other] = clients;
    tokio::try_join!(one.run(), other.run()).map(drop)
}

/// A client that works until the end it was given.
pub(crate) struct Client {
    pub(crate) stage: Arc<Stage>,
    pub(crate) history: Arc<History>,
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) dice: Dice,
    pub(crate) end: Duration,
}

impl Client {
    pub(crate) async fn run(mut self) -> Ended {
        let mut callers: BTreeMap<usize, Caller> = BTreeMap::new();
        let mut last_seen: BTreeMap<String, Seen> = BTreeMap::new();
        let mut values = 0;
        while elapsed() < self.end {
            let pause_ms = match self.kind {
                Kind::Config => self.dice.between(20, 250),
                Kind::Service => self.dice.between(300, 2_000),
            };
            sleep(Duration::from_millis(pause_ms)).await;
            let via = self.dice.index(managers(&self.stage));
            let caller = match callers.remove(&via) {
                Some(caller) => Ok(caller),
                None => connect(&self.stage, via).await,
            };
            let Ok(mut caller) = caller else { continue };
            values += 1;
            let input = self.choose(&last_seen, values);
            let invoked = now();
            let answer = caller.call(self.kind, &input).await;
            let outcome = match answer {
                Answer::Known(output) => {
                    callers.insert(via, caller);
                    learn(&mut last_seen, &input, &output);
                    let at = now();
                    Outcome::Returned { at, output }
                }
                Answer::Unknown(_) => Outcome::Unknown,
            };
            self.record(invoked, input, outcome);
        }
        Ok(())
    }

    fn choose(&mut self, last_seen: &BTreeMap<String, Seen>, count: u64) -> ObjectsInput {
        let name = format!("n{}", self.dice.below(NAMES));
        let (replicas, generation) = (self.dice.below(4), self.dice.below(2));
        let value = format!("{}.{count}-{replicas}-{generation}", self.number);
        match (self.dice.below(10), last_seen.get(&name)) {
            (0..=3, Some(seen)) => ObjectsInput::Update {
                name,
                id: seen.id.clone(),
                expected: seen.version,
                value,
            },
            (4, Some(seen)) => ObjectsInput::Remove {
                name,
                id: seen.id.clone(),
            },
            (4..=6, _) => ObjectsInput::Create { name, value },
            _ => ObjectsInput::Read { name },
        }
    }

    fn record(&mut self, invoked: u64, input: ObjectsInput, outcome: Outcome<ObjectsOutput>) {
        let client = self.number;
        let is_unknown = outcome == Outcome::Unknown;
        if is_unknown {
            // The old one may still be at work.
            self.number += CLIENTS_MAX;
        }
        if is_unknown && matches!(input, ObjectsInput::Read { .. }) {
            return;
        }
        let call = Call {
            client,
            invoked,
            input,
            outcome,
        };
        self.history.add(self.kind, call);
    }
}

fn learn(last_seen: &mut BTreeMap<String, Seen>, input: &ObjectsInput, output: &ObjectsOutput) {
    match (input, output) {
        (
            ObjectsInput::Create { name, value } | ObjectsInput::Update { name, value, .. },
            ObjectsOutput::Stored { id, version },
        ) => {
            let seen = Seen {
                id: id.clone(),
                version: *version,
                value: value.clone(),
            };
            last_seen.insert(name.clone(), seen);
        }
        (ObjectsInput::Read { name }, ObjectsOutput::Found(Some(seen))) => {
            last_seen.insert(name.clone(), seen.clone());
        }
        // What is stale stays known: late updates must be refused.
        _ => {}
    }
}

/// After everything is healed: waits until all is as desired, and reads everything through every
/// manager.
pub(crate) async fn last(stage: Arc<Stage>, history: Arc<History>, begin: Duration) -> Ended {
    sleep(begin.saturating_sub(elapsed())).await;
    for via in 0..managers(&stage) {
        let mut caller = loop {
            match connect(&stage, via).await {
                Ok(caller) => break caller,
                Err(_) => sleep(LOOK_PERIOD).await,
            }
        };
        while !is_settled(&mut caller).await {
            sleep(LOOK_PERIOD).await;
        }
        for kind in [Kind::Config, Kind::Service] {
            read_all(&mut caller, &history, kind).await?;
        }
    }
    Ok(())
}

async fn is_settled(caller: &mut Caller) -> bool {
    let tables = timeout(CONNECT_TIME_MAX, caller.tables()).await;
    matches!(tables, Ok(Ok(state)) if as_desired(&state).is_ok())
}

async fn read_all(caller: &mut Caller, history: &History, kind: Kind) -> anyhow::Result<()> {
    let calls = history.of(kind);
    let names: BTreeSet<String> = calls.iter().map(|c| kind.model().key(&c.input)).collect();
    let invoked = now();
    let all: BTreeMap<_, _> = caller
        .list(kind, "")
        .await
        .context("read everything in the end")?
        .into_iter()
        .collect();
    let at = now();
    for name in names {
        let output = ObjectsOutput::Found(all.get(&name).cloned());
        let call = Call {
            client: LAST_CLIENT,
            invoked,
            input: ObjectsInput::Read { name },
            outcome: Outcome::Returned { at, output },
        };
        history.add(kind, call);
    }
    Ok(())
}
