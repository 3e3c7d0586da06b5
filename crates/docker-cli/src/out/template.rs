//! The part of Go's templates that people use with Docker's `--format`.
//!
//! Text with actions in `{{ }}`: fields (`.A.B`, `$.A`), `json`, `join`, `split`, `upper`, `lower`,
//! `title`, `len`, `index`, `truncate`, `println`, `eq`, `ne`, `not`, `and`, `or`, pipelines,
//! parentheses, `if`/`else`, `range`/`else`, `with`/`else`, comments and `{{-`/`-}}` trimming.
//! A field that does not exist is an error that names it, except as a condition. No variables, no
//! definitions, no `printf`.

mod eval;
mod parse;

use serde_json::Value;

use super::FormatError;

type Result<T> = std::result::Result<T, FormatError>;

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Show(Pipeline),
    Block {
        kind: BlockKind,
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    If,
    Range,
    With,
}

/// Calls whose results go into the next one as its last argument.
type Pipeline = Vec<Vec<Term>>;

#[derive(Debug, Clone, PartialEq)]
enum Term {
    /// Fields from the present value, or from the outermost one.
    Path {
        outermost: bool,
        fields: Vec<String>,
    },
    Function(String),
    Literal(Value),
    Nested(Pipeline),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// If it is not one, saying where.
    pub fn parse(text: &str) -> Result<Self> {
        parse::template(text)
            .map(|nodes| Self { nodes })
            .map_err(FormatError)
    }

    /// Fills the template from a value.
    ///
    /// # Errors
    /// If it names a field that the value does not have, or calls a function wrongly.
    pub fn render(&self, value: &Value) -> Result<String> {
        let mut out = String::new();
        eval::nodes(&self.nodes, value, value, &mut out).map_err(FormatError)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> Result<String> {
        let value = json!({
            "ID": "x1",
            "Spec": {
                "Name": "web",
                "Labels": {"tier": "front"},
                "Mode": {"Replicated": {"Replicas": 3}},
            },
            "Ports": [{"Port": 80}, {"Port": 443}],
            "Env": ["a=1", "b=2"],
            "Empty": [],
        });
        Template::parse(text)?.render(&value)
    }

    #[test]
    fn the_documented_subset_renders() {
        let cases = [
            ("{{.ID}}", "x1"),
            ("{{ .Spec.Name }}!", "web!"),
            ("{{json .Spec.Labels}}", r#"{"tier":"front"}"#),
            ("{{.Spec.Labels | json}}", r#"{"tier":"front"}"#),
            ("{{range .Ports}}{{.Port}},{{end}}", "80,443,"),
            ("{{range .Empty}}x{{else}}none{{end}}", "none"),
            (
                "{{if .Spec.Mode.Global}}g{{else if .Spec.Mode.Replicated}}r{{else}}?{{end}}",
                "r",
            ),
            (
                "{{with .Spec.Mode.Replicated}}{{.Replicas}}{{$.ID}}{{end}}",
                "3x1",
            ),
            ("{{join .Env \" \"}}", "a=1 b=2"),
            ("{{upper .Spec.Name}}{{len .Ports}}", "WEB2"),
            (
                "{{index .Spec.Labels \"tier\"}}{{(index .Ports 1).Port}}",
                "front443",
            ),
            ("a {{- .ID -}} b{{/* note */}}", "ax1b"),
            ("{{if and (eq .ID \"x1\") (not .Empty)}}yes{{end}}", "yes"),
            ("{{.Env}}", "[a=1 b=2]"),
            ("{{.Spec.Labels}}", "map[tier:front]"),
            ("{{println .ID}}", "x1\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(render(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_rendered_is_named() {
        let cases = [
            (
                "{{.Nope}}",
                "no field \"Nope\" in .Nope; there are ID, Spec, Ports, Env, Empty",
            ),
            (
                "{{.Spec.Nmae}}",
                "no field \"Nmae\" in .Spec.Nmae; there are Name, Labels, Mode",
            ),
            (
                "{{.ID.X}}",
                "no field \"X\" in .ID.X: the value is not an object",
            ),
            ("{{frob .ID}}", "unknown function \"frob\""),
            (
                "{{.ID",
                "an action is not closed: \"}}\" is missing after \"{{.ID\"",
            ),
            ("{{if .ID}}x", "{{end}} is missing"),
            ("{{end}}", "{{end}} without a beginning"),
            ("{{}}", "an action is empty"),
            ("{{range .ID}}{{end}}", "cannot range over a text"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                render(text).unwrap_err().to_string(),
                format!("--format: {expected}")
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_rendered_or_refused_without_a_crash(text in "[{}a.$|()\"\\- if]{0,40}") {
            let _either = render(&text);
        }

        #[test]
        fn text_without_actions_is_kept(text in "[a-z <>\n\t]{0,40}") {
            prop_assert_eq!(render(&text).unwrap(), text);
        }
    }
}
