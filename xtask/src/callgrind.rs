//! `cargo xtask callgrind`: counts the instructions of the scheduler's hot paths, so that one that
//! became dearer shows without a clock. Compares with the counts on record in
//! `design/performance.md`; needs valgrind.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Where the counts on record are.
const RECORD: &str = "design/performance.md";

/// How much dearer a path may be than on record, in percent: compilers and allocators differ.
const SLACK_PERCENT: u64 = 10;

/// What is run: nodes, tasks, shape.
const SHAPES: [(u64, u64, &str); 6] = [
    (1_000, 10_000, "none"),
    (1_000, 10_000, "one"),
    (1_000, 10_000, "each"),
    (1_000, 10_000, "binpack"),
    (1_000, 10_000, "wishes"),
    (1_000, 10_000, "wake"),
];

/// Functions of the example that are counted, with what they include.
const PATHS: [&str; 5] = ["index", "plan", "apply", "observe", "wake"];

/// Builds, counts and compares. Fails if a path became dearer than the record allows.
pub fn run() -> ExitCode {
    match count_all() {
        Ok(table) => {
            print!("{table}");
            let dearer = compare(&table);
            dearer.iter().for_each(|line| eprintln!("{line}"));
            if dearer.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The table of counts, as the record has it: thousands of instructions by shape and path.
fn count_all() -> Result<String, String> {
    let program = build()?;
    let mut table = String::from("| nodes × tasks, shape |");
    PATHS.iter().for_each(|path| _ = write!(table, " {path} |"));
    table.push_str("\n|---|---|---|---|---|---|\n");
    for (nodes, tasks, shape) in SHAPES {
        _ = write!(table, "| {nodes} × {tasks}, {shape} |");
        for path in PATHS {
            let count = count(
                &program,
                [&nodes.to_string(), &tasks.to_string(), shape],
                path,
            )?;
            _ = write!(table, " {} |", count / 1000);
        }
        table.push('\n');
    }
    Ok(table)
}

fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "-p", "scheduler"])
        .args(["--example", "hot_paths"])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("building the example hot_paths failed".into());
    }
    let own = std::env::current_exe().map_err(|e| format!("find the target directory: {e}"))?;
    let target = own.ancestors().nth(2).map(PathBuf::from);
    let program = target
        .unwrap_or_default()
        .join("release/examples/hot_paths");
    Ok(program)
}

/// Instructions of one path, with all that it calls.
fn count(program: &PathBuf, args: [&str; 3], path: &str) -> Result<u64, String> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*path_{path}*"))
        .arg(program)
        .args(args)
        .output()
        .map_err(|e| format!("run valgrind (is it installed?): {e}"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing: {text}"))
}

/// What is dearer than on record.
fn compare(table: &str) -> Vec<String> {
    let record = fs::read_to_string(RECORD).unwrap_or_default();
    let mut dearer = Vec::new();
    for (shape, now) in rows(table) {
        let Some((_, then)) = rows(&record).find(|(known, _)| *known == shape) else {
            dearer.push(format!(
                "{shape}: not on record in {RECORD}, add the row above"
            ));
            continue;
        };
        for ((path, now), then) in PATHS.iter().zip(now).zip(then) {
            if now * 100 > then * (100 + SLACK_PERCENT) {
                dearer.push(format!(
                    "{shape}, {path}: {now} thousand instructions, {then} on record"
                ));
            }
        }
    }
    dearer
}

/// Rows of counts: the shape, then the numbers.
fn rows(table: &str) -> impl Iterator<Item = (String, Vec<u64>)> {
    table.lines().filter_map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let shape = cells.next().filter(|s| s.contains(" × "))?;
        let counts: Option<Vec<u64>> = cells.map(|c| c.parse().ok()).collect();
        let counts = counts.filter(|c| !c.is_empty())?;
        Some((shape.to_owned(), counts))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_from_tables_and_nothing_else() {
        let text = "| 1 × 2, one | 3 | 4 |\n| 1 × 2 | no service | 5 |\n|---|---|\nwords × words";
        let rows: Vec<_> = rows(text).collect();
        assert_eq!(rows, [("1 × 2, one".to_owned(), vec![3, 4])]);
    }
}
