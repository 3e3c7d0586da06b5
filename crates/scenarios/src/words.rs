//! Reads command lines: words, quoted or not, and values behind `=`.

use std::time::Duration;

/// Splits a line at blanks; single or double quotes keep them.
///
/// # Errors
/// If a quote is not closed.
pub(crate) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some(open) => Err(format!("the quote {open} is not closed")),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

/// A pair such as `replicas=3`; a word alone has an empty value.
pub(crate) fn pair(word: &str) -> (&str, &str) {
    word.split_once('=').unwrap_or((word, ""))
}

/// A whole number.
///
/// # Errors
/// If it is none.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number"))
}

/// A span such as `500ms`, `10s`, `5m`, `2h`.
///
/// # Errors
/// If it is none.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a span such as 500ms, 10s, 5m or 2h");
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(refuse)?;
    let (count, unit) = text.split_at(end);
    let count: u64 = count.parse().map_err(|_| refuse())?;
    match unit {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(60 * count)),
        "h" => Ok(Duration::from_secs(3_600 * count)),
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_blanks_and_must_be_closed() {
        let words = split("a schedule='*/5 * * * *'  b").unwrap();
        assert_eq!(words, ["a", "schedule=*/5 * * * *", "b"]);
        assert!(split("a 'b").is_err());
    }

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("2h"), Ok(Duration::from_secs(7_200)));
        assert!(span("90").is_err() && span("x").is_err());
    }
}
