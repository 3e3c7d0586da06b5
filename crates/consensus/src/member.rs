//! The state machine of one member.
//!
//! Inputs go straight to the raft library; what it then wants done is collected, ordered and given
//! out by [`Consensus::ready`]. Never does anything itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use raft::{RawNode, SnapshotStatus, StateRole};

use crate::codec;
use crate::config::{COMMIT_WRITE_TICKS, Config, FAREWELL_TICKS, FORGOTTEN_TICKS, UNHEARD_TICKS};
use crate::convert;
use crate::log::MemLog;
use crate::logger;
use crate::outbox::Outbox;
use crate::requests::Requests;
use crate::start::{self, StartError};
use crate::types::{
    Apply, Committed, Effects, EntryKind, HardState, Input, MemberChange, Membership, Message,
    MessageKind, Payload, Persist, RaftId, Rejected, Removal, Restored, Role, SnapshotMeta, Status,
};
use crate::validate::{self, Receiver};
use crate::{ProposalId, RequestId};

/// One raft member.
pub struct Consensus {
    pub(crate) config: Config,
    pub(crate) raw: RawNode<MemLog>,
    pub(crate) requests: Requests,
    pub(crate) effects: Effects,
    /// Membership as of the newest entry handed out.
    pub(crate) membership: Arc<Membership>,
    /// Set while this member leads.
    pub(crate) lead: Option<Lead>,
    /// Ticks since the start.
    pub(crate) ticks: u64,
    outbox: Outbox,
    /// Memberships that begin after `applied`, and the one valid there in front.
    memberships: VecDeque<(u64, Arc<Membership>)>,
    /// What the caller's state contains.
    applied: u64,
    /// What was given out for applying.
    handed_out: u64,
    /// Hard state as given to the writer.
    written: HardState,
    /// Ticks for which the commit index has been newer than the written one.
    commit_unwritten_ticks: u64,
    removal: Removal,
    /// Index of the newest entry that removed a member.
    removed_until: u64,
    /// When a leader was last heard, in ticks.
    led_at: u64,
    status: Option<Status>,
}

/// One leadership.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) term: u64,
    /// Index of the empty entry that began it.
    pub(crate) start: u64,
    /// When each member last answered, in ticks.
    pub(crate) heard: BTreeMap<RaftId, u64>,
}

// === impl Consensus ===

impl Consensus {
    /// Starts a member from what its disk holds. The caller's state contains the snapshot of
    /// `restored`, or nothing if there is none; [`Consensus::ready`] hands out the rest.
    pub fn new(config: Config, restored: Restored) -> Result<Self, StartError> {
        let snapshot = restored.snapshot.clone();
        let written = restored.hard_state;
        let log = start::checked_log(restored, &config.limits)?;
        let applied = log.snapshot_index();
        let raft_config = config.raft_config(applied);
        let commit = written.commit.max(applied);
        let raw = RawNode::new(&raft_config, log, &logger::logger(&config))
            .map_err(|e| StartError::Library(e.to_string()))?;
        let membership = Arc::new(snapshot.map_or_else(Membership::default, |s| s.membership));
        let mut member = Self {
            raw,
            requests: Requests::default(),
            effects: Effects::default(),
            memberships: VecDeque::from([(applied, membership.clone())]),
            membership,
            lead: None,
            ticks: 0,
            outbox: Outbox::new(commit),
            applied,
            handed_out: applied,
            written,
            commit_unwritten_ticks: 0,
            removal: Removal::No,
            removed_until: applied,
            led_at: 0,
            status: None,
            config,
        };
        if member.membership.removed.contains(&member.config.raft_id) {
            member.note_removal(Removal::Lingering);
        }
        member.observe();
        Ok(member)
    }

    /// Takes one input. Its effects come with the next [`Consensus::ready`].
    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Tick => self.tick(),
            Input::Step(message) => self.step(message),
            Input::Propose { id, term, data } => {
                if let Err(reason) = self.propose(id, term, data) {
                    self.reject(id, reason);
                }
            }
            Input::ReadIndex { id } => {
                if let Err(reason) = self.check_leads().and_then(|()| self.requests.read(id)) {
                    self.reject(id, reason);
                }
            }
            Input::Change { id, change } => {
                if let Err(reason) = self.change(id, &change) {
                    self.reject(id, reason);
                }
            }
            Input::TransferLeader { id, to } => {
                if let Err(reason) = self.transfer(to) {
                    self.reject(id, reason);
                }
            }
            Input::Persisted { number } => self.persisted(number),
            Input::Applied { index } => self.applied(index),
            Input::Unreachable(id) => self.raw.report_unreachable(id.get()),
            Input::SnapshotSent { to, ok } => {
                let status = if ok {
                    SnapshotStatus::Finish
                } else {
                    SnapshotStatus::Failure
                };
                self.raw.report_snapshot(to.get(), status);
            }
            Input::Compact {
                snapshot,
                keep_entries,
            } => {
                assert!(
                    snapshot.index <= self.applied,
                    "a snapshot holds what was applied"
                );
                self.raw.mut_store().compact(snapshot, keep_entries);
            }
            Input::ToldRemoved { by } => {
                debug_assert_ne!(by, self.config.raft_id, "others say so");
                self.note_removal(Removal::Done);
            }
        }
        self.observe();
    }

    /// What is to be done next, until there is nothing.
    pub fn ready(&mut self) -> Option<Effects> {
        self.ask_for_reads();
        if self.raw.has_ready() || self.commit_unwritten_ticks >= COMMIT_WRITE_TICKS {
            self.collect();
        }
        self.give_up_on_lost();
        self.effects.reads = self.requests.readable(self.applied);
        self.effects.want_snapshot |= self.wants_snapshot();
        self.effects.status = self.changed_status();
        (!self.effects.is_empty()).then(|| std::mem::take(&mut self.effects))
    }

    /// What a snapshot of the caller's state contains now; none before anything was applied.
    pub fn snapshot_meta(&self) -> Option<SnapshotMeta> {
        let term = self
            .raw
            .raft
            .raft_log
            .term(self.applied)
            .ok()
            .filter(|term| *term > 0)?;
        let (_, membership) = self.memberships.front()?;
        Some(SnapshotMeta {
            index: self.applied,
            term,
            membership: Membership::clone(membership),
        })
    }

    /// First index that the log still has. After [`Input::Compact`], entries before it that the
    /// snapshot covers may be dropped from disk; never any behind its end, because a newer
    /// snapshot may have been received and not yet be durable.
    pub fn first_index(&self) -> u64 {
        self.raw.store().first()
    }

    /// Last index of the log, durable or not.
    pub fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// Highest index known to be committed.
    pub fn commit_index(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// The status as of now.
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let ready = self.lead.as_ref().filter(|lead| lead.start <= self.applied);
        Status {
            raft_id: self.config.raft_id,
            role: role(raft.state),
            term: raft.term,
            leader: RaftId::new(raft.leader_id),
            ready_term: ready.map(|lead| lead.term),
            transferring_to: raft.lead_transferee.and_then(RaftId::new),
            membership: self.membership.clone(),
            removal: self.removal,
        }
    }

    pub(crate) fn reject(
        &mut self,
        id: impl Into<crate::types::RequestId>,
        reason: impl Into<Rejected>,
    ) {
        self.effects.rejected.push((id.into(), reason.into()));
    }

    fn tick(&mut self) {
        self.ticks += 1;
        if self.is_unheard() {
            self.note_removal(Removal::Done);
        }
        let asks = self.removal == Removal::Lingering || self.is_forgotten();
        if asks && self.ticks.is_multiple_of(FAREWELL_TICKS) {
            self.ask_to_leave();
        }
        let unwritten = self.raw.raft.raft_log.committed > self.written.commit;
        self.commit_unwritten_ticks = if unwritten {
            self.commit_unwritten_ticks + 1
        } else {
            0
        };
        if !self.may_campaign() {
            return;
        }
        if self.wins_alone() {
            // Refused only where there is nothing to win; the next tick tries again.
            let _ = self.raw.campaign();
        } else {
            self.raw.tick();
        }
    }

    /// Whether this member may have been removed without hearing of it: a voter that hears of no
    /// leader campaigns, and is told; a learner would wait for ever.
    fn is_forgotten(&self) -> bool {
        let learns = self.membership.learners.contains(&self.config.raft_id);
        learns && self.ticks >= self.led_at + FORGOTTEN_TICKS
    }

    /// Whether this member waits in vain for the log of those who let it in. One that has any of
    /// it must never give up by itself, even if it does not know who the members are: it may have
    /// been made a voter since, see [`Self::check_promote`].
    fn is_unheard(&self) -> bool {
        self.last_index() == 0 && self.ticks >= self.led_at + UNHEARD_TICKS
    }

    /// Whether this member is the only voter and does not lead: nobody else can, so there is
    /// nothing to wait for.
    fn wins_alone(&self) -> bool {
        let raft = &self.raw.raft;
        let voters = &self.membership.voters;
        raft.state == StateRole::Follower
            && raft.prs().is_singleton()
            && voters.len() == 1
            && voters.contains(&self.config.raft_id)
    }

    /// Whether this very proposal, handed in last, was refused at once.
    pub fn has_refused(&self, id: ProposalId) -> bool {
        let last = self.effects.rejected.last();
        last.is_some_and(|(refused, _)| *refused == RequestId::Proposal(id))
    }

    /// Whether an election may begin now, as far as the disk is concerned. A leader always ticks.
    ///
    /// While a received snapshot is being written the library's log has no entries that it would
    /// look at; and a sole voter wins at once, for which its log must be durable. In both cases
    /// time stands still for as long as the disk takes.
    fn may_campaign(&self) -> bool {
        let raft = &self.raw.raft;
        let sole = raft.prs().is_singleton() && !self.outbox.is_durable();
        raft.state == StateRole::Leader || !(self.outbox.is_installing() || sole)
    }

    fn step(&mut self, message: Message) {
        let from = message.from;
        if self.membership.removed.contains(&from) {
            if self.may_tell_removed() {
                self.effects.tell_removed.insert(from);
            }
            return;
        }
        let raft = &self.raw.raft;
        let receiver = Receiver {
            raft_id: self.config.raft_id,
            term: raft.term,
            is_leader: raft.state == StateRole::Leader,
            log: &raft.raft_log,
            limits: &self.config.limits,
        };
        if let Err(reason) = validate::check(&message, &receiver) {
            self.effects.refused.push((from, reason));
            return;
        }
        if message.kind == MessageKind::TimeoutNow && !self.may_campaign() {
            return;
        }
        self.note_heard(&message);
        if self.is_late_reject(&message) {
            return;
        }
        // The only error is an answer from somebody who is not a member; nothing depends on it.
        let _ = self.raw.step(convert::message_to_raft(message));
    }

    /// Whether a removed member may go as far as this one knows: it must have one voter that still
    /// knows of the removal after a restart. Until then the old configuration may have to elect
    /// once more, and two voters cannot do so when one of them is gone.
    fn may_tell_removed(&self) -> bool {
        let votes = self.membership.voters.contains(&self.config.raft_id);
        votes && self.outbox.durable_commit() >= self.removed_until
    }

    /// Speaks to every voter, so that one of them answers that this member was removed. The message
    /// itself says nothing: to those who do not know of the removal yet it is an answer to a
    /// heartbeat.
    fn ask_to_leave(&mut self) {
        let raft = &self.raw.raft;
        let (from, term, commit) = (self.config.raft_id, raft.term, raft.raft_log.committed);
        for to in self.membership.voters.clone() {
            let kind = MessageKind::HeartbeatResponse;
            let message = Message {
                commit,
                ..Message::empty(kind, from, to, term)
            };
            self.outbox.post(message, &mut self.effects.send);
        }
    }

    fn note_heard(&mut self, message: &Message) {
        if matches!(
            message.kind,
            MessageKind::Append | MessageKind::Heartbeat | MessageKind::Snapshot
        ) {
            self.led_at = self.ticks;
        }
        let is_answer = matches!(
            message.kind,
            MessageKind::AppendResponse | MessageKind::HeartbeatResponse
        );
        if let Some(lead) = self
            .lead
            .as_mut()
            .filter(|l| is_answer && l.term == message.term)
        {
            lead.heard.insert(message.from, self.ticks);
        }
    }

    /// Whether a message refuses an entry that the same member has since acknowledged. Taken at its
    /// word it would make the library send from below what is matched.
    fn is_late_reject(&self, message: &Message) -> bool {
        let progress = self.raw.raft.prs().get(message.from.get());
        message.kind == MessageKind::AppendResponse
            && message.reject
            && message.term == self.raw.raft.term
            && progress.is_some_and(|p| message.index <= p.matched)
    }

    fn persisted(&mut self, number: u64) {
        let installed = self.outbox.durable(number, &mut self.effects.send);
        self.raw.on_persist_ready(number);
        if let Some(snapshot) = installed {
            // Nothing between the old log and the snapshot will ever be applied.
            self.raw.advance_apply_to(snapshot.index);
            self.effects.apply.push(Apply::Snapshot(snapshot));
        }
    }

    fn applied(&mut self, index: u64) {
        assert!(
            index <= self.handed_out,
            "entry {index} was applied before it was handed out"
        );
        if index <= self.applied {
            return;
        }
        self.applied = index;
        if index > self.raw.raft.raft_log.applied {
            self.raw.advance_apply_to(index);
        }
        while self
            .memberships
            .get(1)
            .is_some_and(|(from, _)| *from <= index)
        {
            self.memberships.pop_front();
        }
    }

    /// After every contact with the library: it may have drawn a random timeout or changed role.
    fn observe(&mut self) {
        let raft = &mut self.raw.raft;
        let timeout = self.config.election_timeout_ticks(raft.term);
        raft.set_randomized_election_timeout(timeout);
        let leads = (raft.state == StateRole::Leader).then_some(raft.term);
        if leads == self.lead.as_ref().map(|lead| lead.term) {
            return;
        }
        let leader = RaftId::new(raft.leader_id);
        // A new leader's last entry is the empty one that began its term.
        let start = raft.raft_log.last_index();
        self.lead = leads.map(|term| Lead {
            term,
            start,
            heard: BTreeMap::new(),
        });
        for id in self.requests.forget_reads() {
            self.reject(id, Rejected::NotLeader { leader });
        }
    }

    fn ask_for_reads(&mut self) {
        let raft = &self.raw.raft;
        // Before that the library drops the question.
        let may_ask = raft.state == StateRole::Leader && raft.commit_to_current_term();
        if let Some(question) = may_ask.then(|| self.requests.next_question()).flatten() {
            self.raw.read_index(question.to_be_bytes().to_vec());
        }
    }

    /// One round with the library.
    fn collect(&mut self) {
        let mut ready = self.raw.ready();
        let number = ready.number();
        let snapshot = Some(ready.snapshot())
            .filter(|s| s.get_metadata().index > 0)
            .map(convert::snapshot_from_raft);
        let entries = ready.take_entries();
        self.write(number, ready.must_sync(), snapshot, &entries);

        let mut messages = ready.take_messages();
        messages.append(&mut ready.take_persisted_messages());
        for message in &messages {
            let bytes_max = self.config.limits.message_bytes_max;
            convert::message_from_raft(message, bytes_max, |part| {
                self.outbox.post(part, &mut self.effects.send);
            });
        }
        for read in ready.take_read_states() {
            let question = read.request_ctx.try_into().map_or(0, u64::from_be_bytes);
            self.requests.answered(question, read.index);
        }
        let committed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        if self.outbox.is_durable() {
            self.raw.on_persist_ready(number);
        }
        for entry in &committed {
            self.hand_out(entry);
        }
        self.observe();
    }

    /// Gives what must be durable to the writer. The commit index alone is worth a write only when
    /// no other write has carried it along for a while.
    fn write(
        &mut self,
        number: u64,
        must_sync: bool,
        snapshot: Option<SnapshotMeta>,
        entries: &[raft::eraftpb::Entry],
    ) {
        let hard_state = convert::hard_state_from_raft(&self.raw.raft.hard_state());
        let is_due = self.commit_unwritten_ticks >= COMMIT_WRITE_TICKS;
        self.commit_unwritten_ticks = if is_due {
            0
        } else {
            self.commit_unwritten_ticks
        };
        if !must_sync && (!is_due || hard_state == self.written) {
            return;
        }
        let of_vote = |state: HardState| (state.term, state.vote);
        let changes_vote = of_vote(hard_state) != of_vote(self.written);
        self.outbox.wrote(number, changes_vote, hard_state.commit);
        if let Some(meta) = &snapshot {
            self.raw.mut_store().install(meta.clone());
            self.outbox.wrote_snapshot(number, meta.clone());
            self.handed_out = meta.index;
            self.removed_until = meta.index;
            self.set_membership(meta.index, Arc::new(meta.membership.clone()));
        }
        self.raw.mut_store().append(entries);
        self.effects.persist = Some(Persist {
            number,
            snapshot,
            entries: entries.iter().map(convert::entry_from_raft).collect(),
            hard_state: (hard_state != self.written).then_some(hard_state),
        });
        self.written = hard_state;
        self.commit_unwritten_ticks = 0;
    }

    fn hand_out(&mut self, raft_entry: &raft::eraftpb::Entry) {
        let entry = convert::entry_from_raft(raft_entry);
        assert_eq!(
            entry.index,
            self.handed_out + 1,
            "entries are handed out without a hole"
        );
        self.handed_out = entry.index;
        let id = self.requests.committed(entry.index, entry.term);
        let payload = match entry.kind {
            EntryKind::Normal if entry.data.is_empty() => Payload::Empty,
            EntryKind::Normal => Payload::Normal(entry.data),
            EntryKind::ConfChange => {
                let change = codec::decode_change(&entry.data)
                    .expect("changes are read when they are received or restored");
                self.apply_change(entry.index, &change);
                Payload::Membership(self.membership.clone())
            }
        };
        let (index, term) = (entry.index, entry.term);
        self.effects.apply.push(Apply::Entry(Committed {
            index,
            term,
            id,
            payload,
        }));
    }

    fn apply_change(&mut self, index: u64, change: &MemberChange) {
        let mut membership = Membership::clone(&self.membership);
        let raft_change = membership.apply(change);
        self.set_membership(index, Arc::new(membership));
        if matches!(change, MemberChange::Remove(_)) {
            self.removed_until = index;
            // Nobody may be told before this is on disk.
            self.commit_unwritten_ticks = COMMIT_WRITE_TICKS;
        }
        if let Some(conf_change) = raft_change.conf_change() {
            self.raw
                .apply_conf_change(&conf_change)
                .expect("our membership and the library's change in the same steps");
        }
    }

    fn set_membership(&mut self, index: u64, membership: Arc<Membership>) {
        self.memberships.push_back((index, membership.clone()));
        self.membership = membership;
        if self.membership.removed.contains(&self.config.raft_id) {
            self.note_removal(Removal::Lingering);
        }
    }

    fn note_removal(&mut self, removal: Removal) {
        self.removal = self.removal.max(removal);
        // The library lets a leader that is no member go on, and then looks for its progress.
        if self.raw.raft.state == StateRole::Leader {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, 0);
        }
    }

    /// Proposals of a leadership that is over. Those that were committed have been taken out
    /// before.
    fn give_up_on_lost(&mut self) {
        let leads = self.lead.as_ref().map(|lead| lead.term);
        let leader = RaftId::new(self.raw.raft.leader_id);
        for id in self.requests.forget_proposals(leads) {
            self.reject(id, Rejected::LostLeadership { leader });
        }
    }

    /// Whether a snapshot taken now would help a member that lacks one.
    fn wants_snapshot(&mut self) -> bool {
        let wanted_by = self.raw.mut_store().take_wanted_by();
        let (_, membership) = self
            .memberships
            .front()
            .expect("the applied one is always there");
        let is_newer = self.applied > self.raw.store().snapshot_index();
        is_newer
            && wanted_by
                .iter()
                .any(|id| membership.members.contains_key(id))
    }

    fn changed_status(&mut self) -> Option<Status> {
        let status = self.status();
        if self.status.as_ref() == Some(&status) {
            return None;
        }
        self.status = Some(status.clone());
        Some(status)
    }
}

fn role(state: StateRole) -> Role {
    match state {
        StateRole::Follower => Role::Follower,
        StateRole::PreCandidate => Role::PreCandidate,
        StateRole::Candidate => Role::Candidate,
        StateRole::Leader => Role::Leader,
    }
}
