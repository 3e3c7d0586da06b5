//! A command line in one value, split as a shell splits it.

/// The words of a text; quotes and backslashes keep spaces. Nothing is expanded.
///
/// # Errors
/// If a quote is not closed.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => {
                let next = chars.next().ok_or("nothing follows a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match quote {
        Some(_) => Err("a quote is not closed".into()),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(split("sh -c 'echo a b'").unwrap(), ["sh", "-c", "echo a b"]);
        assert_eq!(split(r#"a\ b "c\"d" '' "#).unwrap(), ["a b", "c\"d", ""]);
        assert!(split("").unwrap().is_empty());
        assert!(split("'a").is_err() && split("a\\").is_err());
    }
}
