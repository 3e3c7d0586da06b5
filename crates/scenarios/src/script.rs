//! `.swarm` files: commands behind `> `, below each the lines that it printed.

use crate::World;
use crate::command;

/// What marks a command.
const PROMPT: &str = "> ";

/// What marks printed lines.
const INDENT: &str = "  ";

/// A command that printed something else than was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Line of the command in the file, from 1.
    pub line: usize,
    /// The command.
    pub command: String,
    /// What was recorded.
    pub recorded: String,
    /// What it printed now.
    pub printed: String,
}

/// Runs a script and says where it went another way than recorded.
pub fn run(text: &str) -> Vec<Mismatch> {
    let mut found = Vec::new();
    play(text, |mismatch| found.push(mismatch));
    found
}

/// Runs a script and records what it printed; comments and blank lines stay.
pub fn rewrite(text: &str) -> String {
    play(text, |_| {})
}

fn play(text: &str, mut differs: impl FnMut(Mismatch)) -> String {
    let mut world = World::new();
    let mut out = String::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(command) = line.strip_prefix(PROMPT) else {
            continue;
        };
        let mut recorded = String::new();
        while let Some((_, line)) = lines.next_if(|(_, l)| l.starts_with(INDENT)) {
            recorded.push_str(&format!("{line}\n"));
        }
        let printed = match command::run(&mut world, command) {
            Ok(text) => text,
            Err(why) => format!("refused: {why}"),
        };
        let printed: String = printed.lines().map(|l| format!("{INDENT}{l}\n")).collect();
        out.push_str(&printed);
        if printed != recorded {
            differs(Mismatch {
                line: at + 1,
                command: command.to_owned(),
                recorded,
                printed,
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_keeps_comments_and_a_recorded_script_agrees_with_itself() {
        let text = "# two nodes\n> nodes 2\n> service create web replicas=2\n\n> wait 5s\n\
                    > spread web\n  wrong\n";
        assert_eq!(run(text).len(), 1);
        let recorded = rewrite(text);
        assert!(recorded.starts_with("# two nodes\n> nodes 2\n"));
        assert!(
            recorded.ends_with("> spread web\n  node-1: 1, node-2: 1\n"),
            "{recorded}"
        );
        assert_eq!(run(&recorded), []);
        assert_eq!(rewrite(&recorded), recorded);
    }

    #[test]
    fn what_is_not_understood_is_recorded_as_refused() {
        let recorded = rewrite("> dance\n> service create web replicas=x\n");
        assert!(
            recorded.contains("refused: dance is no command"),
            "{recorded}"
        );
        assert!(recorded.contains("refused: replicas: \"x\" is not a number"));
    }
}
