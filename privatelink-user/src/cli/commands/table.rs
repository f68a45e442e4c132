//! Text in aligned columns, which fits the terminal.

use std::{fmt::Write as _, io};

use crate::cli::terminal::{self, Attention};

/// What a column keeps of its width when it is wrapped.
const LEAST: usize = 8;
/// The space between two columns.
const GAP: usize = 2;

/// Rows of cells. The columns in `right` are aligned to the right, all others to the left.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    /// A table with this heading and no rows.
    pub fn new(heading: &[&str], right: &'static [usize]) -> Self {
        Self { rows: vec![heading.iter().map(ToString::to_string).collect()], right }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The table without those columns.
    pub fn without(mut self, columns: &[usize]) -> Self {
        for row in &mut self.rows {
            let mut column = 0;
            row.retain(|_| {
                column += 1;
                !columns.contains(&(column - 1))
            });
        }
        self
    }

    /// The table as text, each line indented by `indent` spaces, as the terminal takes it.
    pub fn render(&self, indent: usize) -> String {
        self.render_within(indent, terminal::width(), terminal::takes_color(&io::stdout()))
    }

    /// The table in at most `width` columns. Text that does not fit is wrapped within its column;
    /// without a width, each row is one line.
    pub fn render_within(&self, indent: usize, width: Option<usize>, color: bool) -> String {
        let mut widths = self.widths(width.is_some());
        if let Some(width) = width {
            self.shrink(&mut widths, width.saturating_sub(indent));
        }
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<Vec<String>> = row
                .iter()
                .zip(&widths)
                .map(|(cell, room)| match width {
                    Some(_) => wrapped(cell, *room),
                    None => vec![cell.replace('\n', " ")],
                })
                .collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(1);
            for line in 0..height {
                let parts = cells.iter().map(|lines| lines.get(line).map_or("", String::as_str));
                let attention = |cell: usize| {
                    let painted = color && number > 0;
                    row.get(cell).filter(|_| painted).and_then(|cell| Attention::of(cell))
                };
                text += &self.line(indent, parts.zip(&widths), attention);
            }
        }
        text
    }

    fn line<'a>(
        &self,
        indent: usize,
        parts: impl Iterator<Item = (&'a str, &'a usize)>,
        attention: impl Fn(usize) -> Option<Attention>,
    ) -> String {
        let mut line = " ".repeat(indent);
        for (column, (part, width)) in parts.enumerate() {
            let padded = if self.right.contains(&column) {
                format!("{part:>width$}  ")
            } else {
                format!("{part:<width$}  ")
            };
            match attention(column) {
                Some(attention) if !part.is_empty() => {
                    line += &padded.replacen(part, &attention.paint(part), 1);
                }
                Some(_) | None => line += &padded,
            }
        }
        line.trim_end().to_owned() + "\n"
    }

    /// The width of each column without wrapping; cells may have several lines if `broken`.
    fn widths(&self, broken: bool) -> Vec<usize> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let lines = cells.flat_map(|cell| cell.split(|c| broken && c == '\n'));
            lines.map(|line| line.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    /// Makes the widest columns narrower until all fit, but for those of numbers.
    fn shrink(&self, widths: &mut [usize], room: usize) {
        let gaps = GAP * widths.len().saturating_sub(1);
        loop {
            let sum = widths.iter().sum::<usize>() + gaps;
            let Some(over) = sum.checked_sub(room).filter(|over| *over > 0) else { return };
            let wrappable = widths.iter_mut().enumerate();
            let wrappable = wrappable.filter(|(column, _)| !self.right.contains(column));
            let Some((_, widest)) = wrappable.max_by_key(|(_, width)| **width) else { return };
            if *widest <= LEAST {
                return;
            }
            *widest = widest.saturating_sub(over.min(4)).max(LEAST);
        }
    }
}

/// The lines of a cell that has this much room: broken at spaces, and within words only if they are
/// too long themselves.
fn wrapped(cell: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for text in cell.split('\n') {
        let mut line = String::new();
        for word in text.split(' ') {
            let mut word = word;
            let fits =
                line.chars().count() + word.chars().count() < room + usize::from(line.is_empty());
            if !line.is_empty() && !fits {
                lines.push(std::mem::take(&mut line));
            }
            while word.chars().count() > room {
                let at = word.char_indices().nth(room.max(1)).map_or(word.len(), |(at, _)| at);
                let (begin, rest) = word.split_at(at);
                lines.push(begin.to_owned());
                word = rest;
            }
            let space = if line.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(line, "{space}{word}");
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", "FLOWS"], &[1]);
        table.row(["a".into(), "7".into()]);
        table.row(["longer".into(), "123456".into()]);
        let expected = "  NAME     FLOWS\n  a            7\n  longer  123456\n";
        assert_eq!(table.render_within(2, None, false), expected);
    }

    #[test]
    fn what_does_not_fit_is_wrapped_within_its_column() {
        let mut table = Table::new(&["NAME", "ADDRESSES", "FLOWS", "REASON"], &[2]);
        let reason = "timed out after 5s while connecting to the target";
        table.row(["acme-web".into(), "10.1.0.50\nfd00:1::50".into(), "7".into(), reason.into()]);
        let expected = "\
NAME      ADDRESSES   FLOWS  REASON
acme-web  10.1.0.50       7  timed out after
          fd00:1::50         5s while
                             connecting to
                             the target
";
        assert_eq!(table.render_within(0, Some(45), false), expected);
        let one_line = table.render_within(0, None, false);
        assert_eq!(one_line.lines().count(), 2, "a pipe gets a row on a line: {one_line}");
        let reasons = [one_line.find("REASON"), one_line.lines().nth(1).unwrap().find("timed")];
        assert_eq!(reasons[0], reasons[1], "{one_line}");
        for width in 40..120 {
            let text = table.render_within(0, Some(width), false);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
        }
    }

    #[test]
    fn only_what_needs_attention_has_a_colour() {
        let mut table = Table::new(&["NAME", "STATE"], &[]);
        table.row(["a".into(), "available".into()]);
        table.row(["b".into(), "rejected".into()]);
        let text = table.render_within(0, None, true);
        assert_eq!(text, "NAME  STATE\na     available\nb     \u{1b}[31mrejected\u{1b}[0m\n");
    }

    #[test]
    fn long_words_are_broken_only_if_they_have_to_be() {
        assert_eq!(wrapped("a bc", 2), ["a", "bc"]);
        assert_eq!(wrapped("abcdef g", 4), ["abcd", "ef g"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
