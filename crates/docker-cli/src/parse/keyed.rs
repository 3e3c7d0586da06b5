//! Values made of `key=value` pairs, separated by commas, with quotes as CSV has them.

use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, String>;

/// Whether a text uses the long syntax of mounts, ports, secrets, configs and networks.
pub fn is_long(text: &str) -> bool {
    text.contains('=')
}

/// The pairs of a long syntax; a key without `=` has an empty value. Keys are lower case.
///
/// # Errors
/// If a quote is not closed or a key is empty.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    csv(text)?
        .into_iter()
        .map(|field| {
            let (key, value) = field.split_once('=').unwrap_or((&field, ""));
            match key.trim() {
                "" => Err(format!(
                    "expected KEY=VALUE pairs separated by commas, found \"{field}\""
                )),
                key => Ok((key.to_lowercase(), value.to_owned())),
            }
        })
        .collect()
}

fn csv(text: &str) -> Result<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                append(&mut fields, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => append(&mut fields, other),
        }
    }
    match quoted {
        true => Err("a quote is not closed".into()),
        false => Ok(fields),
    }
}

fn append(fields: &mut [String], c: char) {
    if let Some(last) = fields.last_mut() {
        last.push(c);
    }
}

/// `KEY=VALUE`, or `KEY` with an empty value, as labels and options have it.
///
/// # Errors
/// If the key is empty.
pub fn label(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    match key.trim() {
        "" => Err("expected KEY=VALUE".into()),
        key => Ok((key.to_owned(), value.to_owned())),
    }
}

/// Labels from several values; a later one replaces an earlier one.
///
/// # Errors
/// If a key is empty.
pub fn labels(texts: &[String]) -> Result<BTreeMap<String, String>> {
    texts.iter().map(|text| label(text)).collect()
}

/// A truth value of a long syntax; a bare key means yes.
///
/// # Errors
/// If it is neither.
pub fn truth(key: &str, value: &str) -> Result<bool> {
    match value.to_lowercase().as_str() {
        "" | "true" | "1" | "t" => Ok(true),
        "false" | "0" | "f" => Ok(false),
        _ => Err(format!("{key} must be true or false, not \"{value}\"")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_keep_commas_inside_quotes() {
        let read = pairs(r#"type=volume,"volume-opt=o=a,b",readonly"#).unwrap();
        let expected = [
            ("type", "volume"),
            ("volume-opt", "o=a,b"),
            ("readonly", ""),
        ];
        assert_eq!(read, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(pairs("a=1,=2").is_err());
        assert!(pairs("\"a=1").is_err());
    }

    #[test]
    fn labels_need_a_key() {
        assert_eq!(label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(label("a"), Ok(("a".into(), String::new())));
        assert!(label("=b").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn plain_pairs_round_trip(
            pairs_in in proptest::collection::vec(("[a-z]{1,8}", "[a-z0-9./:]{0,8}"), 1..6),
        ) {
            let text: Vec<_> = pairs_in.iter().map(|(k, v)| format!("{k}={v}")).collect();
            prop_assert_eq!(pairs(&text.join(",")).unwrap(), pairs_in);
        }
    }
}
