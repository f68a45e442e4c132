//! `privatelink status`: one screen that says what is wrong, and where.

use std::{cmp::Reverse, fmt::Write as _, io, time::Duration};

use anyhow::Result;
use privatelink_common::Reason;

use super::{
    fleet::headline,
    show::{endpoint_table, network_table, service_table},
    table::Table,
};
use crate::{
    cli::{
        age::age,
        client,
        globals::Globals,
        order::natural,
        print::print,
        terminal::{self, Attention},
    },
    interface::{
        path,
        types::{FlowLog, LeftOut, Service, Status, Subscriber, Target},
    },
    timestamp::Timestamp,
    view::status::UNREACHABLE,
};

/// The most rows of a table on the screen; the command for its kind shows all.
const LINES: usize = 12;

pub fn run(globals: &Globals, out: &mut impl io::Write) -> Result<()> {
    let status: Status = client::get(&globals.daemon(), path::STATUS)?;
    print(out, globals.json, &status, screen)
}

fn screen(status: &Status) -> String {
    let readiness = match status.waits_for.as_slice() {
        _ if status.ready => "ready".to_owned(),
        [] => "not ready yet".to_owned(),
        some => format!("not ready yet, waits for {}", some.join(", ")),
    };
    let up = humantime::format_duration(Duration::from_secs(status.uptime_seconds));
    let mut text = format!(
        "gateway {}: {readiness}, privatelink {}, up {up}\n{}\n",
        status.gateway,
        status.version,
        painted(status, &verdict(status))
    );
    if !status.problems.is_empty() {
        let lines: String =
            status.problems.iter().map(|problem| format!("  {problem}\n")).collect();
        section(&mut text, "problems", lines);
    }
    if !status.waiting.is_empty() {
        section(&mut text, "waiting for a decision", waiting(status));
    }
    if let Some(drops) = drops(status) {
        section(&mut text, "packets not forwarded", drops);
    }
    if let Some(fleet) = &status.fleet {
        text.push('\n');
        text.push_str(&headline(fleet));
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\nflows: {} of {}", status.flows.active, status.flows.capacity);
    if let Some(FlowLog { to, written, lost }) = &status.flow_log {
        let _ = writeln!(text, "flow log: {to}: {written} records written, {lost} lost");
    }
    for Subscriber { name, delivered, failed, dropped } in &status.subscribers {
        let counts = format!("{delivered} events delivered, {failed} failed, {dropped} dropped");
        let _ = writeln!(text, "events to {name}: {counts}");
    }
    for one in &status.left_out {
        let LeftOut { principal, events, refused_flows, unlogged_events, undelivered_events } = one;
        let _ = writeln!(
            text,
            "left out of principal {principal}: {events} events, {refused_flows} refused flows; \
             {unlogged_events} events were not logged, {undelivered_events} not delivered"
        );
    }
    let quotas = quotas(status);
    if !quotas.is_empty() {
        section(&mut text, "quotas", quotas);
    }
    section(&mut text, "networks", networks(status));
    section(&mut text, "services", services(status));
    section(&mut text, "endpoints", endpoints(status));
    text
}

/// The headline, in a colour if something needs attention and the terminal takes one.
fn painted(status: &Status, line: &str) -> String {
    let is_broken = !status.problems.is_empty() || status.services.iter().any(unwell);
    let waits = !status.waiting.is_empty() || refused(status).is_some() || !status.ready;
    let attention = match (is_broken, waits) {
        (true, _) => Some(Attention::Broken),
        (false, true) => Some(Attention::Waiting),
        (false, false) => None,
    };
    let attention = attention.filter(|_| terminal::takes_color(&io::stdout()));
    attention.map_or_else(|| line.to_owned(), |attention| attention.paint(line))
}

/// What is wrong, in a line that never says more than is so.
fn verdict(status: &Status) -> String {
    let number = |count: usize, one: &str, more: &str| {
        let word = if count == 1 { one } else { more };
        (count > 0).then(|| format!("{count} {word}"))
    };
    let unhealthy = status.services.iter().filter(|service| unwell(service)).count();
    let mut found: Vec<String> = [
        number(status.problems.len(), "problem", "problems"),
        number(unhealthy, "service with unhealthy targets", "services with unhealthy targets"),
        number(status.waiting.len(), "connection waits", "connections wait"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if found.is_empty() {
        found.push("no problems".to_owned());
    }
    let mut text = found.join(", ");
    if let Some(refused) = refused(status) {
        text += &format!("; {refused}");
    }
    if status.partial {
        text += "; problems and drops of the gateway are shown to its administrators only";
    }
    text
}

/// How many packets were refused in the last minutes, and why.
fn refused(status: &Status) -> Option<String> {
    const SHOWN: usize = 3;
    // What hosts say to each other is refused all the time, and is none of ours.
    let recent: Vec<_> =
        status.recent_drops.iter().filter(|one| one.reason != Reason::Host.name()).collect();
    let first = recent.first()?;
    let sum: u64 = recent.iter().map(|one| one.packets).sum();
    let packets = if sum == 1 { "1 packet".to_owned() } else { format!("{sum} packets") };
    let names: Vec<&str> = recent.iter().take(SHOWN).map(|one| one.reason.as_str()).collect();
    let more = if recent.len() > SHOWN { ", .." } else { "" };
    Some(format!(
        "{packets} refused in the last {}: {}{more}",
        minutes(first.seconds),
        names.join(", ")
    ))
}

/// A recent period in words.
fn minutes(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{} s", seconds.max(1)),
        _ => format!("{} min", (seconds + 30) / 60),
    }
}

fn unwell(service: &Service) -> bool {
    let is_ill = |target: &Target| target.health == "unhealthy" || target.health == UNREACHABLE;
    service.targets.iter().any(is_ill)
}

fn waiting(status: &Status) -> String {
    let mut table = Table::new(&["ENDPOINT", "SERVICE", "PRINCIPAL", "SINCE", "DECIDE WITH"], &[]);
    let now = Timestamp::now();
    let mut waiting: Vec<_> = status.waiting.iter().collect();
    waiting.sort_by(|one, other| natural(&one.endpoint, &other.endpoint));
    for one in waiting.into_iter().take(LINES) {
        table.row([
            one.endpoint.clone(),
            one.service.clone(),
            one.principal.clone(),
            age(&one.since, now),
            format!("privatelink accept {0}, or reject {0}", one.endpoint),
        ]);
    }
    table.render(2) + &rest(status.waiting.len(), "connections")
}

/// What principals with a quota have of it.
fn quotas(status: &Status) -> String {
    let mut text = String::new();
    for one in &status.principals {
        let amounts = one.used.amounts();
        let used = |what: &str| amounts.iter().find(|(of, _)| *of == what).map_or(0, |(_, n)| *n);
        let limits = one.quota.limits();
        let limits: Vec<String> =
            limits.map(|(what, limit)| format!("{} of {limit} {what}", used(what))).collect();
        if !limits.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {}: {}", one.name, limits.join(", "));
        }
    }
    text
}

fn networks(status: &Status) -> String {
    let mut networks = status.networks.clone();
    networks.sort_by_key(|network| network.xdp_mode.is_some());
    let all = networks.len();
    networks.truncate(LINES);
    network_table(&networks, false).render(2) + &rest(all, "networks")
}

/// If there are many, those with unhealthy targets, then the busiest.
fn services(status: &Status) -> String {
    let mut services = status.services.clone();
    if services.len() > LINES {
        services.sort_by_key(|service| (!unwell(service), Reverse(service.active_flows)));
        services.truncate(LINES);
    }
    service_table(&services, false).render(2) + &rest(status.services.len(), "services")
}

/// If there are many, the busiest.
fn endpoints(status: &Status) -> String {
    let mut endpoints = status.endpoints.clone();
    endpoints.sort_by(|one, other| natural(&one.name, &other.name));
    if endpoints.len() > LINES {
        endpoints.sort_by_key(|endpoint| Reverse(endpoint.active_flows));
        endpoints.truncate(LINES);
    }
    endpoint_table(&endpoints, false).render(2) + &rest(status.endpoints.len(), "endpoints")
}

/// How many rows are not on the screen, and which command shows them.
fn rest(all: usize, command: &str) -> String {
    match all.saturating_sub(LINES) {
        0 => String::new(),
        more => format!("  and {more} more: privatelink {command}\n"),
    }
}

fn section(text: &mut String, title: &str, content: String) {
    // Writing to a string cannot fail.
    let _ = write!(text, "\n{title}\n{content}");
}

/// The drop counters that are not zero, those first that have risen, with what they mean and what
/// to do; `None` if all are zero.
fn drops(status: &Status) -> Option<String> {
    let period = status.recent_drops.first().map_or(300, |drops| drops.seconds);
    let lately = format!("LAST {}", minutes(period).to_uppercase());
    let recent = |name: &str| status.recent_drops.iter().find(|one| one.reason == name);
    let mut table = Table::new(&["REASON", &lately, "ALL", "MEANING"], &[1, 2]);
    let mut counted: Vec<_> = status.drops.iter().filter(|(_, count)| **count > 0).collect();
    counted.sort_by_key(|(name, count)| {
        (Reverse(recent(name).map(|one| one.packets)), Reverse(**count))
    });
    for (name, count) in &counted {
        let reason = Reason::ALL.iter().find(|reason| reason.name() == *name);
        let meaning = reason.map_or("", |reason| reason.meaning()).trim();
        let lately = recent(name);
        let risen = lately.map_or_else(|| "-".to_owned(), |one| one.packets.to_string());
        table.row([(*name).clone(), risen, count.to_string(), meaning.to_owned()]);
        if let Some(one) = lately {
            let empty = String::new;
            table.row([empty(), empty(), empty(), format!("-> {}", one.advice)]);
        }
    }
    (!counted.is_empty()).then(|| table.render(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::types::{Connection, FlowTable, Network, RecentDrops};

    fn example() -> Status {
        let network = |name: &str, ifindex, xdp_mode: Option<&str>| Network {
            name: name.into(),
            interface: format!("veth-{name}"),
            ifindex,
            xdp_mode: xdp_mode.map(ToOwned::to_owned),
            mode_reason: None,
            mtu: None,
            principal: name.into(),
            subnets: vec!["10.1.0.0/16".into()],
            mac: None,
        };
        Status {
            gateway: "gw-a".into(),
            version: "1.2.3".into(),
            ready: true,
            waits_for: Vec::new(),
            partial: false,
            uptime_seconds: 61,
            networks: vec![
                network("acme", Some(3), Some("generic")),
                network("globex", Some(4), None),
                network("vendor", None, None),
            ],
            services: Vec::new(),
            endpoints: Vec::new(),
            flows: FlowTable { active: 5, capacity: 100 },
            fleet: None,
            subscribers: Vec::new(),
            flow_log: Some(FlowLog { to: "/f".into(), written: 7, lost: 1 }),
            left_out: vec![LeftOut {
                principal: "globex".into(),
                events: 12,
                refused_flows: 3,
                unlogged_events: 4,
                undelivered_events: 5,
            }],
            drops: [("malformed".to_owned(), 0), ("no_flow".to_owned(), 3)].into(),
            recent_drops: vec![RecentDrops {
                reason: "no_flow".into(),
                packets: 2,
                seconds: 90,
                meaning: "A meaning.".into(),
                advice: "Some advice".into(),
            }],
            principals: Vec::new(),
            waiting: vec![Connection {
                endpoint: "late".into(),
                service: "web".into(),
                principal: "globex".into(),
                since: "now".into(),
                ..Connection::default()
            }],
            problems: vec!["something".into()],
        }
    }

    #[test]
    fn the_status_shows_modes_and_what_drops_mean() {
        let status = example();
        let text = screen(&status);
        let titles: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect();
        assert_eq!(
            titles,
            [
                "gateway gw-a: ready, privatelink 1.2.3, up 1m 1s",
                "1 problem, 1 connection waits; 2 packets refused in the last 2 min: no_flow",
                "problems",
                "waiting for a decision",
                "packets not forwarded",
                "flows: 5 of 100",
                "flow log: /f: 7 records written, 1 lost",
                "left out of principal globex: 12 events, 3 refused flows; 4 events were not logged, \
                 5 not delivered",
                "networks",
                "services",
                "endpoints",
            ]
        );
        for line in [
            "  late      web      globex     now    privatelink accept late, or reject late",
            "  acme    veth-acme    generic            acme       10.1.0.0/16",
            "  globex  veth-globex  not attached       globex     10.1.0.0/16",
            "  vendor  veth-vendor  no interface       vendor     10.1.0.0/16",
            "  REASON   LAST 2 MIN  ALL  MEANING",
            &format!("  no_flow           2    3  {}", Reason::NoFlow.meaning().trim()),
            "                            -> Some advice",
            "  something",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
        assert!(!text.contains("malformed"), "{text}");
        // What is not attached comes first.
        let place = |name: &str| text.find(&format!("veth-{name}"));
        assert!(place("globex") < place("acme"), "{text}");
    }

    #[test]
    fn the_headline_never_says_more_than_is_so() {
        let line = |status: &Status| screen(status).lines().nth(1).map(ToOwned::to_owned).unwrap();
        let quiet = Status {
            problems: Vec::new(),
            waiting: Vec::new(),
            recent_drops: Vec::new(),
            ..example()
        };
        assert_eq!(line(&quiet), "no problems");
        let drops = |reason: &str, packets| RecentDrops {
            reason: reason.into(),
            packets,
            ..example().recent_drops.remove(0)
        };
        let noisy = |recent_drops| Status { recent_drops, ..quiet.clone() };
        assert_eq!(
            line(&noisy(vec![drops("bad_checksum", 3)])),
            "no problems; 3 packets refused in the last 2 min: bad_checksum"
        );
        assert_eq!(line(&noisy(vec![drops("host", 99)])), "no problems");
        let many = ["a", "b", "c", "d"].map(|reason| drops(reason, 1)).into();
        assert_eq!(
            line(&noisy(many)),
            "no problems; 4 packets refused in the last 2 min: a, b, c, .."
        );
        let partial = Status { partial: true, ..quiet.clone() };
        assert_eq!(
            line(&partial),
            "no problems; problems and drops of the gateway are shown to its administrators only"
        );
        let waits = Status {
            ready: false,
            waits_for: vec!["the next hop 10.0.0.9 to answer".into()],
            ..quiet
        };
        assert!(screen(&waits).starts_with(
            "gateway gw-a: not ready yet, waits for the next hop 10.0.0.9 to answer, privatelink"
        ));
    }

    #[test]
    fn many_things_are_shortened() {
        assert_eq!(rest(LINES, "endpoints"), "");
        assert_eq!(rest(10_000, "endpoints"), "  and 9988 more: privatelink endpoints\n");
    }
}
