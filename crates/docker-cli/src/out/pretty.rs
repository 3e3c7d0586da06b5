//! Objects laid out for reading: one field a line, nested ones indented.

use std::time::Duration;

use serde_json::Value;

use super::human;

/// Fields that hold nanoseconds.
const DURATIONS: [&str; 12] = [
    "Delay",
    "Monitor",
    "Window",
    "StopGracePeriod",
    "Interval",
    "Timeout",
    "StartPeriod",
    "StartInterval",
    "NodeCertExpiry",
    "HeartbeatPeriod",
    "Since",
    "ProgressDeadline",
];

/// The lines of an object; what is empty is left out.
pub fn layout(object: &Value) -> String {
    let mut text = String::new();
    fields(object, 0, &mut text);
    text
}

fn fields(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            let shown = map.iter().filter(|(name, value)| !is_empty(name, value));
            for (name, value) in shown {
                match plain(name, value) {
                    Some(text) => out.push_str(&format!("{indent}{name}: {text}\n")),
                    None => {
                        out.push_str(&format!("{indent}{name}:\n"));
                        fields(value, depth + 1, out);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                fields(item, depth + 1, &mut inner);
                // The first line of an item carries its mark.
                let start = indent.len() + 2;
                out.push_str(&format!(
                    "{indent}- {}",
                    inner.get(start..).unwrap_or(&inner)
                ));
            }
        }
        Value::String(text) => {
            text.lines()
                .for_each(|line| out.push_str(&format!("{indent}{line}\n")));
        }
        other => out.push_str(&format!(
            "{indent}{}\n",
            plain("", other).unwrap_or_default()
        )),
    }
}

/// A value that fits behind its name.
fn plain(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(quantity(name, number.as_i64(), value)),
        Value::String(text) if text.contains('\n') => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let words: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            Some(words.join(" "))
        }
        Value::Object(map) if map.is_empty() => Some("yes".into()),
        _ => None,
    }
}

fn quantity(name: &str, number: Option<i64>, value: &Value) -> String {
    let whole = number.and_then(|n| u64::try_from(n).ok());
    match (name, whole) {
        ("NanoCPUs", Some(_)) => human::cpus(number.unwrap_or(0)),
        ("MemoryBytes" | "SizeBytes", Some(bytes)) => human::bytes(bytes),
        (name, Some(nanos)) if DURATIONS.contains(&name) => {
            human::go_duration(Duration::from_nanos(nanos))
        }
        _ => value.to_string(),
    }
}

/// Fields whose being there says which of several forms was chosen.
const FORMS: [&str; 3] = ["Global", "GlobalJob", "Runtime"];

fn is_empty(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && !FORMS.contains(&name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_indented_and_quantities_readable() {
        let object = json!({
            "ID": "x",
            "Spec": {
                "Mode": {"Global": {}},
                "Env": ["a=1", "b=2"],
                "Ports": [{"Port": 80, "Mode": "host"}, {"Port": 81}],
                "Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 536_870_912},
                "Delay": 5_000_000_000_u64,
                "Empty": [],
                "Labels": {},
                "Note": "two\nlines",
            },
        });
        let expected = "\
ID: x
Spec:
  Mode:
    Global: yes
  Env: a=1 b=2
  Ports:
    - Port: 80
      Mode: host
    - Port: 81
  Limits:
    NanoCPUs: 0.5
    MemoryBytes: 512MiB
  Delay: 5s
  Note:
    two
    lines
";
        assert_eq!(layout(&object), expected);
    }
}
