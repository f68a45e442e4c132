//! Events about connections.

use super::{event::Event, kind::Kind};
use crate::{
    interface::types::About,
    model::Name,
    state::connection::{Acceptance, Author, Connection, Connections, Transition},
    timestamp::ClockOffset,
};

/// The events for every step between two states of all connections. `ahead` is the wall clock.
pub fn of_connections(before: &Connections, after: &Connections, ahead: ClockOffset) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, connection) in after {
        let known = before.get(name);
        if known == Some(connection) {
            continue;
        }
        let known = known.and_then(|known| known.history.last());
        let new = connection.history.iter().rev().take_while(|step| Some(*step) != known);
        let mut new: Vec<Event> = new.map(|step| stepped(name, connection, step, ahead)).collect();
        new.reverse();
        events.extend(new);
    }
    for (name, connection) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        let text = format!("connection {name}: its endpoint was removed");
        events.push(event(Kind::ConnectionRemoved, text, name, connection));
    }
    events
}

fn stepped(
    endpoint: &Name,
    connection: &Connection,
    step: &Transition,
    ahead: ClockOffset,
) -> Event {
    let kind = match step.to {
        Acceptance::Pending => Kind::ConnectionRequested,
        Acceptance::Available => Kind::ConnectionAvailable,
        Acceptance::Rejected => Kind::ConnectionRejected,
        Acceptance::Expired => Kind::ConnectionExpired,
    };
    let until =
        step.until.map(|until| format!(" until {}", ahead.shown(until))).unwrap_or_default();
    let reason = match step.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let text = format!("connection {endpoint}: {}{until} by {}{reason}", step.to, step.by);
    let mut event = event(kind, text, endpoint, connection);
    if step.to != Acceptance::Pending && step.by != Author::Rule {
        event = event.made_by(&connection.parties.provider);
    }
    event.about.by = Some(step.by.to_string());
    event.about.reason = Some(step.reason.clone()).filter(|reason| !reason.is_empty());
    event
}

fn event(kind: Kind, text: String, endpoint: &Name, connection: &Connection) -> Event {
    let parties = &connection.parties;
    let about = About {
        endpoint: Some(endpoint.to_string()),
        service: Some(parties.service.to_string()),
        network: Some(parties.network.to_string()),
        principal: Some(parties.consumer.to_string()),
        provider: Some(parties.provider.to_string()),
        ..About::default()
    };
    Event::new(kind, text).about(about).seen_by(&parties.consumer).seen_by(&parties.provider)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config,
        state::connection::{self, Decision, rules_of},
        timestamp::Timestamp,
    };

    #[test]
    fn every_step_is_published_once() {
        let text = include_str!("../desired/tests.toml").replacen(
            "# rules",
            "acceptance = \"manual\"\nallow = [\"acme\"]",
            1,
        );
        let model = config::from_text("t.toml", &text).unwrap().model;
        let now = Timestamp::from_millis(1_000);
        let none = Connections::new();
        let mut before = Connections::new();
        connection::follow(&mut before, &model, now, &crate::state::Beside::none());
        let words = |before: &Connections, after: &Connections| {
            let events = of_connections(before, after, ClockOffset::default());
            events.iter().map(|event| event.kind.word()).collect::<Vec<_>>()
        };
        assert_eq!(
            words(&none, &before),
            ["connection-requested", "connection-requested", "connection-available"]
        );
        assert_eq!(words(&before, &before), [""; 0]);
        let mut after = before.clone();
        let (name, connection) = after.iter_mut().next().unwrap();
        assert_eq!(name.as_str(), "acme-web");
        let rules = rules_of(&model, &model.endpoints()[name]).unwrap().1;
        let by = Author::User { uid: 7, name: Some("ops".into()) };
        let decision = Decision::Accept { period: Some(Duration::from_secs(60)) };
        connection.decide(decision, by, "fine".into(), &rules, now).unwrap();
        let hour_ahead = ClockOffset::between(now, now.after(Duration::from_secs(3_600)));
        let events = of_connections(&before, &after, hour_ahead);
        let [event] = events.as_slice() else { panic!("{events:?}") };
        let text = "connection acme-web: available until 1970-01-01T01:01:01.000Z by ops: fine";
        assert_eq!(event.text, text);
        assert_eq!(event.about.by.as_deref(), Some("ops"));
        assert_eq!(event.about.principal.as_deref(), Some("acme"));
        let audience: Vec<&str> = event.audience.iter().map(Name::as_str).collect();
        assert_eq!(audience, ["acme", "vendor"]);
        assert_eq!(words(&after, &none), ["connection-removed", "connection-removed"]);
    }
}
