//! From the values of flags to typed values. Pure functions; texts say what is expected.

pub mod env;
pub mod filter;
pub mod keyed;
pub mod mount;
pub mod port;
pub mod reference;
pub mod resource;
pub mod scalar;
pub mod words;
