//! A persistent table: objects by id, by name and by custom search key.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use types::Meta;
use types::id::ID_LEN;

use crate::error::ApplyError;
use crate::record::Record;

/// Objects of one kind. Cloning is O(1); a clone never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<T: Record> {
    rows: OrdMap<T::Id, Arc<T>>,
    names: OrdSet<(String, T::Id)>,
    custom: OrdSet<(String, String, T::Id)>,
}

impl<T: Record> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: OrdMap::new(),
            names: OrdSet::new(),
            custom: OrdSet::new(),
        }
    }
}

impl<T: Record> Table<T> {
    /// The object of an id.
    pub fn get(&self, id: T::Id) -> Option<&Arc<T>> {
        self.rows.get(&id)
    }

    /// Whether there is an object of that id.
    pub fn contains(&self, id: T::Id) -> bool {
        self.rows.contains_key(&id)
    }

    /// All objects in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.rows.values()
    }

    /// The objects after `id` in the order of their ids, for paging.
    pub fn iter_after(&self, id: Option<T::Id>) -> impl Iterator<Item = &Arc<T>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = id.map_or(Unbounded, Excluded);
        self.rows.range((from, Unbounded)).map(|(_, row)| row)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Objects of exactly this name, regardless of case; at most one where names are unique.
    pub fn by_name(&self, name: &str) -> impl Iterator<Item = &Arc<T>> {
        let key = name.to_lowercase();
        self.names_from(key.clone())
            .take_while(move |(n, _)| **n == key)
            .map(|(_, row)| row)
    }

    /// Objects whose name begins so, regardless of case.
    pub fn by_name_prefix(&self, prefix: &str) -> impl Iterator<Item = &Arc<T>> {
        let key = prefix.to_lowercase();
        self.names_from(key.clone())
            .take_while(move |(n, _)| n.starts_with(&key))
            .map(|(_, row)| row)
    }

    /// Objects whose written id begins so.
    pub fn by_id_prefix(&self, prefix: &str) -> impl Iterator<Item = &Arc<T>> {
        let bounds = id_bounds::<T>(prefix);
        bounds
            .into_iter()
            .flat_map(|(low, high)| self.rows.range(low..=high).map(|(_, row)| row))
    }

    /// Objects with this custom search key and value.
    pub fn by_custom(&self, key: &str, val: &str) -> impl Iterator<Item = &Arc<T>> {
        let (key, val) = (key.to_owned(), val.to_owned());
        let low = T::id_from_u128(1).map(|min| (key.clone(), val.clone(), min));
        low.into_iter()
            .flat_map(|low| self.custom.range(low..))
            .take_while(move |(k, v, _)| *k == key && *v == val)
            .filter_map(|(_, _, id)| self.rows.get(id))
    }

    fn names_from(&self, key: String) -> impl Iterator<Item = (&String, &Arc<T>)> {
        let low = T::id_from_u128(1).map(|min| (key, min));
        low.into_iter()
            .flat_map(|low| self.names.range(low..))
            .filter_map(|(name, id)| Some((name, self.rows.get(id)?)))
    }

    /// Adds a new object and stamps it.
    pub(crate) fn create(&mut self, mut row: T, stamp: Meta) -> Result<Arc<T>, ApplyError> {
        let id = row.id();
        if self.rows.contains_key(&id) {
            return Err(ApplyError::Exists {
                kind: T::KIND,
                id: id.to_string(),
            });
        }
        self.check_name(&row)?;
        *row.meta_mut() = stamp;
        let row = Arc::new(row);
        self.index(&row);
        self.rows.insert(id, row.clone());
        Ok(row)
    }

    /// Replaces an object that is still at the version the new one was made from.
    pub(crate) fn update(&mut self, row: T, stamp: Meta) -> Result<Replaced<T>, ApplyError> {
        let (have, given) = (self.expect(row.id())?.meta().version, row.meta().version);
        if have != given {
            let id = row.id().to_string();
            return Err(ApplyError::Stale {
                kind: T::KIND,
                id,
                have,
                given,
            });
        }
        self.check_name(&row)?;
        self.change(row.id(), stamp, |_| Ok(row))
    }

    /// Changes an object whatever its version, or leaves it as it is if `edit` fails. One way down
    /// the tree: this is what a change of a task costs.
    pub(crate) fn change(
        &mut self,
        id: T::Id,
        stamp: Meta,
        edit: impl FnOnce(&T) -> Result<T, ApplyError>,
    ) -> Result<Replaced<T>, ApplyError> {
        let Some(row) = self.rows.get_mut(&id) else {
            return Err(not_found::<T>(id));
        };
        let mut new = edit(row)?;
        *new.meta_mut() = Meta {
            created_at: row.meta().created_at,
            ..stamp
        };
        let new = Arc::new(new);
        let old = std::mem::replace(row, new.clone());
        if index_differs(old.as_ref(), new.as_ref()) {
            self.unindex(&old);
            self.index(&new);
        }
        Ok(Replaced { old, new })
    }

    /// Removes an object.
    pub(crate) fn remove(&mut self, id: T::Id) -> Result<Arc<T>, ApplyError> {
        let old = self.expect(id)?.clone();
        self.unindex(&old);
        self.rows.remove(&id);
        Ok(old)
    }

    /// Puts back an object as it was saved.
    pub(crate) fn load(&mut self, row: Arc<T>) {
        self.index(&row);
        self.rows.insert(row.id(), row);
    }

    /// The object of an id, or the error that says it is not there.
    pub(crate) fn expect(&self, id: T::Id) -> Result<&Arc<T>, ApplyError> {
        self.rows.get(&id).ok_or_else(|| not_found::<T>(id))
    }

    fn check_name(&self, row: &T) -> Result<(), ApplyError> {
        if !T::UNIQUE_NAME || row.name().is_empty() {
            return Ok(());
        }
        match self
            .by_name(row.name())
            .find(|other| other.id() != row.id())
        {
            None => Ok(()),
            Some(other) => Err(ApplyError::NameTaken {
                kind: T::KIND,
                name: row.name().to_owned(),
                by: other.id().to_string(),
            }),
        }
    }

    fn index(&mut self, row: &T) {
        if !row.name().is_empty() {
            self.names.insert((row.name().to_lowercase(), row.id()));
        }
        for entry in row.annotations().into_iter().flat_map(|a| &a.indices) {
            self.custom
                .insert((entry.key.clone(), entry.val.clone(), row.id()));
        }
    }

    fn unindex(&mut self, row: &T) {
        if !row.name().is_empty() {
            self.names.remove(&(row.name().to_lowercase(), row.id()));
        }
        for entry in row.annotations().into_iter().flat_map(|a| &a.indices) {
            self.custom
                .remove(&(entry.key.clone(), entry.val.clone(), row.id()));
        }
    }
}

fn not_found<T: Record>(id: T::Id) -> ApplyError {
    ApplyError::NotFound {
        kind: T::KIND,
        id: id.to_string(),
    }
}

/// An object before and after an update.
pub(crate) struct Replaced<T> {
    pub(crate) old: Arc<T>,
    pub(crate) new: Arc<T>,
}

fn index_differs<T: Record>(old: &T, new: &T) -> bool {
    let indices = |row: &T| {
        row.annotations()
            .map(|a| a.indices.clone())
            .unwrap_or_default()
    };
    old.name() != new.name() || indices(old) != indices(new)
}

/// Smallest and largest id whose text begins with `prefix`; `None` if no id can.
fn id_bounds<T: Record>(prefix: &str) -> Option<(T::Id, T::Id)> {
    if prefix.len() > ID_LEN {
        return None;
    }
    let fill = |filler: char| -> Option<u128> {
        let mut value = 0u128;
        let padding = std::iter::repeat_n(filler, ID_LEN - prefix.len());
        for c in prefix.chars().chain(padding) {
            let digit = match c {
                '0'..='9' | 'a'..='z' => u128::from(c.to_digit(36)?),
                _ => return None,
            };
            // Texts above the range of ids only ever stand for an upper bound.
            value = value.saturating_mul(36).saturating_add(digit);
        }
        Some(value)
    };
    Some((
        T::id_from_u128(fill('0')?.max(1))?,
        T::id_from_u128(fill('z')?)?,
    ))
}
