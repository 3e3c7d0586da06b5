//! Checks every spec field and names the one that is wrong.
