//! From text to a template.

use serde_json::Value;

use super::{BlockKind, Node, Pipeline, Term};

type Result<T> = std::result::Result<T, String>;

/// Deepest nesting of parentheses and blocks; people write two or three.
const DEPTH_MAX: usize = 32;

enum Piece {
    Text(String),
    Action(String),
}

pub(super) fn template(text: &str) -> Result<Vec<Node>> {
    let mut pieces = pieces(text)?.into_iter().peekable();
    let (nodes, end) = nodes(&mut pieces, 0)?;
    match end {
        End::Text => Ok(nodes),
        End::Else(_) => Err("{{else}} without a beginning".into()),
        End::Block => Err("{{end}} without a beginning".into()),
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some(at) = rest.find("{{") {
        let inner = &rest[at + 2..];
        let missing = || {
            format!(
                "an action is not closed: \"}}}}\" is missing after \"{}\"",
                &rest[at..]
            )
        };
        let end = inner.find("}}").ok_or_else(missing)?;
        let mut before = &rest[..at];
        let mut action = &inner[..end];
        if trim {
            before = before.trim_start();
        }
        if let Some(cut) = action.strip_prefix("- ") {
            action = cut;
            before = before.trim_end();
        }
        trim = action.ends_with(" -");
        action = action.strip_suffix(" -").unwrap_or(action);
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Action(action.trim().to_owned()));
        rest = &inner[end + 2..];
    }
    let last = if trim { rest.trim_start() } else { rest };
    pieces.push(Piece::Text(last.to_owned()));
    Ok(pieces)
}

enum End {
    Text,
    Block,
    /// With the condition of an `else if`.
    Else(Option<String>),
}

type Pieces = std::iter::Peekable<std::vec::IntoIter<Piece>>;

fn nodes(pieces: &mut Pieces, depth: usize) -> Result<(Vec<Node>, End)> {
    if depth > DEPTH_MAX {
        return Err("blocks are nested too deep".into());
    }
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) if text.is_empty() => continue,
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = action
            .split_once(char::is_whitespace)
            .unwrap_or((&action, ""));
        match word {
            "" => return Err("an action is empty".into()),
            _ if action.starts_with("/*") => {}
            "end" => return Ok((nodes, End::Block)),
            "else" => {
                let condition = rest.trim().strip_prefix("if ").map(str::to_owned);
                return Ok((nodes, End::Else(condition)));
            }
            "if" => nodes.push(block(BlockKind::If, rest, pieces, depth)?),
            "range" => nodes.push(block(BlockKind::Range, rest, pieces, depth)?),
            "with" => nodes.push(block(BlockKind::With, rest, pieces, depth)?),
            _ => nodes.push(Node::Show(pipeline(&action)?)),
        }
    }
    Ok((nodes, End::Text))
}

fn block(kind: BlockKind, over: &str, pieces: &mut Pieces, depth: usize) -> Result<Node> {
    let over = pipeline(over)?;
    let (body, end) = nodes(pieces, depth + 1)?;
    let otherwise = match end {
        End::Block => Vec::new(),
        End::Text => return Err("{{end}} is missing".into()),
        End::Else(Some(condition)) => {
            vec![block(BlockKind::If, &condition, pieces, depth + 1)?]
        }
        End::Else(None) => match nodes(pieces, depth + 1)? {
            (otherwise, End::Block) => otherwise,
            _ => return Err("{{end}} is missing".into()),
        },
    };
    Ok(Node::Block {
        kind,
        over,
        body,
        otherwise,
    })
}

fn pipeline(text: &str) -> Result<Pipeline> {
    let tokens = tokens(text)?;
    let mut rest = tokens.as_slice();
    let parsed = calls(&mut rest, 0)?;
    match rest {
        [] => Ok(parsed),
        _ => Err(format!("unexpected \")\" in \"{text}\"")),
    }
}

fn calls(rest: &mut &[Token], depth: usize) -> Result<Pipeline> {
    if depth > DEPTH_MAX {
        return Err("parentheses are nested too deep".into());
    }
    let mut calls = vec![Vec::new()];
    while let Some((token, after)) = rest.split_first() {
        let term = match token {
            Token::Close => break,
            Token::Pipe => {
                *rest = after;
                calls.push(Vec::new());
                continue;
            }
            Token::Open => {
                *rest = after;
                let nested = Term::Nested(calls_closed(rest, depth)?);
                push(&mut calls, nested);
                continue;
            }
            Token::Literal(value) => Term::Literal(value.clone()),
            Token::Word(word) => term(word)?,
        };
        *rest = after;
        push(&mut calls, term);
    }
    match calls.iter().any(Vec::is_empty) {
        true => Err("an action is empty".into()),
        false => Ok(calls),
    }
}

fn calls_closed(rest: &mut &[Token], depth: usize) -> Result<Pipeline> {
    let nested = calls(rest, depth + 1)?;
    match rest.split_first() {
        Some((Token::Close, after)) => {
            *rest = after;
            // `(index .A 0).B` reads a field of what the parentheses give.
            if let Some((Token::Word(word), after)) = rest.split_first()
                && let Some(fields) = word.strip_prefix("\u{0}.")
            {
                *rest = after;
                return Ok(vec![vec![Term::Nested(nested)], vec![path(false, fields)?]]);
            }
            Ok(nested)
        }
        _ => Err("\")\" is missing".into()),
    }
}

fn push(calls: &mut Pipeline, term: Term) {
    if let Some(call) = calls.last_mut() {
        call.push(term);
    }
}

fn term(word: &str) -> Result<Term> {
    if let Some(fields) = word.strip_prefix("$.") {
        return path(true, fields);
    }
    if let Some(fields) = word.strip_prefix('.') {
        return path(false, fields);
    }
    match word {
        "$" => path(true, ""),
        "true" => Ok(Term::Literal(true.into())),
        "false" => Ok(Term::Literal(false.into())),
        "nil" => Ok(Term::Literal(Value::Null)),
        _ if word.starts_with('$') => Err(format!("variables are not supported: \"{word}\"")),
        _ => match word.parse::<i64>() {
            Ok(number) => Ok(Term::Literal(number.into())),
            Err(_) => Ok(Term::Function(word.to_owned())),
        },
    }
}

fn path(outermost: bool, fields: &str) -> Result<Term> {
    let fields: Vec<_> = fields
        .split('.')
        .filter(|_| !fields.is_empty())
        .map(str::to_owned)
        .collect();
    match fields.iter().any(String::is_empty) {
        true => Err(format!("a field has no name in \".{}\"", fields.join("."))),
        false => Ok(Term::Path { outermost, fields }),
    }
}

#[derive(Debug)]
enum Token {
    Open,
    Close,
    Pipe,
    Literal(Value),
    Word(String),
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '|' => (Token::Pipe, &rest[1..]),
            '"' | '`' => quoted(rest, first)?,
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "()|\"`".contains(c));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                let chained = matches!(tokens.last(), Some(Token::Close))
                    && word.starts_with('.')
                    && text[..text.len() - rest.len()].ends_with(')');
                let mark = if chained { "\u{0}" } else { "" };
                (Token::Word(format!("{mark}{word}")), after)
            }
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn quoted(text: &str, quote: char) -> Result<(Token, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => {
                return Ok((Token::Literal(value.into()), &text[at + 1..]));
            }
            '\\' if quote == '"' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err(format!("a quoted text is not closed in {text}"))
}
