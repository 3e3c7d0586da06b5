//! Allocates what services ask for as a function of committed objects.
