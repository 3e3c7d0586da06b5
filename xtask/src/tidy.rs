//! The checks and their budgets. Every finding is one line: `path:line: what is wrong`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::rings;
use crate::source::Source;

/// Longest line, in columns.
const LINE_COLUMNS_MAX: usize = 100;

/// Most lines of a file without its tests.
const FILE_LINES_MAX: usize = 800;

/// Most lines of code of a crate without its tests.
const CRATE_LINES_MAX: usize = 6_000;

/// Words that may not stand in the code, with the reason.
const BANNED: [(&str, &str); 5] = [
    ("TODO", "say it in the README's limits instead"),
    ("FIXME", "mend it"),
    ("XXX", "mend it"),
    ("#[allow(", "use #[expect(lint, reason = \"…\")]"),
    (
        "std::thread::sleep(",
        "wait for a condition with a deadline",
    ),
];

/// Files that may break one rule. The list only shrinks.
const EXCEPTIONS: [(&str, &str); 1] = [("xtask/src/tidy.rs", "banned words are named here")];

/// Checks the whole workspace.
pub fn run() -> ExitCode {
    let root = root();
    let mut findings = rings::check(&root);
    let mut crates: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for path in rust_files(&root) {
        let name = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string();
        let Ok(text) = std::fs::read_to_string(&path) else {
            findings.push(format!("{name}: cannot be read"));
            continue;
        };
        let source = Source::new(&text, &name);
        check_file(&name, &source, &mut findings);
        if let Some(home) = crate_of(&path) {
            *crates.entry(home).or_default() += source.code_lines();
        }
    }
    for (home, lines) in crates {
        if lines > CRATE_LINES_MAX {
            let name = home
                .strip_prefix(&root)
                .unwrap_or(&home)
                .display()
                .to_string();
            findings.push(format!(
                "{name}: {lines} lines of code, at most {CRATE_LINES_MAX}"
            ));
        }
    }
    report(findings)
}

fn report(mut findings: Vec<String>) -> ExitCode {
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: everything in order");
        return ExitCode::SUCCESS;
    }
    println!("tidy: {} findings", findings.len());
    ExitCode::FAILURE
}

fn check_file(name: &str, source: &Source<'_>, findings: &mut Vec<String>) {
    if !source.opens_with_doc() {
        findings.push(format!("{name}:1: does not open with `//!`"));
    }
    let lines = source.lines_without_tests();
    if lines > FILE_LINES_MAX {
        findings.push(format!(
            "{name}: {lines} lines without tests, at most {FILE_LINES_MAX}"
        ));
    }
    let excused = EXCEPTIONS.iter().any(|(path, _)| *path == name);
    for (number, line) in source.lines() {
        if line.chars().count() > LINE_COLUMNS_MAX && !line.contains("http") {
            findings.push(format!(
                "{name}:{number}: longer than {LINE_COLUMNS_MAX} columns"
            ));
        }
        if line.ends_with(' ') || line.ends_with('\t') {
            findings.push(format!("{name}:{number}: blank at the end of the line"));
        }
        for (word, advice) in BANNED
            .iter()
            .filter(|(word, _)| !excused && line.contains(word))
        {
            findings.push(format!("{name}:{number}: {word}: {advice}"));
        }
    }
}

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The folder of the crate that a source file outside of tests belongs to.
fn crate_of(path: &Path) -> Option<PathBuf> {
    let is_test = path
        .components()
        .any(|c| c.as_os_str() == "tests" || c.as_os_str() == "benches");
    let home = path
        .ancestors()
        .find(|dir| dir.join("Cargo.toml").exists())?;
    (!is_test).then(|| home.to_path_buf())
}

fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = ["crates", "cmd", "integration", "xtask"]
        .map(|d| root.join(d))
        .to_vec();
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
