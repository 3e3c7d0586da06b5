//! Columns of text, aligned, three spaces apart.

/// Spaces between columns, as Docker's command line has them.
const GAP: usize = 3;

/// Lines of cells as a text with aligned columns; the last column is not padded.
pub fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut shown = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            shown.push_str(&format!("{cell:<0$}", width + GAP));
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// A text on one line, cut to a number of characters with an ellipsis.
pub fn truncate(text: &str, chars_max: usize) -> String {
    let line = text.replace(['\n', '\r', '\t'], " ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let kept: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_have_no_trailing_space() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = align(&[row(["ID", "NAME", "ERROR"]), row(["ab12", "w", ""])]);
        assert_eq!(text, "ID     NAME   ERROR\nab12   w\n");
    }

    #[test]
    fn long_texts_are_cut_with_an_ellipsis() {
        assert_eq!(truncate("abcdef", 6), "abcdef");
        assert_eq!(truncate("abcdefg", 6), "abcde…");
        assert_eq!(truncate("a\nb", 6), "a b");
    }
}
