//! Carries moves out: tasks that would be better placed elsewhere are replaced, a few at a time.
//!
//! Which tasks those are is asked of [`scheduler::rebalance`] anew each time; a move is made by
//! the same step as an update of its slot, after which the slot's own reconciler goes on with it.
//! So there is no list of moves under way: a new leader sees the same slots and goes on.
//!
//! A service has at most as many slots without a settled task as its update policy allows at a
//! time, whatever the reason they are unsettled for: a service that is short of tasks is not moved.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scheduler::Failures;
use scheduler::rebalance::{self as planner, Move, Scope};
use store::{Action, Change, Object, Plan, State, Step};
use types::defaults::UPDATE_MONITOR;
use types::options::{Rebalance, Rebalancing};
use types::{Cluster, Entropy, Service, ServiceId, ServiceMode, SlotKey, TaskState, Timestamp};

use crate::ground::Ground;
use crate::slot::{Slot, reached_at};
use crate::update;

/// Least time between two looks: a look costs as much as a new scheduler.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Most moves that one look plans for services that level themselves.
const AUTO_MOVES_MAX: usize = 100;

/// How long a request goes on without a move: what has not settled by then will not let it.
pub const REQUEST_IDLE_MAX: Duration = Duration::from_secs(600);

/// Moves tasks of services that level themselves, and of all when somebody asked for it.
#[derive(Debug, Default)]
pub struct Rebalancer {
    /// Something changed since the last look.
    stale: bool,
    looked_at: Timestamp,
    /// When to look again although nothing changed.
    wake_at: Option<Timestamp>,
    /// Services that the last look was about; `None` is all.
    watched: Option<BTreeSet<ServiceId>>,
    /// What the scheduler knows of nodes where tasks keep failing.
    failures: Failures,
}

/// What there is to level.
struct Work<'a> {
    autos: BTreeSet<ServiceId>,
    request: Option<(&'a Cluster, Rebalancing)>,
}

/// How much of a service may be moved now.
#[derive(Debug, Default)]
struct Room {
    moves: u64,
    /// When a slot that is not settled now will be, if all goes well.
    settled_at: Option<Timestamp>,
}

// === impl Rebalancer ===

impl Rebalancer {
    /// A stage that has everything to look at.
    pub fn new(view: &State, now: Timestamp) -> Self {
        Self {
            stale: true,
            failures: Failures::new(view, now),
            ..Self::default()
        }
    }

    /// Notes whether to look again.
    pub fn observe(&mut self, change: &Change) {
        self.failures.observe(change);
        let watched = |id| self.watched.as_ref().is_none_or(|all| all.contains(&id));
        self.stale |= match change {
            Change::Cluster(_) | Change::Service(_) => true,
            Change::Node(_) => self.watched.as_ref().is_none_or(|all| !all.is_empty()),
            Change::Task(diff) => diff.latest().service_id.is_some_and(watched),
            _ => false,
        };
    }

    /// The moves to make now.
    pub fn plan(&mut self, view: &State, now: Timestamp, entropy: &mut dyn Entropy) -> Plan {
        let mut plan = Plan::default();
        let due = self.wake_at.is_some_and(|at| at <= now);
        if self.stale || due {
            let next = self.looked_at.plus(LOOK_INTERVAL);
            if next > now && self.looked_at.is_set() {
                plan.wake(next);
                return plan;
            }
            self.stale = false;
            self.wake_at = None;
            self.look(view, now, entropy, &mut plan);
        }
        if let Some(at) = self.wake_at {
            plan.wake(at);
        }
        plan
    }

    fn look(&mut self, view: &State, now: Timestamp, entropy: &mut dyn Entropy, plan: &mut Plan) {
        let work = Work::of(view);
        self.watched = match work.request {
            Some(_) => None,
            None => Some(work.autos.clone()),
        };
        if work.request.is_none() && work.autos.is_empty() {
            return;
        }
        self.looked_at = now;
        self.failures.expire(now);
        let mut look = Look {
            view,
            now,
            failures: &self.failures,
            entropy,
            rooms: BTreeMap::new(),
            wake_at: None,
        };
        if let Some((cluster, request)) = work.request {
            plan.steps.extend(look.go_on(cluster, request));
        }
        // What a request is about, it is about alone: a slot is moved once.
        let asked = work.request.map(|(_, request)| request.service);
        let free = |id: &ServiceId| asked.is_none_or(|only| only.is_some_and(|s| s != *id));
        let scope = Scope {
            services: Some(work.autos.into_iter().filter(free).collect()),
            overall: false,
            moves_max: AUTO_MOVES_MAX,
        };
        for found in &planner::plan_knowing(view, &scope, &self.failures).moves {
            plan.steps.extend(look.make(found));
        }
        self.wake_at = look.wake_at;
    }
}

/// One look at what there is to level.
struct Look<'a> {
    view: &'a State,
    now: Timestamp,
    failures: &'a Failures,
    entropy: &'a mut dyn Entropy,
    rooms: BTreeMap<ServiceId, Room>,
    wake_at: Option<Timestamp>,
}

impl Look<'_> {
    /// Makes the moves of a request that may be made now, and counts them; or ends it.
    fn go_on(&mut self, cluster: &Cluster, request: Rebalancing) -> Option<Step> {
        let outlook = planner::plan_knowing(self.view, &scope_of(&request), self.failures);
        let mut step = Step::default();
        let mut made = 0;
        for found in &outlook.moves {
            if let Some(replaced) = self.make(found) {
                step.guards.extend(replaced.guards);
                step.actions.extend(replaced.actions);
                made += 1;
            }
        }
        let idle_until = cluster.meta.updated_at.plus(REQUEST_IDLE_MAX);
        let blocked = !outlook.moves.is_empty() && idle_until > self.now;
        let settles_at = self.settling(&request);
        if made == 0 && (blocked || settles_at.is_some()) {
            self.wake(idle_until);
            settles_at.into_iter().for_each(|at| self.wake(at));
            return None;
        }
        let mut cluster = cluster.clone();
        cluster.spec.options.rebalancing = (made > 0).then_some(Rebalancing {
            moves_left: request.moves_left.saturating_sub(made),
            ..request
        });
        step.actions.push(Action::Update(Object::from(cluster)));
        Some(step)
    }

    /// Until when to wait for tasks that were made since the request and do not run yet.
    fn settling(&self, request: &Rebalancing) -> Option<Timestamp> {
        let in_scope = |id| request.service.is_none_or(|only| only == id);
        let fresh = self.view.tasks().iter().filter(|t| {
            t.is_runnable()
                && t.status.state < TaskState::Running
                && t.meta.created_at >= request.asked_at
                && t.service_id.is_some_and(in_scope)
        });
        let until = fresh.map(|t| t.meta.created_at.plus(REQUEST_IDLE_MAX));
        until.max().filter(|at| *at > self.now)
    }

    /// The step that makes a move, if its service allows one more now.
    fn make(&mut self, found: &Move) -> Option<Step> {
        let service = self.view.services().get(found.service)?;
        let ground = Ground::new(self.view, service, self.now);
        let room = self.rooms.entry(service.id);
        let room = room.or_insert_with(|| Room::of(&ground));
        if room.moves == 0 {
            let settled_at = room.settled_at;
            settled_at.into_iter().for_each(|at| self.wake(at));
            return None;
        }
        let slot = Slot::read(&ground, SlotKey::Number(found.slot));
        let newest = slot.newest();
        if newest.is_none_or(|t| t.id != found.task || ground.is_outdated(t)) {
            return None;
        }
        room.moves -= 1;
        Some(update::replace(&ground, &slot, self.entropy))
    }

    fn wake(&mut self, at: Timestamp) {
        if at > self.now {
            self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
        }
    }
}

fn scope_of(request: &Rebalancing) -> Scope {
    Scope {
        services: request.service.map(|id| [id].into()),
        overall: true,
        moves_max: usize::try_from(request.moves_left).unwrap_or(usize::MAX),
    }
}

// === impl Work ===

impl<'a> Work<'a> {
    fn of(view: &'a State) -> Self {
        let auto = |s: &Service| s.spec.options.rebalance == Rebalance::Auto;
        let services = view.services().iter();
        let cluster = view.cluster().map(AsRef::as_ref);
        Self {
            autos: services.filter(|s| auto(s)).map(|s| s.id).collect(),
            request: cluster.and_then(|c| Some((c, c.spec.options.rebalancing?))),
        }
    }
}

// === impl Room ===

impl Room {
    /// A slot is settled when one task fills it and has run for the delay and the monitor period
    /// of the update policy.
    fn of(ground: &Ground<'_>) -> Self {
        let ServiceMode::Replicated { replicas } = ground.service.spec.mode else {
            return Self::default();
        };
        let config = ground.update_config();
        let watched = config.delay.max(config.monitor.unwrap_or(UPDATE_MONITOR));
        let mut settled = 0;
        let mut settled_at: Option<Timestamp> = None;
        for slot in Slot::read_all(ground) {
            let mut wanted = slot.tasks().filter(|t| ground.is_wanted(t));
            let (Some(task), None) = (wanted.next(), wanted.next()) else {
                continue;
            };
            if task.status.state != TaskState::Running || ground.is_lost(task) {
                continue;
            }
            let at = reached_at(task).plus(watched);
            if at <= ground.now {
                settled += 1;
            } else {
                settled_at = Some(settled_at.map_or(at, |known| known.min(at)));
            }
        }
        let most = match config.parallelism {
            0 => u64::MAX,
            n => n,
        };
        Self {
            moves: most.saturating_sub(replicas.saturating_sub(settled)),
            settled_at,
        }
    }
}
