//! Places tasks on nodes: filters, strategies, explanation.

pub mod constraint;

#[cfg(test)]
mod testing;
