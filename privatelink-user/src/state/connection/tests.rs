use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::OnDisallow;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn rules(rule: Rule) -> Rules {
    Rules { rule, request_expiry: None, on_disallow: OnDisallow::Cut, drain: None }
}

fn parties() -> Parties {
    let name = |text: &str| text.parse().unwrap();
    Parties {
        service: name("web"),
        provider: name("vendor"),
        network: name("acme"),
        consumer: name("acme"),
    }
}

fn requested(rules: &Rules, now: Timestamp) -> Connection {
    Connection::requested(parties(), None, rules, now)
}

fn user() -> Author {
    Author::User { uid: 7, name: Some("ops".into()) }
}

fn decide(
    connection: &mut Connection,
    decision: Decision,
    rules: &Rules,
    now: Timestamp,
) -> Result<Acceptance, Impossible> {
    connection.decide(decision, user(), "because".into(), rules, now)?;
    Ok(connection.standing.acceptance())
}

const ACCEPT: Decision = Decision::Accept { period: None };

#[test]
fn the_rules_decide_what_they_can() {
    for (rule, acceptance) in [
        (Rule::Ask, Acceptance::Pending),
        (Rule::Unasked, Acceptance::Available),
        (Rule::Disallowed, Acceptance::Rejected),
    ] {
        let connection = requested(&rules(rule), at(1));
        assert_eq!(connection.standing.acceptance(), acceptance);
        assert_eq!(connection.history[0].to, Acceptance::Pending);
        assert_eq!(connection.history.last().unwrap().to, acceptance);
    }
}

#[test]
fn a_provider_may_change_its_mind() {
    let ask = rules(Rule::Ask);
    let mut connection = requested(&ask, at(1));
    for (decision, acceptance) in [
        (ACCEPT, Acceptance::Available),
        (Decision::Reject, Acceptance::Rejected),
        (ACCEPT, Acceptance::Available),
        (ACCEPT, Acceptance::Available),
        (Decision::Reject, Acceptance::Rejected),
        (Decision::Reject, Acceptance::Rejected),
    ] {
        let from = connection.standing.acceptance();
        assert_eq!(decide(&mut connection, decision, &ask, at(2)), Ok(acceptance));
        let last = connection.history.last().unwrap();
        assert_eq!((last.from, last.to, &last.by), (Some(from), acceptance, &user()));
        assert_eq!(last.reason, "because");
    }
}

#[test]
fn a_decision_outranks_what_needs_no_asking() {
    let unasked = rules(Rule::Unasked);
    let mut connection = requested(&unasked, at(1));
    decide(&mut connection, Decision::Reject, &unasked, at(2)).unwrap();
    assert!(!connection.settle(&unasked, at(3)));
    assert_eq!(connection.admission(&unasked, at(3)), Admission::Rejected);
}

#[test]
fn a_connection_that_was_accepted_unasked_stays_when_asking_begins() {
    let mut connection = requested(&rules(Rule::Unasked), at(1));
    assert!(!connection.settle(&rules(Rule::Ask), at(2)));
    assert_eq!(connection.standing, Standing::Available { until: None });
}

#[test]
fn a_grant_ends_and_can_be_asked_for_again() {
    let ask = Rules { drain: Some(Duration::from_secs(5)), ..rules(Rule::Ask) };
    let mut connection = requested(&ask, at(1));
    let week = Decision::Accept { period: Some(Duration::from_secs(10)) };
    decide(&mut connection, week, &ask, at(2)).unwrap();
    assert_eq!(connection.standing.deadline(&ask, at(3)), Some(at(12)));
    for (now, admission) in [
        (11, Admission::Available),
        (12, Admission::Draining),
        (16, Admission::Draining),
        (17, Admission::Expired),
    ] {
        assert_eq!(connection.admission(&ask, at(now)), admission, "at {now}");
    }
    // Whoever looks late sees the same.
    assert!(connection.settle(&ask, at(14)));
    assert_eq!(connection.standing, Standing::Expired { drain: Some(at(17)) });
    assert_eq!(connection.reason(), Cause::GrantEnded.words());
    let again = decide(&mut connection, Decision::Request, &ask, at(20));
    assert_eq!(again, Ok(Acceptance::Pending));
    let twice = decide(&mut connection, Decision::Request, &ask, at(21));
    assert_eq!(twice, Err(Impossible::NotExpired(Acceptance::Pending)));
}

#[test]
fn a_request_that_nobody_decides_about_expires() {
    let ask = Rules { request_expiry: Some(Duration::from_secs(10)), ..rules(Rule::Ask) };
    let mut connection = requested(&ask, at(1));
    assert_eq!(connection.history[0].until, Some(at(11)));
    assert!(!connection.settle(&ask, at(10)));
    assert_eq!(connection.admission(&ask, at(11)), Admission::Expired);
    assert!(connection.settle(&ask, at(11)));
    assert_eq!(decide(&mut connection, ACCEPT, &ask, at(12)), Ok(Acceptance::Available));
}

#[test]
fn whoever_is_disallowed_is_cut_and_asks_again_once_allowed() {
    let (ask, gone) = (rules(Rule::Ask), rules(Rule::Disallowed));
    let mut connection = requested(&ask, at(1));
    decide(&mut connection, ACCEPT, &ask, at(2)).unwrap();
    assert!(connection.settle(&gone, at(3)));
    assert_eq!(connection.admission(&gone, at(3)), Admission::Rejected);
    assert_eq!(decide(&mut connection, ACCEPT, &gone, at(4)), Err(Impossible::NotAllowed));
    assert!(connection.settle(&ask, at(5)));
    assert_eq!(connection.standing, Standing::requested(at(5)), "an old grant is not revived");
    // A provider's own refusal is not forgotten that way.
    decide(&mut connection, Decision::Reject, &ask, at(6)).unwrap();
    connection.settle(&gone, at(7));
    connection.settle(&ask, at(8));
    assert_eq!(connection.admission(&ask, at(8)), Admission::Rejected);
}

#[test]
fn whoever_is_disallowed_may_be_kept() {
    let gone = Rules { on_disallow: OnDisallow::Keep, ..rules(Rule::Disallowed) };
    let mut live = requested(&rules(Rule::Unasked), at(1));
    assert!(!live.settle(&gone, at(2)));
    assert_eq!(live.admission(&gone, at(2)), Admission::Available);
    let mut waiting = requested(&rules(Rule::Ask), at(1));
    assert!(waiting.settle(&gone, at(2)));
    assert_eq!(waiting.standing.acceptance(), Acceptance::Rejected);
}

#[test]
fn a_rejected_connection_drains_only_what_it_had() {
    let ask = Rules { drain: Some(Duration::from_secs(5)), ..rules(Rule::Ask) };
    let mut connection = requested(&ask, at(1));
    decide(&mut connection, Decision::Reject, &ask, at(2)).unwrap();
    assert_eq!(connection.admission(&ask, at(2)), Admission::Rejected);
    decide(&mut connection, ACCEPT, &ask, at(3)).unwrap();
    decide(&mut connection, Decision::Reject, &ask, at(4)).unwrap();
    // Saying it twice does not prolong it.
    decide(&mut connection, Decision::Reject, &ask, at(6)).unwrap();
    assert_eq!(connection.admission(&ask, at(8)), Admission::Draining);
    assert_eq!(connection.standing.deadline(&ask, at(8)), Some(at(9)));
    assert_eq!(connection.admission(&ask, at(9)), Admission::Rejected);
    assert_eq!(connection.standing.deadline(&ask, at(9)), None);
}

#[test]
fn the_latest_of_a_long_history_is_kept() {
    let ask = rules(Rule::Ask);
    let mut connection = requested(&ask, at(0));
    for second in 1..=500 {
        decide(&mut connection, ACCEPT, &ask, at(second)).unwrap();
    }
    assert_eq!(connection.history.len(), HISTORY);
    assert_eq!(connection.history.last().unwrap().at, at(500));
    assert_eq!(connection.since, at(1), "it stands there since it was first accepted");
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let seconds = || proptest::option::of((1..30u64).prop_map(Duration::from_secs));
    let rule = prop_oneof![Just(Rule::Disallowed), Just(Rule::Ask), Just(Rule::Unasked)];
    let on_disallow = prop_oneof![Just(OnDisallow::Cut), Just(OnDisallow::Keep)];
    (rule, on_disallow, seconds(), seconds()).prop_map(
        |(rule, on_disallow, request_expiry, drain)| Rules {
            rule,
            request_expiry,
            on_disallow,
            drain,
        },
    )
}

fn any_decision() -> impl Strategy<Value = Option<Decision>> {
    let period = proptest::option::of((0..30u64).prop_map(Duration::from_secs));
    prop_oneof![
        Just(None),
        period.prop_map(|period| Some(Decision::Accept { period })),
        Just(Some(Decision::Reject)),
        Just(Some(Decision::Request)),
    ]
}

proptest! {
    #[test]
    fn every_history_holds_together(
        first in any_rules(),
        steps in prop::collection::vec((0..20u64, any_rules(), any_decision()), 0..40),
    ) {
        let mut now = 100;
        let mut connection = requested(&first, at(now));
        for (wait, rules, decision) in steps {
            now += wait;
            let before = connection.clone();
            if let Some(decision) = decision {
                let result = decide(&mut connection, decision, &rules, at(now));
                let passes = connection.admission(&rules, at(now));
                match (decision, result) {
                    (Decision::Accept { period }, Ok(_)) => {
                        prop_assert!(rules.rule != Rule::Disallowed);
                        let ends_at_once = period == Some(Duration::ZERO);
                        prop_assert!(ends_at_once || passes == Admission::Available);
                    }
                    (Decision::Accept { .. }, Err(_)) => {
                        prop_assert_eq!(rules.rule, Rule::Disallowed);
                    }
                    (Decision::Reject, result) => {
                        prop_assert_eq!(result, Ok(Acceptance::Rejected));
                        prop_assert!(passes != Admission::Available);
                        prop_assert!(rules.drain.is_some() || passes == Admission::Rejected
                            || before.admission(&rules, at(now)) == Admission::Draining);
                    }
                    (Decision::Request, result) => prop_assert_eq!(
                        result.is_ok(),
                        before.clone().expired(&rules, at(now)) && rules.rule != Rule::Disallowed
                    ),
                }
            }
            // Nothing is left to do after it is done, and doing it changes nothing for packets.
            let seen = connection.admission(&rules, at(now));
            connection.settle(&rules, at(now));
            prop_assert_eq!(connection.admission(&rules, at(now)), seen);
            prop_assert!(!connection.settle(&rules, at(now)));
            // Whoever may not connect does not, unless the service keeps whom it has.
            let kept = before.standing.acceptance() == Acceptance::Available
                && rules.on_disallow == OnDisallow::Keep;
            if rules.rule == Rule::Disallowed && !kept {
                prop_assert!(seen != Admission::Available && seen != Admission::Pending);
            }
            // Between now and the deadline time changes nothing.
            let deadline = connection.standing.deadline(&rules, at(now));
            prop_assert!(deadline.is_none_or(|deadline| deadline > at(now)));
            let later = deadline.map_or(at(now + 100_000), |deadline| {
                Timestamp::from_millis(u64::try_from(
                    deadline.since(Timestamp::from_millis(1)).as_millis(),
                ).unwrap())
            });
            prop_assert_eq!(connection.admission(&rules, later), seen);
            // The history is a chain, and its last link is where the connection stands.
            let history = &connection.history;
            prop_assert!(history.windows(2).all(|two| two[1].from == Some(two[0].to)));
            prop_assert!(history.windows(2).all(|two| two[0].at <= two[1].at));
            prop_assert_eq!(history.last().unwrap().to, connection.standing.acceptance());
        }
    }
}

impl Connection {
    /// Whether it is expired once rules and time have taken their course.
    fn expired(mut self, rules: &Rules, now: Timestamp) -> bool {
        self.settle(rules, now);
        self.standing.acceptance() == Acceptance::Expired
    }
}
