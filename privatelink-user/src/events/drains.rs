//! Events about targets that drain.

use super::{event::Event, kind::Kind};
use crate::{
    interface::types::About,
    model::Model,
    state::targets::{Drains, ServiceTarget},
    timestamp::{Moment, Timestamp},
};

/// An event for each target that has begun to drain.
pub fn of_drains(model: &Model, before: &Drains, after: &Drains, at: Moment) -> Vec<Event> {
    let begun = |place: &ServiceTarget| !before.all().any(|(known, _)| known == place);
    let new = after.all().filter(|(place, drain)| drain.until > at.now && begun(place));
    new.map(|(place, drain)| event(model, Kind::TargetDraining, place, at.ahead.shown(drain.until)))
        .collect()
}

/// An event for each target whose drain ended after `from` and no later than `to`.
pub fn of_drained(model: &Model, drains: &Drains, from: Timestamp, to: Timestamp) -> Vec<Event> {
    let ended = drains.all().filter(|(_, drain)| from < drain.until && drain.until <= to);
    ended.map(|(place, drain)| event(model, Kind::TargetDrained, place, drain.until)).collect()
}

fn event(model: &Model, kind: Kind, place: &ServiceTarget, until: Timestamp) -> Event {
    let ServiceTarget { service, address } = place;
    let what = if kind == Kind::TargetDraining {
        format!("is draining: it gets no new flows, and its flows are reset at {until}")
    } else {
        "has drained".to_owned()
    };
    let about = About {
        service: Some(service.to_string()),
        address: Some(address.to_string()),
        ..About::default()
    };
    let event = Event::new(kind, format!("service {service}: target {address} {what}"));
    match model.services().get(service) {
        Some(service) => event.about(about).seen_by(&service.principal),
        None => event.about(about),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, host::HostFacts, state::State, timestamp::ClockOffset};

    const PARTS: &str = include_str!("../desired/tests.toml");

    #[test]
    fn a_drain_has_an_event_at_its_begin_and_its_end() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
        let model = |text: &str| config::from_text("test.toml", text).unwrap().model;
        let (old, new) = (model(PARTS), model(&PARTS.replace("weight = 50", "weight = 0")));
        let mut state = State::default();
        let follow = |state: &mut State, model: &Model, seconds| {
            let known = state.inputs.clone();
            state.follow(model, &HostFacts::default(), &known, at(seconds)).unwrap();
        };
        follow(&mut state, &old, 10);
        let before = state.drains.clone();
        follow(&mut state, &new, 20);
        let texts = |events: Vec<Event>| -> Vec<String> {
            assert!(events.iter().all(|event| event.audience.contains("vendor")));
            events.into_iter().map(|event| event.text).collect()
        };
        let moment = |seconds| Moment { now: at(seconds), ahead: ClockOffset::default() };
        let begun = texts(of_drains(&new, &before, &state.drains, moment(20)));
        let expected = "service web: target 10.0.0.20 is draining: it gets no new flows, and its \
                        flows are reset at 1970-01-01T00:05:20.000Z";
        assert_eq!(begun, [expected]);
        assert_eq!(of_drains(&new, &state.drains, &state.drains, moment(21)), []);
        assert_eq!(of_drained(&new, &state.drains, at(20), at(319)), []);
        let ended = texts(of_drained(&new, &state.drains, at(319), at(320)));
        assert_eq!(ended, ["service web: target 10.0.0.20 has drained"]);
        assert_eq!(of_drained(&new, &state.drains, at(320), at(330)), []);
    }
}
