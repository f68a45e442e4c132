//! What is shown: a row for each endpoint, service, target, principal or flow, with rates.

use std::{cmp::Ordering, collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::sample::Sample;
use crate::{
    cli::order::natural,
    interface::types::{Endpoint, Flow, Target},
};

/// What rows are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// The consumers' ways.
    Endpoints,
    /// What is published.
    Services,
    /// Where it is served.
    Targets,
    /// Who owns the endpoints.
    Principals,
}

/// What rows are ordered by: the most first, names from A on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Bits per second, both ways together.
    Bits,
    /// Packets per second.
    Packets,
    /// Live flows.
    Flows,
    /// New flows per second.
    New,
    /// Packets refused per second.
    Drops,
    /// The name.
    Name,
}

/// Rates and counts of one thing. What is not known of a kind of thing is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What else tells it apart: the service of an endpoint, the state of a flow.
    pub about: String,
    /// The principal and the service of an endpoint.
    #[serde(skip)]
    pub of: [String; 2],
    /// Live flows.
    pub flows: u64,
    /// New flows per second.
    pub new: Option<f64>,
    /// Packets per second.
    pub packets: Option<f64>,
    /// Bits per second.
    pub bits: Option<f64>,
    /// Packets refused per second.
    pub drops: Option<f64>,
}

impl Subject {
    /// All of them, in the order of their keys.
    pub const ALL: [Self; 4] = [Self::Endpoints, Self::Services, Self::Targets, Self::Principals];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Services => "services",
            Self::Targets => "targets",
            Self::Principals => "principals",
        }
    }
}

impl Order {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 6] =
        [Self::Bits, Self::Packets, Self::Flows, Self::New, Self::Drops, Self::Name];

    /// The next one.
    pub fn next(self) -> Self {
        let place = Self::ALL.iter().position(|one| *one == self).unwrap_or(0);
        Self::ALL.get(place + 1).copied().unwrap_or(Self::Bits)
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bits => "bits",
            Self::Packets => "packets",
            Self::Flows => "flows",
            Self::New => "new flows",
            Self::Drops => "drops",
            Self::Name => "name",
        }
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let most = |value: fn(&Row) -> Option<f64>| {
            let [a, b] = [a, b].map(|row| value(row).unwrap_or(0.0));
            b.total_cmp(&a)
        };
        let first = match self {
            Self::Bits => most(|row| row.bits),
            Self::Packets => most(|row| row.packets),
            Self::Flows => b.flows.cmp(&a.flows),
            Self::New => most(|row| row.new),
            Self::Drops => most(|row| row.drops),
            Self::Name => Ordering::Equal,
        };
        first.then_with(|| natural(&a.name, &b.name))
    }
}

/// The rows that match a text, in order.
pub fn arrange(mut rows: Vec<Row>, filter: &str, order: Order) -> Vec<Row> {
    rows.retain(|row| row.name.contains(filter) || row.about.contains(filter));
    rows.sort_by(|a, b| order.compare(a, b));
    rows
}

/// The rows of a kind of thing, from two samples.
pub fn of(subject: Subject, before: &Sample, now: &Sample) -> Vec<Row> {
    let rates = Rates::between(before, now);
    match subject {
        Subject::Endpoints => now.endpoints.iter().map(|one| rates.endpoint(one)).collect(),
        Subject::Services => services(now, &rates),
        Subject::Targets => targets(now),
        Subject::Principals => {
            let owned = now.endpoints.iter().map(|one| (&one.principal, one));
            together(owned, &rates).into_values().collect()
        }
    }
}

/// A service has the rates of those of its endpoints that the caller sees.
fn services(now: &Sample, rates: &Rates<'_>) -> Vec<Row> {
    let mut rows = together(now.endpoints.iter().map(|one| (&one.service, one)), rates);
    for service in &now.services {
        let unknown = || Row { name: service.name.clone(), ..Row::default() };
        let row = rows.entry(service.name.clone()).or_insert_with(unknown);
        row.about.clone_from(&service.principal);
        row.flows = row.flows.max(service.active_flows);
    }
    rows.into_values().collect()
}

fn targets(now: &Sample) -> Vec<Row> {
    let targets = now.services.iter().flat_map(|service| &service.targets);
    let row = |target: &Target| Row {
        name: format!("{} {}:{}", target.service, target.address, target.ports),
        about: target.health.clone(),
        flows: target.active_flows,
        ..Row::default()
    };
    targets.map(row).collect()
}

/// The sums of endpoints that have something in common.
fn together<'a>(
    endpoints: impl Iterator<Item = (&'a String, &'a Endpoint)>,
    rates: &Rates<'_>,
) -> BTreeMap<String, Row> {
    let mut sums = BTreeMap::<String, Row>::new();
    for (name, endpoint) in endpoints {
        let part = rates.endpoint(endpoint);
        let sum = sums
            .entry(name.clone())
            .or_insert_with(|| Row { name: name.clone(), ..Row::default() });
        let add = |to: &mut Option<f64>, more: Option<f64>| {
            *to = more.map(|more| to.unwrap_or(0.0) + more).or(*to);
        };
        sum.flows += part.flows;
        add(&mut sum.new, part.new);
        add(&mut sum.packets, part.packets);
        add(&mut sum.bits, part.bits);
        add(&mut sum.drops, part.drops);
    }
    sums
}

/// The rows of flows, from two samples of them.
pub fn of_flows(before: Option<&[Flow]>, now: &[Flow], elapsed: Duration) -> Vec<Row> {
    let key = |flow: &Flow| {
        (flow.endpoint.clone(), flow.protocol.clone(), flow.client.clone(), flow.address.clone())
    };
    let known: BTreeMap<_, &Flow> =
        before.unwrap_or(&[]).iter().map(|one| (key(one), one)).collect();
    let row = |flow: &Flow| {
        let earlier = known.get(&key(flow));
        let rate = |count: fn(&Flow) -> u64| {
            earlier.and_then(|earlier| per_second(count(earlier), count(flow), elapsed))
        };
        Row {
            name: format!("{} {} > {}", flow.protocol, flow.client, flow.target),
            about: flow.state.clone(),
            flows: 1,
            packets: rate(|flow| flow.packets),
            bits: rate(|flow| flow.bytes).map(|bytes| 8.0 * bytes),
            ..Row::default()
        }
    };
    now.iter().map(row).collect()
}

/// What was counted for each endpoint before, and how long ago.
struct Rates<'a> {
    before: BTreeMap<&'a str, &'a Endpoint>,
    elapsed: Duration,
}

impl<'a> Rates<'a> {
    fn between(before: &'a Sample, now: &Sample) -> Self {
        let known = before.endpoints.iter().map(|one| (one.name.as_str(), one));
        Self { before: known.collect(), elapsed: now.at.saturating_duration_since(before.at) }
    }

    fn endpoint(&self, now: &Endpoint) -> Row {
        let before = self.before.get(now.name.as_str());
        let rate = |count: fn(&Endpoint) -> u64| {
            before.and_then(|before| per_second(count(before), count(now), self.elapsed))
        };
        Row {
            name: now.name.clone(),
            about: now.service.clone(),
            of: [now.principal.clone(), now.service.clone()],
            flows: now.active_flows,
            new: rate(|one| one.new_flows),
            packets: rate(|one| one.packets_in + one.packets_out),
            bits: rate(|one| one.bytes_in + one.bytes_out).map(|bytes| 8.0 * bytes),
            drops: rate(|one| one.drops),
        }
    }
}

/// A rate; `None` where a counter has begun anew, or no time has passed.
fn per_second(before: u64, now: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    let grown = now.checked_sub(before)?;
    (seconds > 0.0).then(|| grown as f64 / seconds)
}

/// A number as people read it: `950`, `1.2k`, `3.4M`.
pub fn short(value: f64) -> String {
    for (unit, word) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if value >= 0.9995 * unit {
            return format!("{:.1}{word}", value / unit);
        }
    }
    format!("{value:.0}")
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Instant;

    use super::*;
    use crate::interface::types::Service;

    /// An endpoint of a principal that has carried so many packets of 125 bytes, a thousand bits.
    pub fn endpoint(name: &str, principal: &str, packets: u64) -> Endpoint {
        let text = serde_json::json!({
            "name": name, "service": "web", "network": principal, "addresses": [], "state":
            "available", "dns_names": [], "active_flows": packets / 10, "flow_share": 0,
            "borrowed_flows": 0, "source_ports": 0, "source_port_share": 0,
            "borrowed_source_ports": 0, "new_flows": packets / 100, "packets_in": packets,
            "bytes_in": packets * 125, "packets_out": 0, "bytes_out": 0, "drops": packets / 1_000,
            "principal": principal, "listeners": [],
        });
        serde_json::from_value(text).unwrap()
    }

    /// A sample, so many seconds after the first.
    pub fn sample(begin: Instant, seconds: u64, endpoints: Vec<Endpoint>) -> Sample {
        let target = Target {
            service: "web".into(),
            address: "10.0.0.10".into(),
            port: 8080,
            ports: "8080".into(),
            weight: 100,
            health: "healthy".into(),
            reason: String::new(),
            since: None,
            until: None,
            active_flows: 7,
            next_hop: None,
            mac: None,
        };
        let service = Service {
            name: "web".into(),
            principal: "vendor".into(),
            network: "vendor".into(),
            listeners: Vec::new(),
            targets: vec![target],
            acceptance: "manual".into(),
            allow: Vec::new(),
            accept: Vec::new(),
            source_addresses: Vec::new(),
            endpoints: Vec::new(),
            active_flows: 7,
            description: None,
            tags: BTreeMap::new(),
            source: String::new(),
            definition: None,
        };
        let at = begin + Duration::from_secs(seconds);
        Sample { at, endpoints, services: vec![service], flows: None }
    }

    fn two() -> [Sample; 2] {
        let begin = Instant::now();
        let all = |a, b, c| {
            vec![endpoint("a2", "acme", a), endpoint("a10", "acme", b), endpoint("g", "globex", c)]
        };
        [sample(begin, 0, all(1_000, 0, 5_000)), sample(begin, 2, all(3_000, 200, 5_000))]
    }

    #[test]
    fn rates_are_what_was_counted_between_two_samples() {
        let [before, now] = two();
        let rows = arrange(of(Subject::Endpoints, &before, &now), "", Order::Bits);
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["a2", "a10", "g"]);
        assert_eq!((rows[0].packets, rows[0].bits), (Some(1_000.0), Some(1_000_000.0)));
        assert_eq!((rows[0].new, rows[0].drops, rows[0].flows), (Some(10.0), Some(1.0), 300));
        assert_eq!(rows[2].packets, Some(0.0));
    }

    #[test]
    fn principals_and_services_are_sums() {
        let [before, now] = two();
        let rows = arrange(of(Subject::Principals, &before, &now), "", Order::Packets);
        assert_eq!((rows[0].name.as_str(), rows[0].packets), ("acme", Some(1_100.0)));
        assert_eq!(rows[1].name, "globex");
        let [service] = of(Subject::Services, &before, &now).try_into().unwrap();
        assert_eq!((service.packets, service.flows), (Some(1_100.0), 820));
        let [target] = of(Subject::Targets, &before, &now).try_into().unwrap();
        assert_eq!(
            (target.name.as_str(), target.flows, target.bits),
            ("web 10.0.0.10:8080", 7, None)
        );
    }

    #[test]
    fn what_is_new_or_has_begun_anew_has_no_rate() {
        let [before, mut now] = two();
        now.endpoints[0] = endpoint("a2", "acme", 7);
        now.endpoints.push(endpoint("new", "acme", 9));
        let rows = of(Subject::Endpoints, &before, &now);
        assert_eq!((rows[0].packets, rows[3].packets), (None, None));
        assert_eq!(per_second(1, 2, Duration::ZERO), None);
    }

    #[test]
    fn rows_are_filtered_and_ordered() {
        let [before, now] = two();
        let names = |filter: &str, order| {
            let rows = arrange(of(Subject::Endpoints, &before, &now), filter, order);
            rows.into_iter().map(|row| row.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("", Order::Name), "a2 a10 g");
        assert_eq!(names("", Order::Flows), "g a2 a10");
        assert_eq!(names("a", Order::Drops), "a2 a10");
        assert_eq!(names("web", Order::New), "a2 a10 g");
        assert_eq!(names("none", Order::Name), "");
        let all = std::iter::successors(Some(Order::Bits), |order| Some(order.next()));
        assert_eq!(all.take(7).collect::<Vec<_>>(), [&Order::ALL[..], &[Order::Bits]].concat());
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (950.0, "950"),
            (999.9, "1.0k"),
            (1_234.0, "1.2k"),
            (3.4e6, "3.4M"),
            (2e9, "2.0G"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
