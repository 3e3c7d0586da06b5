//! What a check needs to know of a source file: its lines, and which of them are tests.

/// A source file.
pub struct Source<'a> {
    text: &'a str,
    is_test: bool,
}

impl<'a> Source<'a> {
    /// The file of this text at this path.
    pub fn new(text: &'a str, path: &str) -> Self {
        let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
        Self { text, is_test }
    }

    /// Whether the first line says what the file is for.
    pub fn opens_with_doc(&self) -> bool {
        self.text.starts_with("//!")
    }

    /// Lines with their numbers.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// Lines before the test module; none for a file of tests.
    fn body(&self) -> impl Iterator<Item = &'a str> {
        let stop = if self.is_test {
            0
        } else {
            self.first_test_line()
        };
        self.text.lines().take(stop)
    }

    /// The line where an inline test module begins. A test module in a file of its own
    /// (`mod tests;`) ends nothing.
    fn first_test_line(&self) -> usize {
        let lines: Vec<_> = self.text.lines().collect();
        let begins = |i: &usize| {
            let next = lines.get(i + 1).copied().unwrap_or_default();
            lines[*i] == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{')
        };
        (0..lines.len()).find(begins).unwrap_or(lines.len())
    }

    /// How many lines the file has without its tests.
    pub fn lines_without_tests(&self) -> usize {
        self.body().count()
    }

    /// How many of them are code: neither blank nor comment.
    pub fn code_lines(&self) -> usize {
        let code = |line: &&str| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//")
        };
        self.body().filter(code).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "//! Doc.\n\nfn a() {}\n// why\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";

    #[test]
    fn tests_and_comments_are_not_counted_as_code() {
        let source = Source::new(FILE, "crates/a/src/lib.rs");
        assert!(source.opens_with_doc());
        assert_eq!(source.lines_without_tests(), 4);
        assert_eq!(source.code_lines(), 1);
    }

    #[test]
    fn a_file_of_tests_counts_nothing() {
        assert_eq!(Source::new(FILE, "crates/a/tests/all.rs").code_lines(), 0);
        assert_eq!(Source::new(FILE, "crates/a/src/x/tests.rs").code_lines(), 0);
    }
}
