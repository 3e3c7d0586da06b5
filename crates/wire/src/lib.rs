//! Generated messages and their conversions.
