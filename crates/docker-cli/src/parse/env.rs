//! Environment variables from flags and files.

type Result<T> = std::result::Result<T, String>;

/// A variable as containers take it; one without `=` takes its value from `lookup`, and is left
/// out if there is none.
///
/// # Errors
/// If it has no name.
pub fn variable(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Option<String>> {
    match text.split_once('=') {
        Some(("", _)) => Err("expected NAME=VALUE or NAME".into()),
        Some(_) => Ok(Some(text.to_owned())),
        None if text.trim().is_empty() || text.contains(char::is_whitespace) => {
            Err("expected NAME=VALUE or NAME".into())
        }
        None => Ok(lookup(text).map(|value| format!("{text}={value}"))),
    }
}

/// The variables of a file: one a line, lines that are empty or begin with `#` left out.
///
/// # Errors
/// If a line is no variable, with its number.
pub fn file(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let mut variables = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if !line.is_empty() && !line.starts_with('#') {
            let read = variable(line, &lookup);
            variables.extend(read.map_err(|why| format!("line {}: {why}", number + 1))?);
        }
    }
    Ok(variables)
}

/// The name of a variable.
pub fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".to_owned())
    }

    #[test]
    fn a_bare_name_takes_the_callers_value() {
        assert_eq!(variable("A=b=c", lookup), Ok(Some("A=b=c".into())));
        assert_eq!(variable("HOME", lookup), Ok(Some("HOME=/root".into())));
        assert_eq!(variable("NOPE", lookup), Ok(None));
        assert!(variable("=x", lookup).is_err());
    }

    #[test]
    fn files_skip_comments_and_name_bad_lines() {
        let read = file("# note\n\nA=1\n  B=2 3\nHOME\n", lookup);
        assert_eq!(read.unwrap(), ["A=1", "B=2 3", "HOME=/root"]);
        let error = file("A=1\nB C\n", lookup).unwrap_err();
        assert_eq!(error, "line 2: expected NAME=VALUE or NAME");
    }
}
