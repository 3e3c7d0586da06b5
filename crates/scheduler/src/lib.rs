//! Places tasks on nodes: filters, strategies, explanation.
