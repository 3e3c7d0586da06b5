//! `--filter KEY=VALUE`.

use std::collections::BTreeMap;

use super::keyed::label;

/// A filter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid value \"{value}\" for --filter: {why}")]
pub struct FilterError {
    value: String,
    why: String,
}

impl FilterError {
    fn new(value: &str, why: impl Into<String>) -> Self {
        Self {
            value: value.to_owned(),
            why: why.into(),
        }
    }
}

type Result<T> = std::result::Result<T, FilterError>;

/// Filters by key. Values of one key are alternatives, keys narrow each other down.
#[derive(Debug, Default, Clone)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads filters with one of the `known` keys.
    ///
    /// # Errors
    /// If a key is unknown or has no value.
    pub fn parse(texts: &[String], known: &[&str]) -> Result<Self> {
        let mut filters = Self::default();
        for text in texts {
            let refuse = |why: String| FilterError::new(text, why);
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            if !known.contains(&key) {
                let keys = known.join(", ");
                return Err(refuse(format!("unknown key \"{key}\"; known are {keys}")));
            }
            if value.is_empty() {
                return Err(refuse("expected KEY=VALUE".into()));
            }
            filters
                .0
                .entry(key.to_owned())
                .or_default()
                .push(value.to_owned());
        }
        Ok(filters)
    }

    /// The values of a key; none if it was not given.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The values of a key as labels.
    ///
    /// # Errors
    /// If one has no key.
    pub fn labels(&self, key: &str) -> Result<BTreeMap<String, String>> {
        let read = |text: &String| label(text).map_err(|why| FilterError::new(text, why));
        self.get(key).iter().map(read).collect()
    }

    /// The values of a key, each read by `read`.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn each<T>(&self, key: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
        let values = self.get(key).iter();
        values
            .map(|v| {
                read(v).ok_or_else(|| FilterError::new(&format!("{key}={v}"), "unknown value"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_and_values_collected() {
        let texts = ["name=a", "name=b", "label=x=1"].map(str::to_owned);
        let filters = Filters::parse(&texts, &["name", "label"]).unwrap();
        assert_eq!(filters.get("name"), ["a", "b"]);
        assert_eq!(filters.labels("label").unwrap()["x"], "1");
        let error = Filters::parse(&["colour=red".into()], &["id", "name"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid value \"colour=red\" for --filter: unknown key \"colour\"; known are id, name"
        );
    }
}
