//! Expressions that users place tasks with: `KEY==VALUE` and `KEY!=VALUE`, hard or soft.
//!
//! What constraints and affinities have in common: operators, values, the look-up of keys and the
//! refusal of what can never match. It knows no keys; those are `constraint`'s and `affinity`'s.
//!
//! A value is compared as a whole and regardless of case. With a `*` in it, it is a glob; between
//! slashes it is a regular expression, unanchored, its case as written. A `~` after the operator
//! makes the expression soft: a wish that ranks nodes and excludes none.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

/// Characters that values may hold besides letters, digits and blanks; regular expressions may
/// hold any that can be printed.
const VALUE_PUNCTUATION: &str = ":-_.*()?+[]\\^$|/@";

/// Longest regular expression, in bytes: what a person can still read.
const REGEX_LEN_MAX: usize = 256;

/// Largest program that a regular expression may become, in bytes. The time of a match grows with
/// program times text; this is some thousand steps for each character.
const REGEX_SIZE_MAX: usize = 64 << 10;

/// Deepest nesting of groups in a regular expression.
const REGEX_NEST_MAX: u32 = 32;

/// A longer text matches no regular expression: what nodes say of themselves has no other bound.
const REGEX_TEXT_LEN_MAX: usize = 4 << 10;

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Whether an expression must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// A node for which it does not hold is out.
    Hard,
    /// A node for which it does not hold ranks behind those for which it does.
    Soft,
}

/// What a text is compared with.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// The same text, regardless of case.
    Exact(String),
    /// `*` stands for any text, everything else for itself regardless of case.
    Glob(String),
    /// Found anywhere in the text.
    Regex(Regex),
}

/// An expression that was read: what is compared, how, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression<K, V> {
    pub(crate) key: K,
    pub(crate) operator: Operator,
    pub(crate) strength: Strength,
    pub(crate) value: V,
}

/// Beginnings of keys that end in a label's name, with what makes the key of the name.
pub(crate) type LabelKeys<K> = &'static [(&'static str, fn(String) -> K)];

/// Keys that expressions of one kind may have.
pub(crate) trait Vocabulary: Clone + PartialEq + 'static {
    /// What such an expression is called.
    const WHAT: &'static str;
    /// Fixed keys, as they are shown; of several names for one the first.
    const FIXED: &'static [(&'static str, Self)];
    /// Keys of labels.
    const LABELS: LabelKeys<Self>;

    /// The name, if it is the key of a label.
    fn label(&self) -> Option<(&'static str, &str)>;
}

/// An expression taken apart.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    key: &'a str,
    operator: Operator,
    strength: Strength,
    value: &'a str,
}

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {problem}")]
pub struct ParseError {
    /// What it should be: `constraint` or `affinity`.
    pub what: &'static str,
    /// The whole text.
    pub text: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Neither `==` nor `!=` in it.
    #[error("has no operator, write KEY==VALUE or KEY!=VALUE")]
    NoOperator,
    /// The key is not a name.
    #[error(
        "has a malformed key {0:?}, a key has at least two characters of a-z, 0-9, '-', '_' and \
         '.' and begins with a letter or '_'"
    )]
    Key(String),
    /// The key is not known.
    #[error("has an unknown key {key:?}, did you mean {nearest:?}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that looks most like it.
        nearest: String,
    },
    /// The key names labels but no label.
    #[error("names no label, write {0}NAME")]
    NoLabel(&'static str),
    /// The value is empty.
    #[error("has no value, write KEY==VALUE or KEY!=VALUE")]
    NoValue,
    /// The value holds a character that values cannot hold.
    #[error("has the character {0:?}, which a value cannot hold")]
    Value(char),
    /// The value of `node.ip` is neither an address nor a network nor a pattern.
    #[error("needs an IP address, a network such as 10.0.0.0/8 or a pattern")]
    Address,
    /// The regular expression is too long.
    #[error("has a regular expression of {0} bytes, the longest is {REGEX_LEN_MAX}")]
    RegexLength(usize),
    /// The regular expression cannot be read, or would cost too much.
    #[error(
        "has a regular expression that cannot be used ({0}), write a simpler one or a glob with *"
    )]
    Regex(String),
}

// === impl Expression ===

impl<K, V> Expression<K, V> {
    /// What is compared.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// How it is compared.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// Whether it only ranks nodes.
    pub fn is_soft(&self) -> bool {
        self.strength == Strength::Soft
    }
}

impl<K: fmt::Display, V: fmt::Display> fmt::Display for Expression<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            operator,
            strength,
            value,
        } = self;
        write!(f, "{key}{operator}{strength}{value}")
    }
}

/// Reads an expression whose value is read by `value`, which is told the key.
pub(crate) fn read<K: Vocabulary, V>(
    text: &str,
    value: impl FnOnce(&K, &str) -> Result<V, Problem>,
) -> Result<Expression<K, V>, ParseError> {
    let read = || {
        let parts = split(text)?;
        let key = known_key(parts.key)?;
        Ok(Expression {
            value: value(&key, parts.value)?,
            key,
            operator: parts.operator,
            strength: parts.strength,
        })
    };
    read().map_err(|problem| ParseError {
        what: K::WHAT,
        text: text.to_owned(),
        problem,
    })
}

/// Writes a key as it is shown.
pub(crate) fn show_key<K: Vocabulary>(key: &K, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some((prefix, name)) = key.label() {
        return write!(f, "{prefix}{name}");
    }
    let fixed = K::FIXED.iter().find(|(_, known)| known == key);
    f.write_str(fixed.map_or("", |(name, _)| name))
}

/// The key of a label that a text names, if its beginning (regardless of case) says so; the name
/// may be missing.
pub(crate) fn label_key<K: Vocabulary>(text: &str) -> Option<K> {
    K::LABELS.iter().find_map(|(prefix, key)| {
        let (head, name) = text.split_at_checked(prefix.len())?;
        let is_label = head.eq_ignore_ascii_case(prefix);
        is_label.then(|| key(name.to_owned()))
    })
}

fn known_key<K: Vocabulary>(text: &str) -> Result<K, Problem> {
    let fixed = K::FIXED
        .iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name));
    if let Some((_, fixed)) = fixed {
        return Ok(fixed.clone());
    }
    let key: K = label_key(text).ok_or_else(|| Problem::UnknownKey {
        key: text.to_owned(),
        nearest: nearest_key::<K>(text),
    })?;
    match key.label() {
        Some((prefix, "")) => Err(Problem::NoLabel(prefix)),
        _ => Ok(key),
    }
}

/// The known key with the fewest edits to `key`; a label's name is carried over.
fn nearest_key<K: Vocabulary>(key: &str) -> String {
    let lower = key.to_ascii_lowercase();
    // The last part of a key alone, such as `hostname`, is as good as the key.
    let distance = |known: &str| match known.rsplit('.').next() {
        Some(last) if last == lower => 0,
        _ => edits(&lower, known),
    };
    let fixed = K::FIXED
        .iter()
        .map(|(known, _)| (distance(known), (*known).to_owned()));
    // `node.label.rack` is compared as `node.label.` with `node.labels.`.
    let (head, name) = match lower.match_indices('.').nth(1) {
        Some((at, _)) => (&lower[..=at], &key[at + 1..]),
        None => (lower.as_str(), "NAME"),
    };
    let labels = K::LABELS
        .iter()
        .map(|(prefix, _)| (edits(head, prefix), format!("{prefix}{name}")));
    let nearest = fixed.chain(labels).min_by_key(|(distance, _)| *distance);
    nearest.map(|(_, known)| known).unwrap_or_default()
}

/// Takes an expression apart and checks its shape. `==` is looked for before `!=`, as in SwarmKit;
/// blanks around key and value are ignored.
fn split(text: &str) -> Result<Parts<'_>, Problem> {
    let found = [("==", Operator::Equal), ("!=", Operator::NotEqual)]
        .into_iter()
        .find_map(|(symbol, operator)| Some((operator, text.split_once(symbol)?)));
    let (operator, (key, value)) = found.ok_or(Problem::NoOperator)?;
    let (strength, value) = match value.strip_prefix('~') {
        Some(rest) => (Strength::Soft, rest),
        None => (Strength::Hard, value),
    };
    let (key, value) = (key.trim(), value.trim());
    check_key(key)?;
    check_value(value)?;
    Ok(Parts {
        key,
        operator,
        strength,
        value,
    })
}

fn check_key(key: &str) -> Result<(), Problem> {
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = key
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if begins && goes_on && key.len() >= 2 {
        return Ok(());
    }
    Err(Problem::Key(key.to_owned()))
}

fn check_value(value: &str) -> Result<(), Problem> {
    if value.is_empty() {
        return Err(Problem::NoValue);
    }
    let is_regex = regex_of(value).is_some();
    let allowed = |c: char| match is_regex {
        true => !c.is_control(),
        false => {
            c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || VALUE_PUNCTUATION.contains(c)
        }
    };
    match value.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(character) => Err(Problem::Value(character)),
    }
}

/// What is between the slashes of a regular expression.
fn regex_of(value: &str) -> Option<&str> {
    value.strip_prefix('/')?.strip_suffix('/')
}

/// Levenshtein distance in bytes; both are ASCII here.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

// === impl Pattern ===

impl Pattern {
    /// Reads a value.
    ///
    /// # Errors
    /// If it is a regular expression that is too long, malformed or too costly.
    pub(crate) fn read(value: &str) -> Result<Self, Problem> {
        let Some(regex) = regex_of(value) else {
            return Ok(if value.contains('*') {
                Self::Glob(value.to_owned())
            } else {
                Self::Exact(value.to_owned())
            });
        };
        if regex.is_empty() {
            return Err(Problem::NoValue);
        }
        if regex.len() > REGEX_LEN_MAX {
            return Err(Problem::RegexLength(regex.len()));
        }
        let built = RegexBuilder::new(regex)
            .size_limit(REGEX_SIZE_MAX)
            .nest_limit(REGEX_NEST_MAX)
            .build();
        built
            .map(Self::Regex)
            .map_err(|error| Problem::Regex(error.to_string()))
    }

    /// Whether a text matches. Nothing matches a pattern that is not there: an empty text matches
    /// neither globs nor regular expressions.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => same_text(text, wanted),
            Self::Glob(glob) => !text.is_empty() && glob_matches(glob, text),
            Self::Regex(regex) => {
                !text.is_empty() && text.len() <= REGEX_TEXT_LEN_MAX && regex.is_match(text)
            }
        }
    }

    /// The text, where only one matches.
    pub fn exact(&self) -> Option<&str> {
        match self {
            Self::Exact(text) => Some(text),
            Self::Glob(_) | Self::Regex(_) => None,
        }
    }
}

fn same_text(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

/// Each piece between stars is taken at its first place after the one before: what is left is
/// the longest there can be, so no other choice can match where this one does not.
fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.to_lowercase(), text.to_lowercase());
    let mut pieces = glob.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) | (Self::Glob(a), Self::Glob(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) | Self::Glob(text) => f.write_str(text),
            Self::Regex(regex) => write!(f, "/{}/", regex.as_str()),
        }
    }
}

// === impl Operator, Strength ===

impl Operator {
    /// Whether the expression holds, given whether its value was found.
    pub(crate) fn holds(self, found: bool) -> bool {
        match self {
            Self::Equal => found,
            Self::NotEqual => !found,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
        })
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hard => "",
            Self::Soft => "~",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(value: &str, text: &str) -> bool {
        Pattern::read(value).expect(value).matches(text)
    }

    #[test]
    fn a_value_matches_as_a_whole_and_regardless_of_case() {
        assert!(matches("East", "eAST"));
        assert!(matches("ÄST", "äst"));
        assert!(!matches("east", "northeast"));
        assert!(!matches("ea?t", "east"), "only * is a wildcard");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (glob, yes, no) in [
            ("*", "x", ""),
            ("redis*", "Redis:7", "myredis"),
            ("*redis", "my-redis", "redis:7"),
            ("a*b*c", "a-b-bc", "acb"),
            ("a*a", "aa", "a"),
            ("*ab*ab", "abab", "ab"),
            ("**x", "x", "y"),
        ] {
            assert!(matches(glob, yes), "{glob} {yes}");
            assert!(!matches(glob, no), "{glob} {no}");
        }
    }

    #[test]
    fn a_value_between_slashes_is_found_anywhere_with_its_case_as_written() {
        assert!(matches("/^rack-[0-9]+$/", "rack-12"));
        assert!(matches("/ack/", "rack-12"));
        assert!(!matches("/RACK/", "rack-12"));
        assert!(matches("/(?i)RACK/", "rack-12"));
        assert!(!matches("/x*/", ""), "nothing is there to match");
    }

    #[test]
    fn a_costly_or_malformed_regular_expression_is_refused_with_words() {
        let refused = |value: &str| Pattern::read(value).expect_err(value).to_string();
        assert!(refused("/((a{100}){100}){100}/").contains("cannot be used"));
        assert!(refused("/(/").contains("cannot be used"));
        assert!(refused(&format!("/{}/", "(".repeat(60))).contains("cannot be used"));
        assert!(refused(&format!("/{}/", "x".repeat(257))).contains("257 bytes"));
        assert!(refused("//").contains("no value"));
    }

    #[test]
    fn a_match_takes_no_time_that_people_notice_however_nasty_the_text() {
        // A backtracking engine would need 2^4000 steps here.
        let text = "a".repeat(REGEX_TEXT_LEN_MAX);
        assert!(!matches("/^(a+)+$b/", &text));
        assert!(!matches("/a/", &"a".repeat(REGEX_TEXT_LEN_MAX + 1)));
    }
}
