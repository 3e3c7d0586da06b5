//! `cargo xtask callgrind`: counts the instructions of the scheduler's and the orchestrator's hot
//! paths, so that one that became dearer shows without a clock. Compares with the counts on record
//! in `design/performance.md`; needs valgrind.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where the counts on record are.
const RECORD: &str = "design/performance.md";

/// How much dearer a path may be than on record, in percent: compilers and allocators differ.
const SLACK_PERCENT: u64 = 10;

/// A program with hot paths.
struct Program {
    package: &'static str,
    example: &'static str,
    /// What its two numbers are.
    numbers: &'static str,
    /// What is run: two numbers and a shape.
    shapes: &'static [(u64, u64, &'static str)],
    /// Functions that are counted, with what they include.
    paths: &'static [&'static str],
}

const PROGRAMS: [Program; 2] = [
    Program {
        package: "scheduler",
        example: "hot_paths",
        numbers: "nodes × tasks",
        shapes: &[
            (1_000, 10_000, "none"),
            (1_000, 10_000, "one"),
            (1_000, 10_000, "each"),
            (1_000, 10_000, "binpack"),
            (1_000, 10_000, "wishes"),
            (1_000, 10_000, "wake"),
            (1_000, 2_000, "again"),
            (10_000, 1_000, "each"),
            (10_000, 1_000, "each-binpack"),
            (10_000, 1_000, "each-random"),
            (10_000, 1_000, "each-wishes"),
            (10_000, 1_000, "each-racks"),
        ],
        paths: &["index", "plan", "apply", "observe", "event"],
    },
    Program {
        package: "orchestrator",
        example: "slot_paths",
        numbers: "slots × events",
        shapes: &[
            (100_000, 0, "start"),
            (100_000, 100, "death"),
            (100_000, 100, "update"),
        ],
        paths: &["start", "death", "update"],
    },
];

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

/// The tables of counts, as the record has them: thousands of instructions by shape and path.
fn count_all() -> Result<String, String> {
    let mut tables = String::new();
    for program in &PROGRAMS {
        let binary = build(program)?;
        _ = write!(tables, "\n| {}, shape |", program.numbers);
        let paths = program.paths;
        paths
            .iter()
            .for_each(|path| _ = write!(tables, " {path} |"));
        _ = writeln!(tables, "\n|---|{}", "---|".repeat(paths.len()));
        for (first, second, shape) in program.shapes {
            _ = write!(tables, "| {first} × {second}, {shape} |");
            let counted = count(&binary, [&first.to_string(), &second.to_string(), shape])?;
            for path in paths {
                _ = write!(tables, " {} |", instructions(&counted, path) / 1000);
            }
            tables.push('\n');
        }
    }
    Ok(tables)
}

fn build(program: &Program) -> Result<PathBuf, String> {
    let Program {
        package, example, ..
    } = program;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "-p", package])
        .args(["--example", example])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return Err(format!(
            "building the example {example} of {package} failed"
        ));
    }
    let own = std::env::current_exe().map_err(|e| format!("find the target directory: {e}"))?;
    let target = own.ancestors().nth(2).map(PathBuf::from);
    let examples = target.unwrap_or_default().join("release/examples");
    Ok(examples.join(example))
}

/// Counts the instructions of all paths, each with all that it calls: what valgrind's tools print.
fn count(program: &Path, args: [&str; 3]) -> Result<String, String> {
    let counts = std::env::temp_dir().join(format!("callgrind.{}", std::process::id()));
    let file = counts.display();
    let ran = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--toggle-collect=*path_*"])
        .arg(format!("--callgrind-out-file={file}"))
        .arg(program)
        .args(args)
        .output()
        .map_err(|e| format!("run valgrind (is it installed?): {e}"))?;
    let text = Command::new("callgrind_annotate")
        .args(["--inclusive=yes", "--threshold=100"])
        .arg(&counts)
        .output()
        .map_err(|e| format!("run callgrind_annotate (it comes with valgrind): {e}"))?;
    _ = fs::remove_file(&counts);
    if !ran.status.success() || !text.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        return Err(format!("valgrind counted nothing: {said}"));
    }
    Ok(String::from_utf8_lossy(&text.stdout).into_owned())
}

/// The instructions of one path; none where it was not taken.
fn instructions(counted: &str, path: &str) -> u64 {
    let name = format!("::path_{path} ");
    let line = counted.lines().find(|line| line.contains(&name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let digits = number.map(|number| number.replace(',', ""));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
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
        for ((column, now), then) in (1..).zip(now).zip(then) {
            if now * 100 > then * (100 + SLACK_PERCENT) {
                dearer.push(format!(
                    "{shape}, column {column}: {now} thousand instructions, {then} on record"
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
    fn a_path_is_found_by_its_whole_name() {
        let text = "1,234 (5.0%)  ???:hot_paths::path_planned [x]\n \
                    5,143,799 (33.33%)  ???:hot_paths::path_plan [x]";
        assert_eq!(instructions(text, "plan"), 5_143_799);
        assert_eq!(instructions(text, "apply"), 0);
    }

    #[test]
    fn rows_are_read_from_tables_and_nothing_else() {
        let text = "| 1 × 2, one | 3 | 4 |\n| 1 × 2 | no service | 5 |\n|---|---|\nwords × words";
        let rows: Vec<_> = rows(text).collect();
        assert_eq!(rows, [("1 × 2, one".to_owned(), vec![3, 4])]);
    }
}
