//! What creating, reading and removing is for every kind of object.

use std::str::FromStr;
use std::sync::Arc;

use store::{Action, Draft, Key, Object, Record, State, Step, Table};

use crate::error::ControlError;

/// Reads an id that a caller gave.
///
/// # Errors
/// If it is missing, or cannot be the id of any object.
pub fn parse_id<T: Record>(text: &str) -> Result<T::Id, ControlError>
where
    T::Id: FromStr,
{
    if text.is_empty() {
        return Err(ControlError::Argument(format!(
            "{} id is required",
            T::KIND
        )));
    }
    text.parse()
        .map_err(|_| ControlError::not_found(T::KIND, text))
}

/// The object that a caller names by id.
///
/// # Errors
/// If there is none.
pub fn find<'a, T: Record>(table: &'a Table<T>, id: &str) -> Result<&'a Arc<T>, ControlError>
where
    T::Id: FromStr,
{
    let key = parse_id::<T>(id)?;
    table
        .get(key)
        .ok_or_else(|| ControlError::not_found(T::KIND, id))
}

/// Adds an action to the draft.
///
/// # Errors
/// If it does not fit.
pub fn run(draft: &mut Draft, action: Action) -> Result<(), ControlError> {
    Ok(draft.add(Step::unguarded(action))?)
}

/// Creates an object and returns it as stored.
///
/// # Errors
/// If it does not fit.
pub fn create<T: Record>(
    draft: &mut Draft,
    row: T,
    table: fn(&State) -> &Table<T>,
) -> Result<Arc<T>, ControlError>
where
    Object: From<T>,
{
    let id = row.id();
    run(draft, Action::Create(Object::from(row)))?;
    stored(draft, id, table)
}

/// Updates an object that is still at the version the caller read, and returns it as stored.
///
/// # Errors
/// If it does not fit.
pub fn update<T: Record>(
    draft: &mut Draft,
    row: T,
    table: fn(&State) -> &Table<T>,
) -> Result<Arc<T>, ControlError>
where
    Object: From<T>,
{
    let id = row.id();
    run(draft, Action::Update(Object::from(row)))?;
    stored(draft, id, table)
}

/// Removes an object.
///
/// # Errors
/// If it does not exist.
pub fn remove(draft: &mut Draft, key: Key) -> Result<(), ControlError> {
    run(draft, Action::Remove(key))
}

fn stored<T: Record>(
    draft: &Draft,
    id: T::Id,
    table: fn(&State) -> &Table<T>,
) -> Result<Arc<T>, ControlError> {
    table(draft.state())
        .get(id)
        .cloned()
        .ok_or_else(|| ControlError::not_found(T::KIND, id))
}

/// Requires a version and returns it.
///
/// # Errors
/// If the caller gave none.
pub fn version(given: Option<wire::api::Version>) -> Result<u64, ControlError> {
    given.map(|v| v.index).ok_or_else(|| {
        ControlError::Argument("the version of the object that was read is required".into())
    })
}

/// Requires a spec and reads it.
///
/// # Errors
/// If it is missing or a field cannot be read.
pub fn spec<A, D>(given: Option<A>) -> Result<D, ControlError>
where
    D: TryFrom<A>,
    wire::convert::ConvertError: From<D::Error>,
{
    let given = given.ok_or_else(|| ControlError::Argument("spec: is required".into()))?;
    let read = D::try_from(given).map_err(wire::convert::ConvertError::from);
    Ok(read.map_err(|e| e.inside("spec"))?)
}
