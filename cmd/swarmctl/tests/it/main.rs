//! Whole commands: the real program against a scripted manager on a unix socket.

mod commands;
mod completions;
#[cfg(test)]
mod fake;
