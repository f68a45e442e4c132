//! Which events have a line in the daemon's log: what one principal causes does not fill it.

use std::time::Instant;

use super::{
    budget::Budgets,
    event::Event,
    kind::{CONNECTION, Kind, is_of},
};

/// A larger batch of events is logged as one line.
const MANY: usize = 100;
/// The class of events that are not about connections.
const OTHER: &str = "other";

/// The lines of the log for events that are published together.
pub(super) fn lines(events: &[Event], budgets: &mut Budgets, now: Instant) -> Vec<String> {
    let admitted: Vec<String> = events
        .iter()
        .filter(|event| {
            let class = if is_of(event.kind.word(), CONNECTION) { CONNECTION } else { OTHER };
            // The report of what was left out comes once a minute.
            let maker = event.maker.as_ref().filter(|_| event.kind != Kind::EventsLeftOut);
            maker.is_none_or(|maker| budgets.admits(maker, class, now))
        })
        .map(|event| event.text.clone())
        .collect();
    if admitted.len() <= MANY {
        return admitted;
    }
    vec![format!("{} events, list them with `privatelink events`", events.len())]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{events::budget::LINES, model::Name};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn event(text: &str) -> Event {
        Event::new(Kind::NextHopLost, text)
    }

    #[test]
    fn the_log_has_a_stated_number_of_lines_for_each_principal() {
        let (mut budgets, now) = (Budgets::new(LINES), Instant::now());
        let mut logged = |who: &str, kind, count: usize| {
            let of = |number: usize| Event::new(kind, number.to_string()).seen_by(&name(who));
            let each = (0..count).map(|number| lines(&[of(number)], &mut budgets, now).len());
            each.sum::<usize>()
        };
        let burst = LINES.burst as usize;
        // Whatever the kinds, those of connections apart.
        assert_eq!(logged("noisy", Kind::TargetHealthy, 20), 20);
        assert_eq!(logged("noisy", Kind::TargetUnhealthy, 1_000), burst - 20);
        assert_eq!(logged("quiet", Kind::TargetHealthy, 10), 10);
        assert_eq!(logged("noisy", Kind::ConnectionRejected, 1_000), burst);
        assert_eq!(logged("quiet", Kind::ConnectionAvailable, 10), 10);
        let left_out = 1_020 - burst as u64 + 1_000 - burst as u64;
        assert_eq!(*budgets.totals(), BTreeMap::from([(name("noisy"), left_out)]));
        let own: Vec<Event> = (0..50).map(|number| event(&number.to_string())).collect();
        assert_eq!(lines(&own, &mut budgets, now).len(), 50, "the gateway's own");
        let many: Vec<Event> = (0..=MANY).map(|number| event(&number.to_string())).collect();
        assert_eq!(lines(&many, &mut budgets, now).len(), 1);
    }
}
