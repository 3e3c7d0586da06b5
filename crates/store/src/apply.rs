//! Applying a transaction: the one way a state changes.

use std::sync::Arc;

use types::task::{TaskStatus, message};
use types::{
    Driver, Meta, Resource, Service, ServiceId, ServiceSpec, Task, TaskId, TaskState, Timestamp,
};

use crate::action::{Action, Key, NewTask, Object, Transaction};
use crate::change::{Change, Commit, Diff};
use crate::error::ApplyError;
use crate::record::Record;
use crate::state::{Revision, State};
use crate::table::{Replaced, Table};

impl State {
    /// Applies all actions of a transaction, or none.
    ///
    /// # Errors
    /// The first action that does not fit; the state is unchanged then. On a leader that is
    /// about to propose this refuses the transaction. On a manager that applies a committed
    /// entry it means that managers have diverged, and the manager must stop.
    pub fn apply(&mut self, tx: &Transaction) -> Result<Commit, ApplyError> {
        if tx.version != self.version + 1 {
            return Err(ApplyError::OutOfOrder {
                have: self.version,
                given: tx.version,
            });
        }
        let mut next = self.clone();
        next.version = tx.version;
        next.time = next.time.max(tx.at);
        let mut step = Step {
            state: &mut next,
            at: tx.at,
            changes: Vec::new(),
        };
        for action in &tx.actions {
            step.run(action)?;
        }
        let changes = step.changes;
        *self = next;
        Ok(Commit {
            version: tx.version,
            at: tx.at,
            changes,
        })
    }
}

/// A transaction being applied. An error leaves the state half changed: apply to a clone.
pub(crate) struct Step<'a> {
    state: &'a mut State,
    at: Timestamp,
    changes: Vec<Change>,
}

impl<'a> Step<'a> {
    /// Starts on a state whose version is already that of the transaction.
    pub(crate) fn new(state: &'a mut State, at: Timestamp) -> Self {
        Self {
            state,
            at,
            changes: Vec::new(),
        }
    }

    /// The same, adding to changes that were made before.
    pub(crate) fn after(state: &'a mut State, at: Timestamp, changes: Vec<Change>) -> Self {
        Self { state, at, changes }
    }

    /// What changed so far.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    pub(crate) fn run(&mut self, action: &Action) -> Result<(), ApplyError> {
        match action {
            Action::Create(object) => self.create(object),
            Action::Update(object) => self.update(object),
            Action::Remove(key) => self.remove(*key),
            Action::NewTask(new) => self.new_task(new),
            Action::Allocate { task } => self.allocate(*task),
            Action::Assign {
                task,
                node,
                generic,
                volumes,
            } => {
                let stamp = self.at;
                self.advance(*task, TaskState::Pending, TaskState::Assigned, |t| {
                    t.node_id = Some(*node);
                    t.assigned_generic_resources.clone_from(generic);
                    t.volumes.clone_from(volumes);
                    t.status = manager_status(
                        TaskState::Assigned,
                        "scheduler assigned task to node",
                        stamp,
                    );
                })
            }
            Action::Report { task, status } => self.report(*task, status),
            Action::Desire { task, state } => self.desire(*task, *state),
        }
    }

    fn changed(&mut self, change: Change) {
        change.count(&mut self.state.digest);
        self.changes.push(change);
    }

    fn stamp(&self) -> Meta {
        Meta {
            version: self.state.version,
            created_at: self.at,
            updated_at: self.at,
        }
    }

    fn create(&mut self, object: &Object) -> Result<(), ApplyError> {
        let stamp = self.stamp();
        let state = &mut *self.state;
        let change = match object {
            Object::Cluster(_) if !state.clusters.is_empty() => {
                return Err(ApplyError::SecondCluster);
            }
            Object::Cluster(row) => created(&mut state.clusters, row, stamp)?,
            Object::Node(row) => created(&mut state.nodes, row, stamp)?,
            Object::Service(row) => {
                state.keep_revision(row);
                created(&mut state.services, row, stamp)?
            }
            Object::Task(row) => {
                let task = state.share_spec(Task::clone(row));
                state.count_task(&task, true);
                Change::Task(Diff {
                    old: None,
                    new: Some(state.tasks.create(task, stamp)?),
                })
            }
            Object::Network(row) => created(&mut state.networks, row, stamp)?,
            Object::Secret(row) => created(&mut state.secrets, row, stamp)?,
            Object::Config(row) => created(&mut state.configs, row, stamp)?,
            Object::Volume(row) => created(&mut state.volumes, row, stamp)?,
            Object::Extension(row) => created(&mut state.extensions, row, stamp)?,
            Object::Resource(row) => {
                state.check_kind(row)?;
                created(&mut state.resources, row, stamp)?
            }
        };
        self.changed(change);
        Ok(())
    }

    fn update(&mut self, object: &Object) -> Result<(), ApplyError> {
        let stamp = self.stamp();
        let state = &mut *self.state;
        let change = match object {
            Object::Cluster(row) => updated(&mut state.clusters, row, stamp)?,
            Object::Node(row) => updated(&mut state.nodes, row, stamp)?,
            Object::Service(row) => {
                state.keep_revision(row);
                let change = updated(&mut state.services, row, stamp)?;
                state.drop_revisions(row.id);
                change
            }
            Object::Task(row) => {
                let task = state.share_spec(Task::clone(row));
                diff(state.tasks.update(task, stamp)?)
            }
            Object::Network(row) => updated(&mut state.networks, row, stamp)?,
            Object::Secret(row) => updated(&mut state.secrets, row, stamp)?,
            Object::Config(row) => updated(&mut state.configs, row, stamp)?,
            Object::Volume(row) => updated(&mut state.volumes, row, stamp)?,
            Object::Extension(row) => updated(&mut state.extensions, row, stamp)?,
            Object::Resource(row) => updated(&mut state.resources, row, stamp)?,
        };
        self.changed(change);
        Ok(())
    }

    fn remove(&mut self, key: Key) -> Result<(), ApplyError> {
        let state = &mut *self.state;
        let change = match key {
            Key::Cluster(id) => removed(&mut state.clusters, id)?,
            Key::Node(id) => removed(&mut state.nodes, id)?,
            Key::Service(id) => {
                let change = removed(&mut state.services, id)?;
                state.drop_revisions(id);
                change
            }
            Key::Task(id) => {
                let task = state.tasks.remove(id)?;
                state.count_task(&task, false);
                Change::Task(Diff {
                    old: Some(task),
                    new: None,
                })
            }
            Key::Network(id) => removed(&mut state.networks, id)?,
            Key::Secret(id) => removed(&mut state.secrets, id)?,
            Key::Config(id) => removed(&mut state.configs, id)?,
            Key::Volume(id) => removed(&mut state.volumes, id)?,
            Key::Extension(id) => removed(&mut state.extensions, id)?,
            Key::Resource(id) => removed(&mut state.resources, id)?,
        };
        self.changed(change);
        Ok(())
    }

    fn new_task(&mut self, new: &NewTask) -> Result<(), ApplyError> {
        let (service, version) = (new.service, new.spec_version);
        let revision = self.state.revision(service, version);
        let spec = revision
            .ok_or(ApplyError::NoRevision { service, version })?
            .spec
            .clone();
        let log_driver = self.default_log_driver(&spec);
        let task = Task {
            spec_version: Some(version),
            service_id: Some(service),
            slot: new.slot,
            node_id: new.node,
            status: manager_status(TaskState::New, "created", self.at),
            desired_state: new.desired_state,
            log_driver,
            job_iteration: new.job_iteration,
            ..Task::new(new.id, spec)
        };
        self.state.count_task(&task, true);
        let task = self.state.tasks.create(task, self.stamp())?;
        self.changed(Change::Task(Diff {
            old: None,
            new: Some(task),
        }));
        Ok(())
    }

    /// The cluster's log driver, for a task that names none. A task keeps the one it was made with.
    fn default_log_driver(&self, spec: &ServiceSpec) -> Option<Arc<Driver>> {
        if spec.task.log_driver.is_some() {
            return None;
        }
        let cluster = self.state.cluster()?;
        cluster.spec.default_log_driver.clone().map(Arc::new)
    }

    fn allocate(&mut self, id: TaskId) -> Result<(), ApplyError> {
        let task = self.state.tasks.expect(id)?;
        let service = task.service_id.and_then(|s| self.state.services.get(s));
        let endpoint = service.and_then(|s| s.endpoint.clone());
        let stamp = self.at;
        self.advance(id, TaskState::New, TaskState::Pending, |t| {
            t.endpoint = endpoint;
            t.status = manager_status(TaskState::Pending, "pending task scheduling", stamp);
        })
    }

    fn report(&mut self, id: TaskId, status: &TaskStatus) -> Result<(), ApplyError> {
        self.change(id, |t| {
            let (from, to) = (t.status.state, status.state);
            if to < from {
                return Err(ApplyError::Backwards { id, from, to });
            }
            t.status = status.clone();
            Ok(())
        })
    }

    fn desire(&mut self, id: TaskId, to: TaskState) -> Result<(), ApplyError> {
        self.change(id, |t| {
            let from = t.desired_state;
            if to < from {
                return Err(ApplyError::Backwards { id, from, to });
            }
            t.desired_state = to;
            Ok(())
        })
    }

    fn advance(
        &mut self,
        id: TaskId,
        from: TaskState,
        to: TaskState,
        edit: impl FnOnce(&mut Task),
    ) -> Result<(), ApplyError> {
        self.change(id, |t| {
            let have = t.status.state;
            if have != from {
                return Err(ApplyError::Backwards { id, from: have, to });
            }
            edit(t);
            Ok(())
        })
    }

    /// Changes a task, or leaves it as it is if `edit` fails.
    fn change(
        &mut self,
        id: TaskId,
        edit: impl FnOnce(&mut Task) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        let stamp = self.stamp();
        let replaced = self.state.tasks.change(id, stamp, |old| {
            let mut task = old.clone();
            edit(&mut task)?;
            Ok(task)
        })?;
        self.changed(diff(replaced));
        Ok(())
    }
}

impl State {
    fn check_kind(&self, row: &Resource) -> Result<(), ApplyError> {
        match self.extensions.by_name(&row.kind).next() {
            Some(_) => Ok(()),
            None => Err(ApplyError::NoKind {
                kind: row.kind.clone(),
            }),
        }
    }

    /// Keeps the specs of a service that tasks may be made from.
    pub(crate) fn keep_revision(&mut self, service: &Service) {
        let current = (service.spec_version, Some(&service.spec));
        let previous = service
            .previous_spec_version
            .map(|v| (v, service.previous_spec.as_ref()));
        for (version, spec) in [Some(current), previous].into_iter().flatten() {
            let Some(spec) = spec else { continue };
            let key = (service.id, version);
            if !self.revisions.contains_key(&key) {
                self.revisions.insert(
                    key,
                    Revision {
                        spec: spec.clone(),
                        tasks: 0,
                    },
                );
            }
        }
    }

    /// Forgets the specs of a service that nothing can need any more.
    fn drop_revisions(&mut self, id: ServiceId) {
        let needed = |version: u64| {
            self.services.get(id).is_some_and(|s| {
                s.spec_version == version || s.previous_spec_version == Some(version)
            })
        };
        let idle: Vec<_> = self
            .revisions
            .range((id, 0)..=(id, u64::MAX))
            .filter(|((_, version), r)| r.tasks == 0 && !needed(*version))
            .map(|(key, _)| *key)
            .collect();
        for key in idle {
            self.revisions.remove(&key);
        }
    }

    /// Makes a task share the spec that its revision holds.
    pub(crate) fn share_spec(&self, mut task: Task) -> Task {
        if let (Some(service), Some(version)) = (task.service_id, task.spec_version)
            && let Some(revision) = self.revision(service, version)
            && *revision.spec == *task.service_spec
        {
            task.service_spec = revision.spec.clone();
        }
        task
    }

    /// Counts a task in or out of the revision it was made from.
    pub(crate) fn count_task(&mut self, task: &Task, added: bool) {
        let (Some(service), Some(version)) = (task.service_id, task.spec_version) else {
            return;
        };
        let key = (service, version);
        let spec = || Arc::<ServiceSpec>::clone(&task.service_spec);
        let mut revision = match self.revisions.get(&key) {
            Some(revision) => revision.clone(),
            None => Revision {
                spec: spec(),
                tasks: 0,
            },
        };
        if added {
            revision.tasks += 1;
        } else {
            revision.tasks = revision.tasks.saturating_sub(1);
        }
        let idle = revision.tasks == 0;
        self.revisions.insert(key, revision);
        if idle {
            self.drop_revisions(service);
        }
    }
}

fn manager_status(state: TaskState, text: &'static str, at: Timestamp) -> TaskStatus {
    TaskStatus {
        timestamp: at,
        state,
        message: message(text),
        ..TaskStatus::default()
    }
}

fn created<T: Record>(table: &mut Table<T>, row: &Arc<T>, stamp: Meta) -> Result<Change, ApplyError>
where
    Diff<T>: Into<Change>,
{
    let new = table.create(T::clone(row), stamp)?;
    Ok(Diff {
        old: None,
        new: Some(new),
    }
    .into())
}

fn updated<T: Record>(table: &mut Table<T>, row: &Arc<T>, stamp: Meta) -> Result<Change, ApplyError>
where
    Diff<T>: Into<Change>,
{
    table.update(T::clone(row), stamp).map(diff)
}

fn removed<T: Record>(table: &mut Table<T>, id: T::Id) -> Result<Change, ApplyError>
where
    Diff<T>: Into<Change>,
{
    let old = table.remove(id)?;
    Ok(Diff {
        old: Some(old),
        new: None,
    }
    .into())
}

fn diff<T: Record>(replaced: Replaced<T>) -> Change
where
    Diff<T>: Into<Change>,
{
    Diff {
        old: Some(replaced.old),
        new: Some(replaced.new),
    }
    .into()
}
