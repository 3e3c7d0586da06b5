//! Conversions between generated messages and domain types, one file per kind of object.
//!
//! Reading is strict where a user or a peer can be wrong: an unknown enum number, a malformed id or
//! a missing choice is refused with the path of the field. Reading is lenient where protobuf is: an
//! absent message is an empty one, unknown fields are skipped. Writing cannot fail. Rules about
//! meaning (name syntax, limits, references) are not checked here.

mod cluster;
mod config;
mod container;
mod meta;
mod mount;
mod network;
mod node;
mod resource;
mod resources;
mod secret;
mod service;
mod task;
mod task_spec;
mod time;
mod volume;

use std::convert::Infallible;
use std::fmt;

use types::ParseIdError;

pub use cluster::without_secrets as cluster_without_secrets;
pub use secret::without_data as secret_without_data;
pub use task::with_service_spec as task_with_service_spec;
pub(crate) use time::moment;
pub use time::{duration, timestamp};

/// A message that no domain value corresponds to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertError {
    path: String,
    problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The field, or one of the alternatives that it stands for, has to be set.
    #[error("is required and was not given")]
    Missing,
    /// The number is no value of the field's enum, or one from a newer version.
    #[error("has the unknown value {0}")]
    UnknownValue(i32),
    /// The text is no id.
    #[error("is not an id: {0}")]
    Id(#[from] ParseIdError),
    /// A negative duration, or one above 292 years, which Go programs cannot read.
    #[error("is a duration below zero or above 292 years")]
    Duration,
    /// A number outside what the field can mean.
    #[error("is out of range: {0}")]
    Range(i64),
    /// A label that carries an option of ours and cannot be read.
    #[error("{0}")]
    Option(String),
}

impl ConvertError {
    fn new(field: &str, problem: impl Into<Problem>) -> Self {
        Self {
            path: field.to_owned(),
            problem: problem.into(),
        }
    }

    /// Path of the field from the message that was converted, such as `spec.task.container.image`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The same error as seen from a message that has the converted one in `field`.
    #[must_use]
    pub fn inside(mut self, field: &str) -> Self {
        self.path = format!("{field}.{}", self.path);
        self
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for ConvertError {}

impl From<Infallible> for ConvertError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

type Result<T> = std::result::Result<T, ConvertError>;

/// Converts what is in `field`; an absent message reads as an empty one.
fn message<A, D>(field: &str, value: Option<A>) -> Result<D>
where
    A: Default,
    D: TryFrom<A>,
    ConvertError: From<D::Error>,
{
    inner(field, value.unwrap_or_default())
}

/// Converts what is in `field`, if anything.
fn optional<A, D>(field: &str, value: Option<A>) -> Result<Option<D>>
where
    D: TryFrom<A>,
    ConvertError: From<D::Error>,
{
    value.map(|value| inner(field, value)).transpose()
}

/// Converts what must be in `field`.
fn required<A, D>(field: &str, value: Option<A>) -> Result<D>
where
    D: TryFrom<A>,
    ConvertError: From<D::Error>,
{
    let value = value.ok_or_else(|| ConvertError::new(field, Problem::Missing))?;
    inner(field, value)
}

/// Converts every item of a repeated field.
fn list<A, D>(field: &str, items: Vec<A>) -> Result<Vec<D>>
where
    D: TryFrom<A>,
    ConvertError: From<D::Error>,
{
    let convert = |(i, item)| inner(&format!("{field}[{i}]"), item);
    items.into_iter().enumerate().map(convert).collect()
}

fn inner<A, D>(field: &str, value: A) -> Result<D>
where
    D: TryFrom<A>,
    ConvertError: From<D::Error>,
{
    D::try_from(value).map_err(|e| ConvertError::from(e).inside(field))
}

/// Reads an enum number; `A` is the generated enum, `D` the domain's.
fn enumeration<A, D>(field: &str, number: i32) -> Result<D>
where
    A: TryFrom<i32>,
    D: From<A>,
{
    let known = A::try_from(number);
    known
        .map(D::from)
        .map_err(|_| ConvertError::new(field, Problem::UnknownValue(number)))
}

/// Writes a domain enum as its number.
fn number<A, D>(value: D) -> i32
where
    A: From<D> + Into<i32>,
{
    A::from(value).into()
}

/// Reads an id that must be there.
fn id<T>(field: &str, text: &str) -> Result<T>
where
    T: std::str::FromStr<Err = ParseIdError>,
{
    if text.is_empty() {
        return Err(ConvertError::new(field, Problem::Missing));
    }
    text.parse()
        .map_err(|e: ParseIdError| ConvertError::new(field, e))
}

/// Reads an id that may be empty.
fn optional_id<T>(field: &str, text: &str) -> Result<Option<T>>
where
    T: std::str::FromStr<Err = ParseIdError>,
{
    if text.is_empty() {
        Ok(None)
    } else {
        id(field, text).map(Some)
    }
}

/// Writes an id that may be absent.
fn id_text<T: fmt::Display>(id: Option<T>) -> String {
    id.map_or_else(String::new, |id| id.to_string())
}

/// Writes a list.
fn encoded<'a, D, A: From<&'a D>>(items: &'a [D]) -> Vec<A> {
    items.iter().map(A::from).collect()
}

/// `Some` unless the value is the default, for messages that need not be written when empty.
fn unless_default<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// Pairs the values of a generated enum with those of a domain enum, in both directions.
macro_rules! enum_pairs {
    ($api:ty, $domain:ty { $($a:ident = $d:ident),+ $(,)? }) => {
        impl From<$api> for $domain {
            fn from(value: $api) -> Self {
                match value {
                    $(<$api>::$a => Self::$d,)+
                }
            }
        }

        impl From<$domain> for $api {
            fn from(value: $domain) -> Self {
                match value {
                    $(<$domain>::$d => Self::$a,)+
                }
            }
        }
    };
}

use enum_pairs;
