//! Named objects with ids and versions: created while their name is free, updated by whoever knows
//! the present version, removed by id, read by name.
//!
//! Ids and versions are made by the cluster, so a client whose call ended without an answer does
//! not know them. A state says what is known of them ([`Fact`]); the next answer that names them
//! settles it. Versions of a name only grow, also over a removal.

use std::collections::BTreeSet;

use crate::{Model, Operation};

/// Objects of which none exists in the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objects {
    /// Who raises versions.
    pub touch: Touch,
}

/// Who raises the versions of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Only the operations of the history.
    OnlyClients,
    /// The cluster too, at any time, without changing the value. A refusal because of a stale
    /// version then always has an explanation.
    ClusterToo,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectsInput {
    /// To make an object.
    Create {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// To change an object.
    Update {
        /// Its name; the key, it is not sent.
        name: String,
        /// Its id.
        id: String,
        /// The version it must have.
        expected: u64,
        /// The new value.
        value: String,
    },
    /// To remove an object.
    Remove {
        /// Its name; the key, it is not sent.
        name: String,
        /// Its id.
        id: String,
    },
    /// What has this name.
    Read {
        /// The name.
        name: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectsOutput {
    /// It was created or updated.
    Stored {
        /// Its id.
        id: String,
        /// Its version now.
        version: u64,
    },
    /// It is gone.
    Removed,
    /// The name is taken.
    Taken,
    /// The object has another version.
    Stale,
    /// There is no object with this id.
    Missing,
    /// What has the name.
    Found(Option<Seen>),
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Id.
    pub id: String,
    /// Version.
    pub version: u64,
    /// Value.
    pub value: String,
}

/// What is known of something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact<T: Ord> {
    /// It is this.
    Known(T),
    /// It is none of these.
    Not(BTreeSet<T>),
}

/// What has a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its id.
    pub id: Fact<String>,
    /// Its version; nothing is known where the cluster raises versions.
    pub version: Fact<u64>,
    /// Its value.
    pub value: String,
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ObjectsState {
    /// The object that has it.
    pub object: Option<Object>,
    /// The highest version that was seen.
    pub floor: u64,
}

// === impl Fact ===

impl<T: Ord + Clone> Fact<T> {
    fn open() -> Self {
        Self::Not(BTreeSet::new())
    }

    fn may_be(&self, value: &T) -> bool {
        match self {
            Self::Known(known) => known == value,
            Self::Not(others) => !others.contains(value),
        }
    }

    /// The fact with the knowledge that it is not this, `None` if it is known to be.
    fn but_not(&self, value: &T) -> Option<Self> {
        match self {
            Self::Known(known) => (known != value).then(|| self.clone()),
            Self::Not(others) => {
                let mut others = others.clone();
                others.insert(value.clone());
                Some(Self::Not(others))
            }
        }
    }
}

// === impl ObjectsState ===

impl ObjectsState {
    /// With an object whose id and version are known.
    fn stored(id: &str, version: u64, value: &str, touch: Touch) -> Self {
        let version_fact = match touch {
            Touch::OnlyClients => Fact::Known(version),
            Touch::ClusterToo => Fact::open(),
        };
        Self {
            object: Some(Object {
                id: Fact::Known(id.to_owned()),
                version: version_fact,
                value: value.to_owned(),
            }),
            floor: version,
        }
    }

    fn removed(&self) -> Self {
        Self {
            object: None,
            floor: self.floor,
        }
    }
}

// === impl Objects ===

impl Objects {
    /// Whether the object may have this version.
    fn has_version(self, state: &ObjectsState, object: &Object, version: u64) -> bool {
        match (self.touch, &object.version) {
            (Touch::ClusterToo, _) => version >= state.floor,
            (Touch::OnlyClients, Fact::Known(known)) => *known == version,
            (Touch::OnlyClients, open) => version > state.floor && open.may_be(&version),
        }
    }

    fn create(
        self,
        state: &ObjectsState,
        value: &str,
        output: Option<&ObjectsOutput>,
    ) -> Option<ObjectsState> {
        if state.object.is_some() {
            return (output == Some(&ObjectsOutput::Taken)).then(|| state.clone());
        }
        match output {
            Some(ObjectsOutput::Stored { id, version }) => (*version > state.floor)
                .then(|| ObjectsState::stored(id, *version, value, self.touch)),
            None => Some(ObjectsState {
                object: Some(Object {
                    id: Fact::open(),
                    version: Fact::open(),
                    value: value.to_owned(),
                }),
                floor: state.floor,
            }),
            Some(_) => None,
        }
    }

    fn update(
        self,
        state: &ObjectsState,
        (id, expected, value): (&String, u64, &str),
        output: Option<&ObjectsOutput>,
    ) -> Option<ObjectsState> {
        if output == Some(&ObjectsOutput::Missing) {
            return Self::missing(state, id);
        }
        let object = state.object.as_ref().filter(|o| o.id.may_be(id))?;
        if output == Some(&ObjectsOutput::Stale) {
            return self.stale(state, object, id, expected);
        }
        if !self.has_version(state, object, expected) {
            return None;
        }
        match output {
            Some(ObjectsOutput::Stored { id: same, version }) => (same == id
                && *version > expected)
                .then(|| ObjectsState::stored(id, *version, value, self.touch)),
            None => Some(ObjectsState {
                object: Some(Object {
                    id: Fact::Known(id.clone()),
                    version: Fact::open(),
                    value: value.to_owned(),
                }),
                floor: match self.touch {
                    Touch::OnlyClients => expected,
                    Touch::ClusterToo => expected + 1,
                },
            }),
            Some(_) => None,
        }
    }

    /// After the refusal of an update because its object does not have the version it expected.
    fn stale(
        self,
        state: &ObjectsState,
        object: &Object,
        id: &str,
        expected: u64,
    ) -> Option<ObjectsState> {
        let version = match self.touch {
            Touch::OnlyClients => object.version.but_not(&expected)?,
            Touch::ClusterToo => Fact::open(),
        };
        Some(ObjectsState {
            object: Some(Object {
                id: Fact::Known(id.to_owned()),
                version,
                value: object.value.clone(),
            }),
            floor: state.floor,
        })
    }

    /// After the answer that nothing has this id: the name is free, or something else has it.
    fn missing(state: &ObjectsState, id: &String) -> Option<ObjectsState> {
        let Some(object) = &state.object else {
            return Some(state.clone());
        };
        let other = object.id.but_not(id)?;
        Some(ObjectsState {
            object: Some(Object {
                id: other,
                ..object.clone()
            }),
            floor: state.floor,
        })
    }

    fn remove(
        state: &ObjectsState,
        id: &String,
        output: Option<&ObjectsOutput>,
    ) -> Option<ObjectsState> {
        match output {
            Some(ObjectsOutput::Missing) => Self::missing(state, id),
            Some(ObjectsOutput::Removed) | None => {
                let object = state.object.as_ref()?;
                object.id.may_be(id).then(|| state.removed())
            }
            Some(_) => None,
        }
    }

    fn read(self, state: &ObjectsState, found: Option<&Seen>) -> Option<ObjectsState> {
        let (object, seen) = match (&state.object, found) {
            (None, None) => return Some(state.clone()),
            (Some(object), Some(seen)) => (object, seen),
            _ => return None,
        };
        let same = object.id.may_be(&seen.id)
            && object.value == seen.value
            && self.has_version(state, object, seen.version);
        same.then(|| ObjectsState::stored(&seen.id, seen.version, &seen.value, self.touch))
    }
}

impl Model for Objects {
    type Key = String;
    type Input = ObjectsInput;
    type Output = ObjectsOutput;
    type State = ObjectsState;

    fn key(&self, input: &ObjectsInput) -> String {
        let (ObjectsInput::Create { name, .. }
        | ObjectsInput::Update { name, .. }
        | ObjectsInput::Remove { name, .. }
        | ObjectsInput::Read { name }) = input;
        name.clone()
    }

    fn initial(&self) -> ObjectsState {
        ObjectsState::default()
    }

    fn step(
        &self,
        state: &ObjectsState,
        input: &ObjectsInput,
        output: Option<&ObjectsOutput>,
    ) -> Option<ObjectsState> {
        match input {
            ObjectsInput::Create { value, .. } => self.create(state, value, output),
            ObjectsInput::Update {
                id,
                expected,
                value,
                ..
            } => self.update(state, (id, *expected, value), output),
            ObjectsInput::Remove { id, .. } => Self::remove(state, id, output),
            ObjectsInput::Read { .. } => match output {
                Some(ObjectsOutput::Found(found)) => self.read(state, found.as_ref()),
                _ => None,
            },
        }
    }

    fn only_reads(&self, input: &ObjectsInput) -> bool {
        matches!(input, ObjectsInput::Read { .. })
    }

    fn describe(&self, operation: &Operation<ObjectsInput, ObjectsOutput>) -> String {
        let asked = match &operation.input {
            ObjectsInput::Create { name, value } => format!("create {name} = {value}"),
            ObjectsInput::Update {
                name,
                id,
                expected,
                value,
            } => format!("update {name} ({id}) at version {expected} to {value}"),
            ObjectsInput::Remove { name, id } => format!("remove {name} ({id})"),
            ObjectsInput::Read { name } => format!("read {name}"),
        };
        let answered = operation
            .output()
            .map_or("unknown".to_owned(), describe_output);
        format!("{asked}: {answered}")
    }

    fn describe_state(&self, state: &ObjectsState) -> String {
        let Some(object) = &state.object else {
            return format!("nothing (versions up to {} were seen)", state.floor);
        };
        let id = match &object.id {
            Fact::Known(id) => id.clone(),
            Fact::Not(_) => "of unknown id".to_owned(),
        };
        let version = match &object.version {
            Fact::Known(version) => version.to_string(),
            Fact::Not(_) => format!("not told, {} was seen before", state.floor),
        };
        format!("{} ({id}, version {version})", object.value)
    }
}

fn describe_output(output: &ObjectsOutput) -> String {
    match output {
        ObjectsOutput::Stored { id, version } => format!("{id} is at version {version}"),
        ObjectsOutput::Removed => "removed".to_owned(),
        ObjectsOutput::Taken => "refused, the name is taken".to_owned(),
        ObjectsOutput::Stale => "refused, it has another version".to_owned(),
        ObjectsOutput::Missing => "refused, there is no such object".to_owned(),
        ObjectsOutput::Found(None) => "nothing".to_owned(),
        ObjectsOutput::Found(Some(seen)) => {
            format!("{} ({}, version {})", seen.value, seen.id, seen.version)
        }
    }
}
