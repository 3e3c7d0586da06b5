//! Everything a manager does.
