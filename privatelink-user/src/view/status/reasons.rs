//! The drop reasons for the page `docs/drop-reasons.md`.

use std::fmt::Write as _;

use privatelink_common::Reason;

use super::advice;

/// The drop reasons as a table in Markdown, in the order of their counters.
pub fn reasons() -> String {
    let mut table = "| reason | meaning | what to do |\n|---|---|---|\n".to_owned();
    for reason in Reason::ALL {
        let meaning = reason.meaning().trim().trim_end_matches('.');
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{}` | {meaning} | {} |", reason.name(), advice(*reason));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_of_three_cells_for_each_reason() {
        let table = reasons();
        assert_eq!(table.lines().count(), 2 + Reason::ALL.len());
        for (row, reason) in table.lines().skip(2).zip(Reason::ALL) {
            assert!(row.starts_with(&format!("| `{}` | ", reason.name())), "{row}");
            assert_eq!(row.matches(" | ").count(), 2, "{row}");
        }
    }
}
