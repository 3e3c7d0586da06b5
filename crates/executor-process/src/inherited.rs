//! Files that a process did not open and must not keep open: whoever started it may have had locks
//! and pipes, and something that lives for weeks would hold them all that time.
//!
//! Call it before the process opens anything itself.

use std::fs;
use std::os::fd::RawFd;

/// Standard input, output and error.
const STANDARD: RawFd = 2;

/// Closes everything but standard input, output and error.
pub fn close() {
    let open = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let numbers: Vec<RawFd> = open
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|number| *number > STANDARD) {
        // The listing itself was one of them and is closed by now.
        let _ = nix::unistd::close(number);
    }
}
