//! What is shown of which thing, and how keys change that.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    rows::{self, Order, Row, Subject},
    sample::{Sample, Wanted},
};
use crate::interface::types::FlowQuery;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The screen is drawn again.
    Draw,
    /// A sample is taken now.
    Sample,
    /// The end.
    Quit,
}

/// The flows of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// Whose flows they are.
    pub name: String,
    query: FlowQuery,
}

/// The service or the principal whose endpoints alone are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Services or principals.
    pub whose: Subject,
    /// The name of the one.
    pub name: String,
}

impl Scope {
    fn holds(&self, row: &Row) -> bool {
        let [principal, service] = &row.of;
        self.name == *if self.whose == Subject::Services { service } else { principal }
    }
}

/// What is shown.
#[derive(Debug)]
pub struct State {
    /// What rows are about.
    pub subject: Subject,
    /// What they are ordered by.
    pub order: Order,
    /// A text that they contain.
    pub filter: String,
    /// Whether keys are letters of the filter.
    pub is_typing: bool,
    /// Whether no new samples are shown.
    pub is_paused: bool,
    /// Whose endpoints are shown, if not all are.
    pub scope: Option<Scope>,
    /// Whose flows are shown, if flows are.
    pub drill: Option<Drill>,
    /// The row that is marked.
    pub selected: usize,
    /// What cannot be shown, and why.
    pub error: Option<String>,
    samples: [Option<Sample>; 2],
}

impl State {
    /// Begins with one kind of thing.
    pub fn new(subject: Subject, order: Order) -> Self {
        Self {
            subject,
            order,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            scope: None,
            drill: None,
            selected: 0,
            error: None,
            samples: [None, None],
        }
    }

    /// What the next sample has to have.
    pub fn wanted(&self) -> Wanted {
        Wanted { flows: self.drill.as_ref().map(|drill| drill.query.clone()) }
    }

    /// Takes a sample, or notes why there is none.
    pub fn accept(&mut self, sample: Result<Sample, String>) {
        match sample {
            Ok(_) if self.is_paused => {}
            Ok(sample) => {
                self.error = sample.flows.as_ref().and_then(|flows| flows.as_ref().err()).cloned();
                let [_, latest] = std::mem::take(&mut self.samples);
                self.samples = [latest, Some(sample)];
            }
            // What was shown stays.
            Err(error) => self.error = Some(error),
        }
    }

    /// Whether there are two samples, and so rates.
    pub fn has_rates(&self) -> bool {
        self.samples.iter().all(Option::is_some)
    }

    /// The rows to be shown.
    pub fn rows(&self) -> Vec<Row> {
        let [before, Some(now)] = &self.samples else { return Vec::new() };
        let before = before.as_ref().unwrap_or(now);
        let rows = if self.drill.is_some() {
            let of = |sample: &Sample| sample.flows.clone().and_then(Result::ok);
            let elapsed = now.at.saturating_duration_since(before.at);
            rows::of_flows(of(before).as_deref(), &of(now).unwrap_or_default(), elapsed)
        } else {
            let mut rows = rows::of(self.subject, before, now);
            rows.retain(|row| self.scope.as_ref().is_none_or(|scope| scope.holds(row)));
            rows
        };
        rows::arrange(rows, &self.filter, self.order)
    }

    /// Obeys a key.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys do nothing")]
    pub fn press(&mut self, key: KeyEvent) -> Next {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Next::Quit;
        }
        if self.is_typing {
            self.edit(key.code);
            return Next::Draw;
        }
        match key.code {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => return self.back(),
            KeyCode::Char(' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('/') => (self.is_typing, self.selected) = (true, 0),
            KeyCode::Char('s') => self.sort(self.order.next()),
            KeyCode::Char('b') => self.sort(Order::Bits),
            KeyCode::Char('p') => self.sort(Order::Packets),
            KeyCode::Char('f') => self.sort(Order::Flows),
            KeyCode::Char('d') => self.sort(Order::Drops),
            KeyCode::Char('n') => self.sort(Order::Name),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected + 1),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(10),
            KeyCode::PageDown => self.select(self.selected + 10),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.select(usize::MAX),
            KeyCode::Tab => self.show(self.next_subject()),
            KeyCode::Char(digit @ '1'..='4') => {
                let place = digit.to_digit(10).map_or(0, |digit| digit as usize - 1);
                self.show(Subject::ALL.get(place).copied().unwrap_or(Subject::Endpoints));
            }
            KeyCode::Enter | KeyCode::Right => return self.enter(),
            _ => {}
        }
        Next::Draw
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys do nothing")]
    fn edit(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => (self.is_typing, self.filter) = (false, String::new()),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
    }

    fn sort(&mut self, order: Order) {
        (self.order, self.selected) = (order, 0);
    }

    fn show(&mut self, subject: Subject) {
        (self.subject, self.scope, self.drill) = (subject, None, None);
        self.begin();
    }

    fn begin(&mut self) {
        (self.selected, self.error) = (0, None);
        self.filter.clear();
    }

    fn next_subject(&self) -> Subject {
        let place = Subject::ALL.iter().position(|one| *one == self.subject).unwrap_or(0);
        Subject::ALL.get(place + 1).copied().unwrap_or(Subject::Endpoints)
    }

    fn select(&mut self, row: usize) {
        self.selected = row.min(self.rows().len().saturating_sub(1));
    }

    /// Goes back to where the flows, or the endpoints of one thing, are entered from.
    fn back(&mut self) -> Next {
        if self.drill.take().is_none()
            && let Some(scope) = self.scope.take()
        {
            self.subject = scope.whose;
        }
        self.begin();
        Next::Draw
    }

    /// Goes from a row to what it is made of: from principals and services to endpoints, and from
    /// endpoints and targets to flows.
    fn enter(&mut self) -> Next {
        let rows = self.rows();
        let Some(row) = rows.get(self.selected).filter(|_| self.drill.is_none()) else {
            return Next::Draw;
        };
        let query = match self.subject {
            Subject::Endpoints => {
                FlowQuery { endpoint: Some(row.name.clone()), ..FlowQuery::default() }
            }
            Subject::Targets => {
                let Some(query) = of_target(&row.name) else { return Next::Draw };
                query
            }
            Subject::Services | Subject::Principals => {
                let scope = Scope { whose: self.subject, name: row.name.clone() };
                self.show(Subject::Endpoints);
                self.scope = Some(scope);
                return Next::Draw;
            }
        };
        self.drill = Some(Drill { name: row.name.clone(), query });
        self.begin();
        // Flows of another thing are no earlier state of these.
        for sample in self.samples.iter_mut().flatten() {
            sample.flows = None;
        }
        Next::Sample
    }
}

/// The flows to a target, by its row's name: `SERVICE ADDRESS:PORT`.
fn of_target(name: &str) -> Option<FlowQuery> {
    let (_, place) = name.split_once(' ')?;
    let (address, ports) = place.rsplit_once(':')?;
    let port = ports.split('-').next()?.parse().ok().filter(|_| !ports.contains('-'));
    Some(FlowQuery { address: Some(address.parse().ok()?), port, ..FlowQuery::default() })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::cli::top::rows::tests::{endpoint, sample};

    fn press(state: &mut State, keys: &str) -> Next {
        let code = |key: char| match key {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '<' => KeyCode::Esc,
            'v' => KeyCode::Down,
            '^' => KeyCode::Up,
            letter => KeyCode::Char(letter),
        };
        let pressed = keys.chars().map(|key| state.press(KeyEvent::from(code(key))));
        pressed.last().unwrap_or(Next::Draw)
    }

    fn filled() -> State {
        let begin = Instant::now();
        let all = |packets| {
            vec![
                endpoint("a", "acme", packets),
                endpoint("b", "acme", 2 * packets),
                endpoint("g", "globex", 0),
            ]
        };
        let mut state = State::new(Subject::Endpoints, Order::Bits);
        assert!(state.rows().is_empty() && !state.has_rates());
        state.accept(Ok(sample(begin, 0, all(0))));
        assert!(!state.has_rates() && state.rows().len() == 3);
        state.accept(Ok(sample(begin, 1, all(1_000))));
        assert!(state.has_rates());
        state
    }

    fn names(state: &State) -> String {
        state.rows().into_iter().map(|row| row.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_sort_and_filter() {
        let mut state = filled();
        assert_eq!(names(&state), "b a g");
        press(&mut state, "n");
        assert_eq!(names(&state), "a b g");
        press(&mut state, "vvvv^/gq\n");
        assert_eq!(
            (state.filter.as_str(), state.selected),
            ("gq", 0),
            "letters are not keys there"
        );
        assert_eq!(names(&state), "");
        press(&mut state, "/<");
        assert_eq!((state.filter.as_str(), names(&state).as_str()), ("", "a b g"));
        press(&mut state, "vvvv");
        assert_eq!(state.selected, 2, "there is no row after the last");
    }

    #[test]
    fn enter_leads_from_principals_to_endpoints_to_flows_and_back() {
        let mut state = filled();
        press(&mut state, "4n\n");
        assert_eq!((state.subject, names(&state).as_str()), (Subject::Endpoints, "a b"));
        assert_eq!(press(&mut state, "v\n"), Next::Sample);
        assert_eq!(state.wanted().flows.unwrap().endpoint.as_deref(), Some("b"));
        assert_eq!(names(&state), "");
        press(&mut state, "<");
        assert_eq!((state.drill.as_ref(), names(&state).as_str()), (None, "a b"));
        press(&mut state, "<");
        assert_eq!((state.subject, names(&state).as_str()), (Subject::Principals, "acme globex"));
        assert_eq!(press(&mut state, "3\n"), Next::Sample);
        let query = state.wanted().flows.unwrap();
        assert_eq!(
            (query.address.unwrap().to_string(), query.port),
            ("10.0.0.10".into(), Some(8080))
        );
        press(&mut state, "\t");
        assert_eq!((state.subject, state.wanted().flows), (Subject::Principals, None));
        assert_eq!(press(&mut state, "q"), Next::Quit);
    }

    #[test]
    fn targets_of_either_family_and_of_ranges_are_found() {
        for (name, address, port) in [
            ("web 10.0.0.10:8080", "10.0.0.10", Some(8080)),
            ("web fd00::10:8080", "fd00::10", Some(8080)),
            ("web fd00::10:9092-9099", "fd00::10", None),
        ] {
            let query = of_target(name).unwrap();
            assert_eq!((query.address.unwrap().to_string().as_str(), query.port), (address, port));
        }
        assert_eq!(of_target("web"), None);
    }

    #[test]
    fn what_was_shown_stays_while_the_daemon_is_away_or_the_view_is_paused() {
        let mut state = filled();
        state.accept(Err("the daemon is ending".into()));
        assert_eq!((names(&state).as_str(), state.error.is_some()), ("b a g", true));
        press(&mut state, " ");
        state.accept(Ok(sample(Instant::now(), 9, Vec::new())));
        assert_eq!(names(&state), "b a g");
        press(&mut state, " ");
        state.accept(Ok(sample(Instant::now(), 9, Vec::new())));
        assert_eq!((names(&state).as_str(), state.error), ("", None));
    }
}
