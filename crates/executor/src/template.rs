//! The part of Go's template language that service specs use: fields of the task's surroundings,
//! `join`, `index` on labels, and in payloads `secret`, `config` and `env`.
//!
//! What is outside that part (pipelines, conditions, loops, variables) is an error that says so;
//! nothing is ever passed through unexpanded.

use types::Labels;
use types::naming::task_name;

use crate::run::{FileKind, TaskFile, TaskRun};

/// Why a template cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("the template has {{{{ without }}}}")]
    Unclosed,
    /// Not a form that is supported.
    #[error(
        "the template expression {0:?} is not supported; fields such as .Service.Name, \
         .Node.Hostname and .Task.Slot are"
    )]
    Unsupported(String),
    /// A field that does not exist.
    #[error("the template field {0:?} does not exist")]
    UnknownField(String),
    /// A label, secret, config or variable that does not exist.
    #[error("the template asks for {kind} {name:?}, which does not exist")]
    Missing {
        /// Kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A secret or config that is not text.
    #[error("the template asks for {0:?}, which is not UTF-8 text")]
    NotText(String),
}

/// What templates may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    service_id: String,
    service_name: String,
    service_labels: Labels,
    node_id: String,
    node_hostname: String,
    node_os: String,
    node_architecture: String,
    task_id: String,
    task_name: String,
    task_slot: String,
}

impl Facts {
    /// The facts of a task on its node.
    pub fn of(run: &TaskRun) -> Self {
        let task = &run.task;
        let node_id = run.node.id.or(task.node_id).map(|id| id.to_string());
        let node_id = node_id.unwrap_or_default();
        let is_global = task.service_spec.mode.is_global();
        Self {
            service_id: task.service_id.map(|id| id.to_string()).unwrap_or_default(),
            service_name: task.service_annotations().name.clone(),
            service_labels: task.service_annotations().labels.clone(),
            node_hostname: run.node.hostname.clone(),
            node_os: run.node.platform.os.clone(),
            node_architecture: run.node.platform.architecture.clone(),
            task_id: task.id.to_string(),
            task_name: task_name(task),
            task_slot: if is_global {
                node_id.clone()
            } else {
                task.slot.to_string()
            },
            node_id,
        }
    }

    fn field(&self, path: &str) -> Result<String, TemplateError> {
        let value = match path {
            ".Service.ID" => &self.service_id,
            ".Service.Name" => &self.service_name,
            ".Node.ID" => &self.node_id,
            ".Node.Hostname" => &self.node_hostname,
            ".Node.Platform.OS" => &self.node_os,
            ".Node.Platform.Architecture" => &self.node_architecture,
            ".Task.ID" => &self.task_id,
            ".Task.Name" => &self.task_name,
            ".Task.Slot" => &self.task_slot,
            _ => return self.label_field(path),
        };
        Ok(value.clone())
    }

    fn label_field(&self, path: &str) -> Result<String, TemplateError> {
        let Some(name) = path.strip_prefix(".Service.Labels.") else {
            return Err(TemplateError::UnknownField(path.to_owned()));
        };
        self.service_labels
            .get(name)
            .cloned()
            .ok_or_else(|| TemplateError::Missing {
                kind: "the service label",
                name: name.to_owned(),
            })
    }
}

/// What payload templates may name besides the facts.
#[derive(Debug, Clone, Copy)]
pub struct PayloadSource<'a> {
    /// The task's secrets and configs, by target name.
    pub files: &'a [TaskFile],
    /// The task's environment.
    pub env: &'a [String],
}

/// Expands the template of a spec field.
///
/// # Errors
///
/// See [`TemplateError`].
pub fn expand_text(text: &str, facts: &Facts) -> Result<String, TemplateError> {
    expand_with(
        text,
        &Scope {
            facts,
            payload: None,
        },
    )
}

/// Expands the template of a secret's or config's content.
///
/// # Errors
///
/// See [`TemplateError`].
pub fn expand_payload(
    text: &str,
    facts: &Facts,
    payload: &PayloadSource<'_>,
) -> Result<String, TemplateError> {
    let payload = Some(payload);
    expand_with(text, &Scope { facts, payload })
}

struct Scope<'a> {
    facts: &'a Facts,
    payload: Option<&'a PayloadSource<'a>>,
}

fn expand_with(text: &str, scope: &Scope<'_>) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let (before, action) = (&rest[..open], &rest[open + 2..]);
        let close = action_end(action).ok_or(TemplateError::Unclosed)?;
        let after = &action[close + 2..];
        let (inner, trim_left, trim_right) = trim_markers(&action[..close]);
        out.push_str(if trim_left { before.trim_end() } else { before });
        let is_comment = inner.starts_with("/*") && inner.ends_with("*/");
        if !is_comment {
            out.push_str(&scope.evaluate(inner)?);
        }
        rest = if trim_right {
            after.trim_start()
        } else {
            after
        };
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the action's `}}` is, leaving out those inside string literals.
fn action_end(action: &str) -> Option<usize> {
    let bytes = action.as_bytes();
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, open @ (b'"' | b'`')) => quote = Some(open),
            (Some(b'"'), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The action without Go's `{{- ` and ` -}}` markers, and which of them it had.
fn trim_markers(action: &str) -> (&str, bool, bool) {
    let is_space = |c: Option<char>| c.is_some_and(char::is_whitespace);
    let (mut inner, mut left, mut right) = (action, false, false);
    if let Some(stripped) = inner
        .strip_prefix('-')
        .filter(|s| is_space(s.chars().next()))
    {
        (inner, left) = (stripped, true);
    }
    if let Some(stripped) = inner
        .strip_suffix('-')
        .filter(|s| is_space(s.chars().last()))
    {
        (inner, right) = (stripped, true);
    }
    (inner.trim(), left, right)
}

impl Scope<'_> {
    fn evaluate(&self, expression: &str) -> Result<String, TemplateError> {
        let unsupported = || TemplateError::Unsupported(expression.to_owned());
        let words = words(expression).ok_or_else(unsupported)?;
        let (first, arguments) = words.split_first().ok_or_else(unsupported)?;
        match first {
            Word::Name(name) if !name.starts_with('.') => self
                .call(name, arguments)
                .unwrap_or_else(|| Err(unsupported())),
            operand if arguments.is_empty() => self.operand(operand),
            _ => Err(unsupported()),
        }
    }

    fn operand(&self, word: &Word) -> Result<String, TemplateError> {
        match word {
            Word::Text(text) => Ok(text.clone()),
            Word::Name(name) if name.starts_with('.') => self.facts.field(name),
            Word::Name(name) => Err(TemplateError::Unsupported(name.clone())),
        }
    }

    /// The value of a function call; `None` for a function or arguments that do not exist.
    fn call(&self, name: &str, arguments: &[Word]) -> Option<Result<String, TemplateError>> {
        match (name, arguments) {
            ("join", [separator, parts @ ..]) => Some(self.join(separator, parts)),
            ("index", [Word::Name(map), key]) if map == ".Service.Labels" => {
                let label = |key: String| self.facts.service_labels.get(&key).cloned();
                Some(self.operand(key).map(|key| label(key).unwrap_or_default()))
            }
            ("secret" | "config" | "env", [argument]) => {
                let payload = self.payload?;
                let wanted = match self.operand(argument) {
                    Ok(wanted) => wanted,
                    Err(error) => return Some(Err(error)),
                };
                Some(payload.lookup(name, &wanted))
            }
            _ => None,
        }
    }

    fn join(&self, separator: &Word, parts: &[Word]) -> Result<String, TemplateError> {
        let separator = self.operand(separator)?;
        let parts: Result<Vec<_>, _> = parts.iter().map(|part| self.operand(part)).collect();
        Ok(parts?.join(&separator))
    }
}

impl PayloadSource<'_> {
    fn lookup(&self, function: &str, name: &str) -> Result<String, TemplateError> {
        match function {
            "secret" => self.file(FileKind::Secret, "the secret", name),
            "config" => self.file(FileKind::Config, "the config", name),
            _ => self.variable(name),
        }
    }

    fn file(
        &self,
        kind: FileKind,
        kind_name: &'static str,
        name: &str,
    ) -> Result<String, TemplateError> {
        let found = self
            .files
            .iter()
            .find(|f| f.kind == kind && f.target.name == name);
        let file = found.ok_or_else(|| TemplateError::Missing {
            kind: kind_name,
            name: name.to_owned(),
        })?;
        String::from_utf8(file.content.expose().to_vec())
            .map_err(|_| TemplateError::NotText(name.to_owned()))
    }

    fn variable(&self, name: &str) -> Result<String, TemplateError> {
        let value = |line: &String| {
            let (key, value) = line.split_once('=')?;
            (key == name).then(|| value.to_owned())
        };
        self.env
            .iter()
            .find_map(value)
            .ok_or_else(|| TemplateError::Missing {
                kind: "the environment variable",
                name: name.to_owned(),
            })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Name(String),
    Text(String),
}

/// The words of an expression; `None` when it has anything but names, fields and strings.
fn words(expression: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut chars = expression.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
        } else if c == '"' || c == '`' {
            chars.next();
            words.push(Word::Text(string_literal(c, &mut chars)?));
        } else {
            let mut name = String::new();
            while let Some(&c) = chars.peek().filter(|c| is_name_char(**c)) {
                name.push(c);
                chars.next();
            }
            if name.is_empty() {
                return None;
            }
            words.push(Word::Name(name));
        }
    }
    Some(words)
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_')
}

fn string_literal(quote: char, chars: &mut impl Iterator<Item = char>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            c if c == quote => return Some(text),
            '\\' if quote == '"' => text.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                c @ ('"' | '\\') => c,
                _ => return None,
            }),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::SecretBytes;
    use types::container::FileTarget;

    fn facts() -> Facts {
        Facts {
            service_name: "web".into(),
            service_labels: [("tier".to_owned(), "front".to_owned())].into(),
            node_hostname: "n1".into(),
            node_os: "linux".into(),
            task_slot: "3".into(),
            ..Facts::default()
        }
    }

    #[test]
    fn supported_forms_expand() {
        for (template, expected) in [
            ("plain } text {", "plain } text {"),
            ("{{.Service.Name}}-{{ .Task.Slot }}", "web-3"),
            ("a {{- .Task.Slot -}} b", "a3b"),
            ("x{{/* note */}}y", "xy"),
            ("{{.Service.Labels.tier}}", "front"),
            (r#"{{index .Service.Labels "tier"}}"#, "front"),
            (r#"{{index .Service.Labels "none"}}"#, ""),
            (
                r#"{{join "-" .Service.Name .Node.Hostname "z"}}"#,
                "web-n1-z",
            ),
            (r#"{{"}}"}}"#, "}}"),
            ("{{`raw \\`}}", "raw \\"),
            ("{{.Node.Platform.OS}}", "linux"),
        ] {
            assert_eq!(
                expand_text(template, &facts()).unwrap(),
                expected,
                "{template}"
            );
        }
    }

    #[test]
    fn unsupported_forms_are_errors_not_text() {
        use TemplateError::{Missing, Unclosed, UnknownField, Unsupported};
        let error = |template: &str| expand_text(template, &facts()).unwrap_err();
        assert_eq!(error("{{.Service.Name"), Unclosed);
        assert!(matches!(error("{{.Task.Nope}}"), UnknownField(_)));
        assert!(matches!(error("{{.Service.Labels.none}}"), Missing { .. }));
        for template in [
            "{{if .Task.Slot}}",
            "{{.Task.Slot | upper}}",
            "{{}}",
            "{{nope}}",
        ] {
            assert!(matches!(error(template), Unsupported(_)), "{template}");
        }
        assert!(
            matches!(error(r#"{{env "A"}}"#), Unsupported(_)),
            "only in payloads"
        );
    }

    #[test]
    fn payloads_may_name_secrets_configs_and_variables() {
        let file = |kind, name: &str, content: &[u8]| TaskFile {
            kind,
            name: name.into(),
            target: FileTarget::named(name),
            content: SecretBytes::new(content.to_vec()),
        };
        let files = [
            file(FileKind::Secret, "password", b"pw"),
            file(FileKind::Config, "name", b"db"),
            file(FileKind::Config, "binary", b"\xff"),
        ];
        let env = ["PORT=80".to_owned()];
        let source = PayloadSource {
            files: &files,
            env: &env,
        };
        let text = r#"{{config "name"}}:{{secret "password"}}@{{.Node.Hostname}}:{{env "PORT"}}"#;
        assert_eq!(
            expand_payload(text, &facts(), &source).unwrap(),
            "db:pw@n1:80"
        );
        for text in [
            r#"{{secret "name"}}"#,
            r#"{{env "NONE"}}"#,
            r#"{{config "binary"}}"#,
        ] {
            assert!(expand_payload(text, &facts(), &source).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_expands_or_is_refused_without_a_panic(text in ".*", inner in ".*") {
            let _ = expand_text(&text, &facts());
            let _ = expand_text(&format!("{{{{{inner}}}}}"), &facts());
        }
    }
}
