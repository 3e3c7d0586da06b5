//! The leader's side of all agents, in the way of the manager's shell: carries the inputs and
//! effects of the real dispatcher, which sees committed tables only.

use std::collections::BTreeMap;
use std::sync::Arc;

use dispatcher::{
    Answer, Assignments, BatchId, CallError, CallId, Dispatcher, Effect, Input, Leadership,
    Manager, OpenSession, Outcome, StreamId,
};
use sim_script::params::MS;
use store::{Resume, State};
use types::{NodeId, Timestamp};

use crate::agent::{ToAgent, ToManager};
use crate::bugs::Bug;
use crate::host::{self, Waiter};
use crate::identity;
use crate::reign::ReignId;
use crate::world::{Event, ManagerEvent, World};

/// Commits handed to the dispatcher at a time.
const NEWS_COMMITS_MAX: usize = 256;

/// One agent's connection.
struct Link {
    agent: usize,
    session: StreamId,
    assignments: Option<(StreamId, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Heartbeat,
    Report(u64),
}

/// The dispatcher of a reign with what it talks to.
pub(crate) struct Serving {
    core: Dispatcher,
    view: State,
    seen: u64,
    news_due: bool,
    alarm: Option<u64>,
    links: BTreeMap<u64, Link>,
    streams: BTreeMap<StreamId, u64>,
    calls: BTreeMap<CallId, (u64, Call)>,
    /// Batches with how many proposals are open, and whether one failed.
    batches: BTreeMap<BatchId, (usize, bool)>,
    /// Assignments streams that wait for a majority: link, session and number.
    opening: BTreeMap<consensus::ReadId, (u64, (String, u64))>,
    next: u64,
}

impl Serving {
    pub(crate) fn new(
        (term, node): (u64, NodeId),
        managers: Arc<[Manager]>,
        view: &State,
        now: Timestamp,
    ) -> Self {
        let leadership = Leadership {
            term,
            node,
            managers,
        };
        Self {
            core: Dispatcher::new(leadership, view, now),
            view: view.clone(),
            seen: view.version(),
            news_due: false,
            alarm: None,
            links: BTreeMap::new(),
            streams: BTreeMap::new(),
            calls: BTreeMap::new(),
            batches: BTreeMap::new(),
            opening: BTreeMap::new(),
            next: 0,
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl World {
    /// The managers as agents are told of them.
    pub(crate) fn manager_list(&self, members: &consensus::Membership) -> Arc<[Manager]> {
        let known = members.members.keys();
        let hosts = known.filter_map(|id| self.hosts.get(host::index(*id)));
        let one = |h: &host::Host| Manager {
            node: h.node,
            addr: h.addr(),
            weight: dispatcher::limits::MANAGER_WEIGHT,
        };
        hosts.map(one).collect()
    }

    fn serving(&mut self, at: usize, epoch: u64) -> Option<&mut Serving> {
        let leading = self.leading(at)?;
        (leading.reign.epoch == epoch).then_some(&mut leading.serving)
    }

    /// The tables moved: the dispatcher's task reads the feed when it gets its turn.
    pub(crate) fn schedule_news(&mut self, at: usize) {
        let lag = self.rng.under(self.params.news_max);
        let Some(leading) = self.leading(at) else {
            return;
        };
        let epoch = leading.reign.epoch;
        if !std::mem::replace(&mut leading.serving.news_due, true) {
            self.schedule(at, lag, ManagerEvent::News(epoch));
        }
    }

    pub(crate) fn news(&mut self, at: usize, epoch: u64) {
        let bug = self.bug;
        let Some(process) = self.process(at) else {
            return;
        };
        let (committed, feed) = (process.state.clone(), &process.feed);
        let Some(leading) = process.reign.as_mut().filter(|l| l.reign.epoch == epoch) else {
            return;
        };
        let serving = &mut leading.serving;
        serving.news_due = false;
        let (news, state) = if bug == Some(Bug::ShowSpeculation) {
            let head = leading.view.head().clone();
            (leading.feed.after(serving.seen, NEWS_COMMITS_MAX), head)
        } else {
            (feed.after(serving.seen, NEWS_COMMITS_MAX), committed)
        };
        serving.view = state;
        match news {
            Resume::Commits(commits) => {
                let Some(last) = commits.last() else { return };
                serving.seen = last.version;
                let more = serving.seen < serving.view.version();
                for commit in commits {
                    self.feed(at, Input::Committed(commit));
                }
                if more {
                    self.schedule_news(at);
                }
            }
            Resume::Compacted => {
                serving.seen = serving.view.version();
                self.feed(at, Input::Resync);
            }
        }
    }

    /// One input of the dispatcher, and its effects.
    pub(crate) fn feed(&mut self, at: usize, input: Input) {
        let clock = self.clock(at);
        let mut rng = self.rng.clone();
        let Some(leading) = self.leading(at) else {
            return;
        };
        let serving = &mut leading.serving;
        let effects = serving.core.handle(input, &serving.view, clock, &mut rng);
        self.rng = rng;
        for effect in effects {
            self.carry_out(at, effect);
        }
        self.set_alarm(at);
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        let Some(leading) = self.leading(at) else {
            return;
        };
        let epoch = leading.reign.epoch;
        let serving = &mut leading.serving;
        match effect {
            Effect::Answer { call, result } => {
                if let Some((link, call)) = serving.calls.remove(&call) {
                    self.answer(at, link, call, result);
                }
            }
            Effect::SendSession { stream, message } => {
                if let Some(link) = serving.streams.get(&stream).copied() {
                    let session = message.session.to_string();
                    let told = ToAgent::Session(session, message.node.clone());
                    self.deliver_to_agent(at, link, told);
                }
                self.take_later(at, epoch, stream);
            }
            Effect::SendAssignments { stream, message } => {
                self.send_assignments(at, stream, message);
                self.take_later(at, epoch, stream);
            }
            Effect::Close { stream, error } => self.close(at, stream, &error),
            Effect::Propose { batch, mut plan } => {
                if self.bug == Some(Bug::NeverDown) {
                    crate::told::never_down(&mut plan);
                }
                let verdict = self.identities.hearsay.written(&plan);
                self.judge(verdict);
                let proposals = self.propose_plan(at, plan, |()| Waiter::Batch(batch));
                let open = proposals.len();
                if let Some(leading) = self.leading(at) {
                    leading.serving.batches.insert(batch, (open, false));
                }
                if open == 0 {
                    self.batch_done(at, batch, true);
                }
            }
        }
    }

    fn take_later(&mut self, at: usize, epoch: u64, stream: StreamId) {
        let lag = self.rng.under(self.params.agent_delay_max);
        self.schedule(at, lag, ManagerEvent::Taken(epoch, stream));
    }

    pub(crate) fn stream_taken(&mut self, at: usize, epoch: u64, stream: StreamId) {
        let serving = self.serving(at, epoch);
        if serving.is_some_and(|s| s.streams.contains_key(&stream)) {
            self.feed(at, Input::StreamReady { stream });
        }
    }

    fn answer(&mut self, at: usize, link: u64, call: Call, result: Result<Answer, CallError>) {
        let answer = match (call, result) {
            (Call::Heartbeat, Ok(Answer::Heartbeat { period })) => ToAgent::Heartbeat(period),
            (Call::Report(report), Ok(_)) => ToAgent::Reported(report, true),
            (Call::Report(report), Err(e)) if e.code() == dispatcher::Code::Unavailable => {
                ToAgent::Reported(report, false)
            }
            (_, Ok(_)) => return,
            (_, Err(e)) => ToAgent::Refused(e.to_string()),
        };
        self.deliver_to_agent(at, link, answer);
    }

    fn send_assignments(&mut self, at: usize, stream: StreamId, message: Assignments) {
        let Some(leading) = self.leading(at) else {
            return;
        };
        let serving = &leading.serving;
        let Some(link) = serving.streams.get(&stream).copied() else {
            return;
        };
        let side = serving.links.get(&link);
        let Some((agent, Some((_, generation)))) = side.map(|l| (l.agent, l.assignments)) else {
            return;
        };
        let view = serving.view.clone();
        let mut message = message;
        self.spoil_message(agent, &view, &mut message);
        self.check_told(agent, &view, &message);
        self.mark_message(&message);
        let version = view.version();
        let told = ToAgent::Assignments {
            generation,
            version,
            message,
        };
        self.deliver_to_agent(at, link, told);
    }

    fn close(&mut self, at: usize, stream: StreamId, error: &CallError) {
        let Some(leading) = self.leading(at) else {
            return;
        };
        let serving = &mut leading.serving;
        let Some(link) = serving.streams.remove(&stream) else {
            return;
        };
        // A stream replaced by the agent itself ends no session.
        let side = serving.links.get(&link);
        let is_current = side.is_some_and(|l| {
            l.session == stream || l.assignments.is_some_and(|(a, _)| a == stream)
        });
        if is_current {
            self.deliver_to_agent(at, link, ToAgent::Refused(error.to_string()));
        }
    }

    // Batches and alarms.

    pub(crate) fn batch_settled(
        &mut self,
        at: usize,
        reign: ReignId,
        batch: BatchId,
        outcome: host::Outcome,
    ) {
        let Some(leading) = self.leading(at).filter(|l| l.reign == reign) else {
            return;
        };
        let Some((open, failed)) = leading.serving.batches.get_mut(&batch) else {
            return;
        };
        *open -= 1;
        *failed |= outcome != host::Outcome::Committed;
        if *open == 0 || *failed {
            let good = !*failed;
            self.batch_done(at, batch, good);
        }
    }

    fn batch_done(&mut self, at: usize, batch: BatchId, good: bool) {
        let Some(leading) = self.leading(at) else {
            return;
        };
        leading.serving.batches.remove(&batch);
        let epoch = leading.reign.epoch;
        self.news(at, epoch);
        let outcome = if good {
            Outcome::Committed
        } else {
            Outcome::Refused
        };
        self.feed(at, Input::Settled { batch, outcome });
    }

    pub(crate) fn set_alarm(&mut self, at: usize) {
        let now = self.now;
        let Some(leading) = self.leading(at) else {
            return;
        };
        let epoch = leading.reign.epoch;
        let Some(wake) = leading.serving.core.wake_at() else {
            return;
        };
        let us = self.until_clock(at, wake);
        let due = now + us;
        let Some(leading) = self.leading(at) else {
            return;
        };
        if leading.serving.alarm.is_some_and(|a| a <= due) {
            return;
        }
        leading.serving.alarm = Some(due);
        self.schedule(at, us, ManagerEvent::Alarm(epoch));
    }

    pub(crate) fn alarm(&mut self, at: usize, epoch: u64) {
        let now = self.now;
        let Some(serving) = self.serving(at, epoch) else {
            return;
        };
        if serving.alarm.is_none_or(|a| a > now) {
            return;
        }
        serving.alarm = None;
        self.feed(at, Input::Tick);
    }

    // What agents send.

    pub(crate) fn at_manager(&mut self, at: usize, link: u64, call: ToManager) {
        if self.hosts[at].process.is_none() {
            return;
        }
        if self.hosts[at].paused_until > self.now {
            let wait = self.hosts[at].paused_until - self.now;
            return self.after(wait, Event::ToManager(at, link, Box::new(call)));
        }
        if self.leading(at).is_none() {
            if let ToManager::Open(agent, _) = call {
                self.send_to_agent(at, agent, link, ToAgent::Refused("not the leader".into()));
            }
            return;
        }
        if let Err((agent, why)) = self.check_caller(at, link, &call) {
            self.mark("an agent refused by the gate");
            return self.send_to_agent(at, agent, link, ToAgent::Refused(why));
        }
        match call {
            ToManager::Renew => {
                if let Some(node) = self.caller(at, link).map(|a| self.agents[a].node) {
                    self.renew(at, link, node);
                }
            }
            ToManager::Open(agent, description) => self.open(at, agent, link, description),
            ToManager::Closed => self.closed(at, link),
            ToManager::Assignments(session, generation) => {
                self.confirm_assignments(at, link, (session, generation));
            }
            ToManager::Heartbeat(session) => {
                let Some((node, call)) = self.new_call(at, link, Call::Heartbeat) else {
                    return;
                };
                self.feed(
                    at,
                    Input::Heartbeat {
                        call,
                        node,
                        session,
                    },
                );
            }
            ToManager::Report(session, report, updates) => {
                let Some((node, call)) = self.new_call(at, link, Call::Report(report)) else {
                    return;
                };
                let tables = self.leading(at).map(|l| l.serving.view.clone());
                let tables = tables.unwrap_or_default();
                self.identities.hearsay.said(&tables, node, &updates);
                self.feed(
                    at,
                    Input::UpdateStatus {
                        call,
                        node,
                        session,
                        updates,
                    },
                );
            }
        }
    }

    /// The agent on the other end of a link.
    fn caller(&mut self, at: usize, link: u64) -> Option<usize> {
        let links = &self.leading(at)?.serving.links;
        links.get(&link).map(|l| l.agent)
    }

    /// The gates; whom they refuse, and why.
    fn check_caller(
        &mut self,
        at: usize,
        link: u64,
        call: &ToManager,
    ) -> Result<(), (usize, String)> {
        let known = self.caller(at, link);
        let (agent, method) = match call {
            ToManager::Open(agent, _) => (Some(*agent), identity::SESSION),
            ToManager::Closed => return Ok(()),
            ToManager::Assignments(..) => (known, identity::ASSIGNMENTS),
            ToManager::Renew => (known, identity::RENEW),
            ToManager::Heartbeat(_) => (known, identity::HEARTBEAT),
            ToManager::Report(..) => (known, identity::REPORT),
        };
        let Some(agent) = agent else { return Ok(()) };
        let let_in = self.let_in(agent, at, method);
        let_in.map_err(|why| (agent, why))
    }

    fn open(
        &mut self,
        at: usize,
        agent: usize,
        link: u64,
        description: Arc<types::node::NodeDescription>,
    ) {
        let node = self.agents[agent].node;
        let Some(leading) = self.leading(at) else {
            return;
        };
        let serving = &mut leading.serving;
        let stream = StreamId(serving.fresh());
        serving.streams.insert(stream, link);
        serving.links.insert(
            link,
            Link {
                agent,
                session: stream,
                assignments: None,
            },
        );
        let open = OpenSession {
            stream,
            node,
            description: Some(description),
            session: String::new(),
            addr: format!("10.0.1.{agent}"),
        };
        self.feed(at, Input::OpenSession(open));
    }

    /// A complete set is sent only once a majority confirmed that this manager leads.
    fn confirm_assignments(&mut self, at: usize, link: u64, asked: (String, u64)) {
        if self.bug == Some(Bug::TrustOwnLeadership) {
            return self.open_assignments(at, link, asked.0, asked.1);
        }
        let id = consensus::ReadId(self.number());
        let Some(leading) = self.leading(at) else {
            return;
        };
        leading.serving.opening.insert(id, (link, asked));
        self.raft(at, consensus::Input::ReadIndex { id });
    }

    /// A majority confirmed, or not.
    pub(crate) fn confirmed(&mut self, at: usize, id: consensus::ReadId, leads: bool) {
        if self.read_confirmed(at, id, leads) {
            return;
        }
        let Some(leading) = self.leading(at) else {
            return;
        };
        let epoch = leading.reign.epoch;
        let Some((link, (session, generation))) = leading.serving.opening.remove(&id) else {
            return;
        };
        if !leads {
            self.mark("complete set refused by a manager that may be deposed");
            let why = "leadership is not confirmed".to_owned();
            return self.deliver_to_agent(at, link, ToAgent::Refused(why));
        }
        self.news(at, epoch);
        self.open_assignments(at, link, session, generation);
    }

    fn open_assignments(&mut self, at: usize, link: u64, session: String, generation: u64) {
        let Some(leading) = self.leading(at) else {
            return;
        };
        let serving = &mut leading.serving;
        let stream = StreamId(serving.fresh());
        let Some(side) = serving.links.get_mut(&link) else {
            return;
        };
        let old = side.assignments.replace((stream, generation));
        let agent = side.agent;
        serving.streams.insert(stream, link);
        if let Some((old, _)) = old {
            serving.streams.remove(&old);
            self.feed(at, Input::StreamClosed { stream: old });
        }
        let node = self.agents[agent].node;
        self.feed(
            at,
            Input::OpenAssignments {
                stream,
                node,
                session,
            },
        );
    }

    fn closed(&mut self, at: usize, link: u64) {
        let Some(leading) = self.leading(at) else {
            return;
        };
        let Some(side) = leading.serving.links.remove(&link) else {
            return;
        };
        let assignments = side.assignments.map(|(s, _)| s);
        for stream in [Some(side.session), assignments].into_iter().flatten() {
            if let Some(leading) = self.leading(at) {
                leading.serving.streams.remove(&stream);
            }
            self.feed(at, Input::StreamClosed { stream });
        }
    }

    fn new_call(&mut self, at: usize, link: u64, call: Call) -> Option<(NodeId, CallId)> {
        let serving = &mut self.leading(at)?.serving;
        let agent = serving.links.get(&link)?.agent;
        let id = CallId(serving.fresh());
        serving.calls.insert(id, (link, call));
        Some((self.agents[agent].node, id))
    }

    /// A reign is over: its streams end.
    pub(crate) fn links_end(&mut self, serving: Serving) {
        for (id, link) in serving.links {
            let lag = self.rng.between(MS, 50 * MS);
            let end = ToAgent::Refused("this manager is not the leader".into());
            self.after(lag, Event::ToAgent(link.agent, id, Box::new(end)));
        }
    }

    pub(crate) fn deliver_to_agent(&mut self, at: usize, link: u64, answer: ToAgent) {
        let Some(leading) = self.leading(at) else {
            return;
        };
        let Some(agent) = leading.serving.links.get(&link).map(|l| l.agent) else {
            return;
        };
        self.send_to_agent(at, agent, link, answer);
    }
}
