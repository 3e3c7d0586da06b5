//! List filters: values of one field are alternatives, fields narrow each other down.

use std::collections::BTreeMap;

use types::Labels;

/// The filters that every kind of object has.
#[derive(Debug, Default)]
pub struct Common<'a> {
    /// Exact names, regardless of case.
    pub names: &'a [String],
    /// Beginnings of names, regardless of case.
    pub name_prefixes: &'a [String],
    /// Beginnings of ids.
    pub id_prefixes: &'a [String],
    /// Labels; an empty value matches every value.
    pub labels: Option<&'a BTreeMap<String, String>>,
}

impl Common<'_> {
    /// Whether an object passes.
    pub fn matches(&self, id: &dyn ToString, name: &str, labels: &Labels) -> bool {
        let begins = |text: &str, prefix: &String| text.starts_with(prefix.as_str());
        let name = name.to_lowercase();
        any(self.names, |n| n.to_lowercase() == name)
            && any(self.name_prefixes, |p| name.starts_with(&p.to_lowercase()))
            && (self.id_prefixes.is_empty() || {
                let id = id.to_string();
                self.id_prefixes.iter().any(|p| begins(&id, p))
            })
            && self.labels.is_none_or(|wanted| has_labels(labels, wanted))
    }
}

/// Whether no alternative is given or one of them holds.
pub fn any<T>(alternatives: &[T], holds: impl Fn(&T) -> bool) -> bool {
    alternatives.is_empty() || alternatives.iter().any(holds)
}

/// Whether all wanted labels are there; an empty value matches every value.
pub fn has_labels(labels: &Labels, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| {
        labels
            .get(key)
            .is_some_and(|have| value.is_empty() || have == value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    #[test]
    fn values_of_one_field_are_alternatives_and_fields_narrow_down() {
        let names = ["Web".to_string(), "api".to_string()];
        let ids = ["12".to_string()];
        let filter = Common {
            names: &names,
            id_prefixes: &ids,
            ..Common::default()
        };
        assert!(filter.matches(&"123", "web", &Labels::new()));
        assert!(!filter.matches(&"923", "web", &Labels::new()));
        assert!(!filter.matches(&"123", "db", &Labels::new()));
    }

    #[test]
    fn an_empty_label_value_matches_every_value() {
        let have = labels(&[("tier", "front")]);
        assert!(has_labels(&have, &labels(&[("tier", "")])));
        assert!(has_labels(&have, &labels(&[("tier", "front")])));
        assert!(!has_labels(&have, &labels(&[("tier", "back")])));
        assert!(!has_labels(&have, &labels(&[("zone", "")])));
    }
}
