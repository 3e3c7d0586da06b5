//! How Docker's command line reads and writes values, for programs that want to feel like it.
//!
//! - [`parse`]: the values of flags, from `512m` to `type=bind,source=/a,target=/b`.
//! - [`out`]: tables, JSON lines, Go templates, times and sizes.
//! - [`show`]: objects of the API as JSON with Docker's field names.
//!
//! Pure functions: nothing here reads a clock except [`out::human::now`], and nothing prints.

pub mod out;
pub mod parse;
pub mod show;
