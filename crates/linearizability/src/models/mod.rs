//! Objects that are judged: a register, versioned objects with names, and a set of names.

mod names;
mod objects;
mod register;

pub use names::{Names, NamesInput, NamesOutput};
pub use objects::{Fact, Object, Objects, ObjectsInput, ObjectsOutput, ObjectsState, Seen, Touch};
pub use register::{Register, RegisterInput, RegisterOutput};
