//! The screen: a title, the rows, and the keys.

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Modifier, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Cell, Row, Table, TableState},
};

use super::{
    rows::{self, Order, short},
    state::State,
};

/// What keys do.
const KEYS: &str = "1-4 tab view  s sort  / filter  enter into  esc back  space pause  q quit";
/// The width of a column of numbers.
const NUMBER: u16 = 9;

/// Draws what is shown.
pub fn draw(frame: &mut Frame<'_>, state: &State, gateway: &str) {
    let parts =
        Layout::vertical([Constraint::Length(1), Constraint::Min(2), Constraint::Length(1)]);
    let [top, middle, bottom] = parts.areas(frame.area());
    frame.render_widget(title(state, gateway), top);
    let rows = state.rows();
    let mut marked = TableState::default().with_selected(state.selected.min(rows.len()));
    frame.render_stateful_widget(table(state, &rows), middle, &mut marked);
    frame.render_widget(footer(state), bottom);
}

fn title(state: &State, gateway: &str) -> Line<'static> {
    let what = match (&state.drill, &state.scope) {
        (Some(drill), _) => format!("flows of {}", drill.name),
        (None, Some(scope)) => format!("{} of {}", state.subject.title(), scope.name),
        (None, None) => state.subject.title().to_owned(),
    };
    let mut spans = vec![Span::from(format!("{gateway}: ")), what.bold()];
    spans.push(format!(" by {}", state.order.word()).into());
    if state.is_typing || !state.filter.is_empty() {
        let cursor = if state.is_typing { "_" } else { "" };
        spans.push(format!("  filter: {}{cursor}", state.filter).cyan());
    }
    if state.is_paused {
        spans.push("  paused".yellow());
    } else if !state.has_rates() {
        spans.push("  rates follow with the second sample".dim());
    }
    spans.into()
}

fn footer(state: &State) -> Line<'static> {
    match &state.error {
        Some(error) => error.clone().red().into(),
        None => KEYS.dim().into(),
    }
}

fn table(state: &State, rows: &[rows::Row]) -> Table<'static> {
    let is_of_flows = state.drill.is_some();
    let about = if is_of_flows { "STATE" } else { "OF" };
    let numbers = [Order::Flows, Order::New, Order::Packets, Order::Bits, Order::Drops];
    let heading = ["FLOWS", "NEW/S", "PKT/S", "BIT/S", "DROP/S"];
    let mut header = vec![Cell::from("NAME"), Cell::from(about)];
    header.extend(numbers.iter().zip(heading).map(|(order, text)| {
        let cell = Cell::from(Line::from(text).right_aligned());
        if *order == state.order { cell.style(Modifier::UNDERLINED) } else { cell }
    }));
    let shown = rows.iter().map(|row| {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
        let mut cells = vec![Cell::from(row.name.clone()), Cell::from(row.about.clone())];
        let values = [
            row.flows.to_string(),
            number(row.new),
            number(row.packets),
            number(row.bits),
            number(row.drops),
        ];
        cells.extend(values.map(|text| Cell::from(Line::from(text).right_aligned())));
        let refuses = row.drops.is_some_and(|drops| drops > 0.0);
        Row::new(cells).style(if refuses { Style::new().yellow() } else { Style::new() })
    });
    let mut widths = vec![Constraint::Min(16), Constraint::Length(14)];
    widths.extend([Constraint::Length(NUMBER); 5]);
    Table::new(shown, widths)
        .header(Row::new(header).style(Modifier::BOLD))
        .row_highlight_style(Modifier::REVERSED)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ratatui::{
        Terminal,
        backend::TestBackend,
        crossterm::event::{KeyCode, KeyEvent},
    };

    use super::*;
    use crate::cli::top::{
        rows::{
            Subject,
            tests::{endpoint, sample},
        },
        state::State,
    };

    fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state, "gw-a")).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content.chunks(width.into());
        let text = |line: &[ratatui::buffer::Cell]| {
            line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>()
        };
        lines.map(|line| text(line).trim_end().to_owned()).collect()
    }

    fn filled() -> State {
        let begin = Instant::now();
        let mut state = State::new(Subject::Endpoints, Order::Bits);
        let all = |packets| {
            vec![
                endpoint("acme-web", "acme", packets),
                endpoint("globex-web", "globex", 3 * packets),
            ]
        };
        state.accept(Ok(sample(begin, 0, all(0))));
        state.accept(Ok(sample(begin, 1, all(2_000))));
        state
    }

    #[test]
    fn rows_stand_below_their_headings() {
        let lines = drawn(&filled(), 90, 6);
        assert_eq!(lines[0], "gw-a: endpoints by bits");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&lines[1]), "NAME OF FLOWS NEW/S PKT/S BIT/S DROP/S");
        assert_eq!(words(&lines[2]), "globex-web web 600 60 6.0k 6.0M 6");
        assert_eq!(words(&lines[3]), "acme-web web 200 20 2.0k 2.0M 2");
        let end = |line: usize, word: &str| lines[line].find(word).unwrap() + word.len();
        for (heading, value) in [("FLOWS", "600"), ("PKT/S", "6.0k"), ("BIT/S", "6.0M")] {
            assert_eq!(end(1, heading), end(2, value), "{lines:#?}");
        }
        assert_eq!(lines[5], KEYS);
    }

    #[test]
    fn errors_filters_and_narrow_terminals_are_shown() {
        let mut state = filled();
        state.press(KeyEvent::from(KeyCode::Char('/')));
        state.press(KeyEvent::from(KeyCode::Char('g')));
        state.accept(Err("the daemon is ending".into()));
        let lines = drawn(&state, 90, 6);
        assert_eq!(lines[0], "gw-a: endpoints by bits  filter: g_");
        assert!(lines[2].starts_with("globex-web") && lines[3].is_empty(), "{lines:#?}");
        assert_eq!(lines[5], "the daemon is ending");
        for (width, height) in [(1, 1), (20, 3), (200, 60)] {
            drawn(&state, width, height);
        }
        let empty = drawn(&State::new(Subject::Targets, Order::Name), 90, 4);
        assert_eq!(empty[0], "gw-a: targets by name  rates follow with the second sample");
    }
}
