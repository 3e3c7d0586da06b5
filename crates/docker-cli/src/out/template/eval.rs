//! From a template and a value to text.

use serde_json::Value;

use super::{BlockKind, Node, Pipeline, Term};

type Result<T> = std::result::Result<T, String>;

struct Scope<'a> {
    present: &'a Value,
    outermost: &'a Value,
    /// Fields that do not exist are null instead of an error.
    lenient: bool,
}

pub(super) fn nodes(
    nodes_in: &[Node],
    present: &Value,
    outermost: &Value,
    out: &mut String,
) -> Result<()> {
    for node in nodes_in {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Show(show) => {
                let scope = Scope {
                    present,
                    outermost,
                    lenient: false,
                };
                out.push_str(&text(&pipeline(show, &scope)?));
            }
            Node::Block {
                kind,
                over,
                body,
                otherwise,
            } => {
                let scope = Scope {
                    present,
                    outermost,
                    lenient: true,
                };
                let value = pipeline(over, &scope)?;
                if !truth(&value) {
                    nodes(otherwise, present, outermost, out)?;
                    continue;
                }
                match kind {
                    BlockKind::If => nodes(body, present, outermost, out)?,
                    BlockKind::With => nodes(body, &value, outermost, out)?,
                    BlockKind::Range => {
                        for item in items(&value)? {
                            nodes(body, item, outermost, out)?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

fn items(value: &Value) -> Result<Vec<&Value>> {
    match value {
        Value::Array(items) => Ok(items.iter().collect()),
        Value::Object(fields) => Ok(fields.values().collect()),
        other => Err(format!("cannot range over {}", kind(other))),
    }
}

fn pipeline(calls: &Pipeline, scope: &Scope<'_>) -> Result<Value> {
    let mut piped: Option<Value> = None;
    for call in calls {
        let value = match (call.first(), piped.take()) {
            // A field after parentheses reads from what they gave.
            (
                Some(Term::Path {
                    outermost: false,
                    fields,
                }),
                Some(from),
            ) => field_of(&from, fields, scope.lenient)?,
            (_, before) => one_call(call, before, scope)?,
        };
        piped = Some(value);
    }
    Ok(piped.unwrap_or(Value::Null))
}

fn one_call(call: &[Term], piped: Option<Value>, scope: &Scope<'_>) -> Result<Value> {
    match call.split_first() {
        Some((Term::Function(name), rest)) => {
            let mut args = rest
                .iter()
                .map(|t| term(t, scope))
                .collect::<Result<Vec<_>>>()?;
            args.extend(piped);
            function(name, &args)
        }
        Some((only, [])) if piped.is_none() => term(only, scope),
        _ => Err("a value cannot be called with arguments".into()),
    }
}

fn term(term: &Term, scope: &Scope<'_>) -> Result<Value> {
    match term {
        Term::Literal(value) => Ok(value.clone()),
        Term::Nested(calls) => pipeline(calls, scope),
        Term::Function(name) => function(name, &[]),
        Term::Path { outermost, fields } => {
            let from = if *outermost {
                scope.outermost
            } else {
                scope.present
            };
            field_of(from, fields, scope.lenient)
        }
    }
}

fn field_of(from: &Value, fields: &[String], lenient: bool) -> Result<Value> {
    let mut value = from;
    for field in fields {
        let found = value.get(field.as_str());
        match found {
            Some(next) => value = next,
            None if lenient => return Ok(Value::Null),
            None => return Err(no_field(value, field, fields)),
        }
    }
    Ok(value.clone())
}

fn no_field(value: &Value, field: &str, path: &[String]) -> String {
    let path = path.join(".");
    match value {
        Value::Object(known) => {
            let names: Vec<_> = known.keys().map(String::as_str).collect();
            format!(
                "no field \"{field}\" in .{path}; there are {}",
                names.join(", ")
            )
        }
        _ => format!("no field \"{field}\" in .{path}: the value is not an object"),
    }
}

fn function(name: &str, args: &[Value]) -> Result<Value> {
    match (name, args) {
        ("json", [value]) => Ok(value.to_string().into()),
        ("upper", [value]) => Ok(text(value).to_uppercase().into()),
        ("lower", [value]) => Ok(text(value).to_lowercase().into()),
        ("title", [value]) => Ok(title(&text(value)).into()),
        ("println", values) => Ok((words(values) + "\n").into()),
        ("print", values) => Ok(words(values).into()),
        ("join", [list, separator]) => {
            let items: Vec<_> = items(list)?.into_iter().map(text).collect();
            Ok(items.join(&text(separator)).into())
        }
        ("split", [value, separator]) => {
            let (value, separator) = (text(value), text(separator));
            Ok(value
                .split(&separator)
                .map(Value::from)
                .collect::<Vec<_>>()
                .into())
        }
        ("truncate", [value, length]) => {
            let length = usize::try_from(length.as_i64().unwrap_or(0)).unwrap_or(0);
            Ok(text(value).chars().take(length).collect::<String>().into())
        }
        ("len", [value]) => Ok(length(value)?.into()),
        ("index", [from, keys @ ..]) => index(from, keys),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => Ok(rest.contains(first).into()),
        ("ne", [first, second]) => Ok((first != second).into()),
        ("not", [value]) => Ok((!truth(value)).into()),
        ("and", [.., last]) => Ok(args.iter().find(|v| !truth(v)).unwrap_or(last).clone()),
        ("or", [.., last]) => Ok(args.iter().find(|v| truth(v)).unwrap_or(last).clone()),
        _ if FUNCTIONS.contains(&name) => Err(format!(
            "wrong number of arguments for \"{name}\": {}",
            args.len()
        )),
        _ => Err(format!("unknown function \"{name}\"")),
    }
}

const FUNCTIONS: [&str; 15] = [
    "json", "upper", "lower", "title", "println", "print", "join", "split", "truncate", "len",
    "index", "eq", "ne", "not", "and",
];

fn index(from: &Value, keys: &[Value]) -> Result<Value> {
    let mut value = from.clone();
    for key in keys {
        let found = match (&value, key) {
            (Value::Array(items), Value::Number(at)) => {
                let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
                let missing = || format!("index {key} is outside of the list");
                Some(
                    at.and_then(|at| items.get(at))
                        .cloned()
                        .ok_or_else(missing)?,
                )
            }
            (Value::Object(fields), Value::String(name)) => fields.get(name).cloned(),
            (Value::Null, _) => None,
            (other, _) => return Err(format!("cannot index {} by {key}", kind(other))),
        };
        value = found.unwrap_or_else(|| Value::from(""));
    }
    Ok(value)
}

fn length(value: &Value) -> Result<usize> {
    match value {
        Value::Array(items) => Ok(items.len()),
        Value::Object(fields) => Ok(fields.len()),
        Value::String(text) => Ok(text.len()),
        Value::Null => Ok(0),
        other => Err(format!("{} has no length", kind(other))),
    }
}

fn words(values: &[Value]) -> String {
    values.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).collect()
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// As Go prints a value.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", words(items)),
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(k, v)| format!("{k}:{}", text(v)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
