//! The drop reasons for the page `docs/drop-reasons.md`.

use std::fmt::Write as _;

use privatelink_common::{Notice, Reason};

/// The drop reasons as a table in Markdown, in the order of their counters.
pub fn reasons() -> String {
    let mut table = "| reason | meaning | what to do |\n|---|---|---|\n".to_owned();
    for reason in Reason::ALL {
        let (name, meaning, advice) = (reason.name(), reason.meaning(), reason.advice());
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{name}` | {meaning} | {advice} |");
    }
    table
}

/// What senders of refused packets are sent, as a table in Markdown.
pub fn notices() -> String {
    let head = "| TCP | UDP: ICMP type/code, ICMPv6 type/code | reasons |\n|---|---|---|\n";
    let mut table = head.to_owned();
    for notice in Notice::ALL {
        let reasons = Reason::ALL.iter().filter(|reason| reason.notice() == *notice);
        let names: Vec<String> = reasons.map(|reason| format!("`{}`", reason.name())).collect();
        let names = if notice.is_sent() { names.join(", ") } else { "all others".to_owned() };
        let _ = writeln!(table, "| {} | {} | {names} |", notice.over_tcp(), notice.over_udp());
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

    #[test]
    fn each_reason_has_its_notice_in_one_row() {
        let table = notices();
        for reason in Reason::ALL {
            let rows = table.matches(&format!("`{}`", reason.name())).count();
            assert_eq!(rows, usize::from(reason.notice().is_sent()), "{}", reason.name());
        }
    }
}
