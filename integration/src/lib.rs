//! Helpers of the tests that run the real binaries on several hosts.
