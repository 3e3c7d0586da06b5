//! Nodes with what their tasks take, kept as ordered sets and counts.
//!
//! Every update costs what changed, not what there is. The index only follows: it never decides,
//! and what it holds is a function of the nodes and tasks it was told of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use types::{Node, NodeId, ServiceId, Task};

use crate::account::Account;
use crate::images;
use crate::requirements::Load;

/// Place of a node in the index; small and dense, and reused after the node is gone.
pub(crate) type Place = u32;

/// The service that tasks are counted under; tasks without one are counted together.
pub(crate) type ServiceKey = Option<ServiceId>;

/// Changes that are remembered at least; otherwise as many as there are nodes.
const LOG_MIN: usize = 1_000;

/// A node and what its tasks take.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Id.
    pub(crate) id: NodeId,
    /// The node; `None` while only tasks refer to it.
    pub(crate) node: Option<Arc<Node>>,
    /// What its tasks take.
    pub(crate) account: Account,
    /// Images that it says it holds.
    images: Vec<String>,
    /// Where the log names it last.
    logged: u64,
    dirty: bool,
}

/// Places in the order in which they changed, for those who keep an order of nodes.
#[derive(Debug)]
struct Log {
    /// Position of the first place that is kept.
    first: u64,
    places: VecDeque<Place>,
    /// The furthest that anybody has read. What is named from there on is not named again.
    read: u64,
}

/// Nodes with what their tasks take.
#[derive(Debug, Default)]
pub(crate) struct NodeIndex {
    places: BTreeMap<NodeId, Place>,
    entries: Vec<Entry>,
    vacant: Vec<Place>,
    log: Log,
    services: BTreeMap<ServiceKey, BTreeMap<Place, u32>>,
    holders: BTreeMap<String, Arc<BTreeSet<Place>>>,
    dirty: Vec<Place>,
}

impl NodeIndex {
    /// The place of a node.
    pub(crate) fn place(&self, id: NodeId) -> Option<Place> {
        self.places.get(&id).copied()
    }

    /// What is at a place.
    pub(crate) fn entry(&self, place: Place) -> &Entry {
        &self.entries[place as usize]
    }

    /// All entries in the order of their places, vacant ones too.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = (Place, &Entry)> {
        let entries = self.entries.iter().enumerate();
        entries.map(|(at, entry)| (place_at(at), entry))
    }

    /// Places that changed from a position of the log on; `None` if it does not reach back there.
    pub(crate) fn changed_since(&self, position: u64) -> Option<Vec<Place>> {
        let skip = position.checked_sub(self.log.first)?;
        let skip = usize::try_from(skip).ok()?;
        Some(self.log.places.iter().skip(skip).copied().collect())
    }

    /// How many those are.
    pub(crate) fn changes_since(&self, position: u64) -> Option<usize> {
        let reaches = position >= self.log.first;
        reaches.then(|| usize::try_from(self.log.end() - position).unwrap_or(usize::MAX))
    }

    /// Takes note that the log has been read, and returns the position that it goes on from.
    pub(crate) fn read_changes(&mut self) -> u64 {
        self.log.read = self.log.end();
        self.log.read
    }

    /// Places of nodes that say they hold an image, if there are any.
    pub(crate) fn holders(&self, image: &str) -> Option<&Arc<BTreeSet<Place>>> {
        self.holders.get(image)
    }

    /// Active tasks of a service by place, where there are any.
    pub(crate) fn service(&self, service: ServiceKey) -> Option<&BTreeMap<Place, u32>> {
        self.services.get(&service)
    }

    /// Active tasks of a service at a place.
    pub(crate) fn service_tasks(&self, service: ServiceKey, place: Place) -> u32 {
        let places = self.services.get(&service);
        places.and_then(|p| p.get(&place)).copied().unwrap_or(0)
    }

    /// Adds or replaces a node.
    pub(crate) fn set_node(&mut self, node: &Arc<Node>) -> Place {
        let place = self.place_for(node.id);
        let entry = &mut self.entries[place as usize];
        let old = entry.node.replace(node.clone());
        let described = |n: &Arc<Node>| n.description.as_ref().map(Arc::as_ptr);
        if old.as_ref().and_then(described) != described(node) {
            self.set_images(place, images::held(node).map(str::to_owned).collect());
        }
        self.mark(place);
        place
    }

    /// Removes a node. What its tasks take is kept until they are gone too.
    pub(crate) fn remove_node(&mut self, id: NodeId) -> Option<Place> {
        let place = self.place(id)?;
        self.entries[place as usize].node = None;
        self.set_images(place, Vec::new());
        self.mark(place);
        self.release(place);
        Some(place)
    }

    /// Counts a task in, if it occupies a node.
    pub(crate) fn add_task(&mut self, task: &Task) {
        if let Some(node) = occupied(task) {
            let place = self.place_for(node);
            self.charge(place, task.service_id, &Load::of(task));
        }
    }

    /// Counts a task out, if it occupied a node.
    pub(crate) fn remove_task(&mut self, task: &Task) {
        if let Some(place) = occupied(task).and_then(|node| self.place(node)) {
            self.discharge(place, task.service_id, &Load::of(task));
            self.release(place);
        }
    }

    /// Counts a load in at a place. Returns the active tasks of the service there.
    pub(crate) fn charge(&mut self, place: Place, service: ServiceKey, load: &Load) -> u32 {
        self.entries[place as usize].account.add(load);
        self.mark(place);
        if !load.active {
            return self.service_tasks(service, place);
        }
        let places = self.services.entry(service).or_default();
        let count = places.entry(place).or_default();
        *count += 1;
        *count
    }

    /// Counts a load out that was counted in there.
    pub(crate) fn discharge(&mut self, place: Place, service: ServiceKey, load: &Load) {
        self.entries[place as usize].account.remove(load);
        self.mark(place);
        if load.active {
            self.forget_one(service, place);
        }
    }

    /// Sets aside at a place what a task will take there that waits for others to end. It is no
    /// change of the node: nobody is woken by it.
    pub(crate) fn set_aside(&mut self, place: Place, load: &Load) {
        self.entries[place as usize].account.add(load);
        self.write_down(place);
    }

    /// Takes back what was set aside.
    pub(crate) fn take_back(&mut self, place: Place, load: &Load) {
        self.entries[place as usize].account.remove(load);
        self.write_down(place);
    }

    /// What was set aside at a place is so no more: whoever waits may fit there now.
    pub(crate) fn reopen(&mut self, place: Place) {
        self.mark(place);
    }

    /// Places where something changed since the last call.
    pub(crate) fn take_dirty(&mut self) -> Vec<Place> {
        let dirty = std::mem::take(&mut self.dirty);
        for place in &dirty {
            self.entries[*place as usize].dirty = false;
        }
        dirty
    }

    fn place_for(&mut self, id: NodeId) -> Place {
        if let Some(place) = self.place(id) {
            return place;
        }
        let entry = Entry {
            id,
            node: None,
            account: Account::default(),
            images: Vec::new(),
            logged: 0,
            dirty: false,
        };
        let place = match self.vacant.pop() {
            Some(place) => {
                // Who comes after a node that is gone takes over where its place is listed.
                let left = &mut self.entries[place as usize];
                left.id = entry.id;
                left.account = entry.account;
                place
            }
            None => {
                self.entries.push(entry);
                place_at(self.entries.len() - 1)
            }
        };
        self.places.insert(id, place);
        place
    }

    /// Gives a place free that neither a node nor a task needs.
    fn release(&mut self, place: Place) {
        let entry = &self.entries[place as usize];
        if entry.node.is_none() && entry.account.held == 0 {
            self.places.remove(&entry.id);
            self.vacant.push(place);
        }
    }

    fn set_images(&mut self, place: Place, new: Vec<String>) {
        let old = std::mem::replace(&mut self.entries[place as usize].images, new);
        for image in old {
            let Some(places) = self.holders.get_mut(&image) else {
                continue;
            };
            Arc::make_mut(places).remove(&place);
            if places.is_empty() {
                self.holders.remove(&image);
            }
        }
        for image in &self.entries[place as usize].images {
            let places = self.holders.entry(image.clone()).or_default();
            Arc::make_mut(places).insert(place);
        }
    }

    fn forget_one(&mut self, service: ServiceKey, place: Place) {
        let Some(places) = self.services.get_mut(&service) else {
            return;
        };
        if let Some(count) = places.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                places.remove(&place);
            }
        }
        if places.is_empty() {
            self.services.remove(&service);
        }
    }

    fn mark(&mut self, place: Place) {
        let entry = &mut self.entries[place as usize];
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(place);
        }
        self.write_down(place);
    }

    /// Has those who keep an order of nodes file a place anew.
    fn write_down(&mut self, place: Place) {
        let entry = &mut self.entries[place as usize];
        if entry.logged >= self.log.read {
            return;
        }
        entry.logged = self.log.end();
        self.log.places.push_back(place);
        if self.log.places.len() > LOG_MIN.max(self.entries.len()) {
            // Who is that far behind is better off with a look at every node.
            let half = self.log.places.len() / 2;
            self.log.places.drain(..half);
            self.log.first += half as u64;
        }
    }
}

impl Log {
    fn end(&self) -> u64 {
        self.first + self.places.len() as u64
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            first: 1,
            places: VecDeque::new(),
            // Nobody keeps an order yet, so that nothing needs to be written down.
            read: 0,
        }
    }
}

fn place_at(at: usize) -> Place {
    Place::try_from(at).expect("nodes are far fewer than 2^32")
}

/// The node that a task occupies.
pub(crate) fn occupied(task: &Task) -> Option<NodeId> {
    task.node_id.filter(|_| task.is_active())
}
