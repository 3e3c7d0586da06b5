//! A list of objects as a table, as JSON lines, through a template, or as bare ids.

use serde_json::{Map, Value};

use super::FormatError;
use super::table;
use super::template::Template;

type Result<T> = std::result::Result<T, FormatError>;

/// Flags of every command that lists.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ListArgs {
    /// Show only ids
    #[arg(short, long)]
    pub quiet: bool,
    /// Show only what matches (KEY=VALUE, may be repeated)
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// "table", "json", "table TEMPLATE" or a Go template such as '{{.ID}} {{.Name}}'
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Do not shorten ids and texts
    #[arg(long)]
    pub no_trunc: bool,
}

/// One object of a list: field names as templates have them, in order.
pub type Row = Map<String, Value>;

/// Objects with the columns of their table.
pub struct Listing {
    /// Field and header of each column of the default table.
    pub columns: &'static [(&'static str, &'static str)],
    /// Field and header of what only templates show.
    pub extra: &'static [(&'static str, &'static str)],
    /// Template of the default table where a column is more than a field.
    pub table: Option<&'static str>,
    /// The objects.
    pub rows: Vec<Row>,
}

/// Field that `--quiet` shows.
const QUIET_FIELD: &str = "ID";

impl Listing {
    /// The text that a user asked for.
    ///
    /// # Errors
    /// If the format is not a template or names a field that the objects do not have.
    pub fn render(&self, args: &ListArgs) -> Result<String> {
        if args.quiet {
            return Ok(lines(self.rows.iter().map(|row| cell(row, QUIET_FIELD))));
        }
        match args.format.as_deref() {
            None | Some("" | "table") => match self.table {
                Some(template) => self.template_table(template),
                None => Ok(self.table()),
            },
            Some("json") => Ok(lines(
                self.rows
                    .iter()
                    .map(|row| Value::from(row.clone()).to_string()),
            )),
            Some(format) => match format.strip_prefix("table ") {
                Some(template) => self.template_table(&unescape(template)),
                None => self.template(&unescape(format)),
            },
        }
    }

    fn table(&self) -> String {
        let header = self
            .columns
            .iter()
            .map(|(_, header)| (*header).to_owned())
            .collect();
        let cells = |row: &Row| {
            self.columns
                .iter()
                .map(|(field, _)| cell(row, field))
                .collect()
        };
        let lines: Vec<_> = [header]
            .into_iter()
            .chain(self.rows.iter().map(cells))
            .collect();
        table::align(&lines)
    }

    fn template(&self, text: &str) -> Result<String> {
        let template = Template::parse(text)?;
        self.check_fields(&template)?;
        let rendered = self
            .rows
            .iter()
            .map(|row| template.render(&Value::from(row.clone())));
        Ok(lines(rendered.collect::<Result<Vec<_>>>()?.into_iter()))
    }

    /// Headers come from rendering the template over the names of the columns.
    fn template_table(&self, text: &str) -> Result<String> {
        let template = Template::parse(text)?;
        let all = self.columns.iter().chain(self.extra);
        let headers: Row = all
            .map(|(f, header)| ((*f).to_owned(), Value::from(*header)))
            .collect();
        let mut rendered = vec![template.render(&Value::from(headers))?];
        for row in &self.rows {
            rendered.push(template.render(&Value::from(row.clone()))?);
        }
        let split = |line: &String| line.split('\t').map(str::to_owned).collect();
        Ok(table::align(
            &rendered.iter().map(split).collect::<Vec<_>>(),
        ))
    }

    /// A wrong field is an error also when there is nothing to show.
    fn check_fields(&self, template: &Template) -> Result<()> {
        let all = self.columns.iter().chain(self.extra);
        let fields: Row = all
            .map(|(f, header)| ((*f).to_owned(), Value::from(*header)))
            .collect();
        if self.rows.is_empty() {
            template.render(&Value::from(fields)).map(drop)
        } else {
            Ok(())
        }
    }
}

fn cell(row: &Row, field: &str) -> String {
    match row.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn lines(texts: impl Iterator<Item = String>) -> String {
    texts.map(|text| text + "\n").collect()
}

/// Shells pass `\t` and `\n` on as two characters each.
pub fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listing() -> Listing {
        let row = |id: &str, name: &str| match json!({"ID": id, "Name": name, "Labels": "a=1"}) {
            Value::Object(row) => row,
            _ => unreachable!(),
        };
        Listing {
            columns: &[("ID", "ID"), ("Name", "NAME")],
            extra: &[("Labels", "LABELS")],
            table: None,
            rows: vec![row("x1", "web"), row("y2", "database")],
        }
    }

    fn render(format: &str) -> Result<String> {
        listing().render(&ListArgs {
            format: Some(format.into()),
            ..ListArgs::default()
        })
    }

    #[test]
    fn each_format_shows_the_same_rows() {
        let plain = listing().render(&ListArgs::default()).unwrap();
        assert_eq!(plain, "ID   NAME\nx1   web\ny2   database\n");
        assert_eq!(render("{{.Name}}").unwrap(), "web\ndatabase\n");
        let table = render("table {{.Name}}\\t{{.Labels}}").unwrap();
        assert_eq!(table, "NAME       LABELS\nweb        a=1\ndatabase   a=1\n");
        let json = render("json").unwrap();
        assert!(
            json.starts_with("{\"ID\":\"x1\",\"Name\":\"web\",\"Labels\":\"a=1\"}\n"),
            "{json}"
        );
        let quiet = ListArgs {
            quiet: true,
            ..ListArgs::default()
        };
        assert_eq!(listing().render(&quiet).unwrap(), "x1\ny2\n");
    }

    #[test]
    fn an_unknown_field_is_named_even_in_an_empty_list() {
        let mut empty = listing();
        empty.rows.clear();
        let args = ListArgs {
            format: Some("{{.Nmae}}".into()),
            ..ListArgs::default()
        };
        let error = empty.render(&args).unwrap_err().to_string();
        assert_eq!(
            error,
            "--format: no field \"Nmae\" in .Nmae; there are ID, Name, Labels"
        );
    }
}
