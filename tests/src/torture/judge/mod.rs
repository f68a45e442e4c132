//! Explains what reached a tenant by what tenants sent. See `docs/security.md`.

mod view;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

use self::view::{ICMP, ICMPV6, TCP, Tuple, UDP, View};
use super::{
    marker::Marker,
    scene::{ENDPOINT, LISTENERS, Role, SERVER, SOURCES, Scene, TARGET_PORTS, Tenant},
    tap::{self, Seen},
};

/// Violations of which the frames are kept.
const KEPT: usize = 1000;
/// How long a source port stays its endpoint's.
const REST: Duration = Duration::from_secs(120);
/// The lowest MTU that a shared address may hear of.
const LOWEST_MTU: [u32; 2] = [576, 1280];

/// The judge of one round.
#[derive(Debug)]
pub struct Judge<'a> {
    scene: &'a Scene,
    seed: u64,
    begin: Instant,
    /// What each tenant sent.
    tuples: Vec<HashSet<Tuple>>,
    /// And from which addresses.
    from: Vec<HashSet<IpAddr>>,
    /// Whether a marked frame may open a flow.
    marked: HashMap<(u8, u32), bool>,
    /// Where the provider sent its marked frames.
    answers: HashMap<u32, Tuple>,
    arrivals: Vec<(usize, Vec<u8>)>,
    /// Whose a flow is, as the provider sees it.
    owners: HashMap<Tuple, u8>,
    bad: Vec<Vec<u8>>,
    explained: u64,
    violations: u64,
}

impl<'a> Judge<'a> {
    /// Begins a round.
    pub fn new(scene: &'a Scene, seed: u64) -> Self {
        let count = scene.tenants.len();
        Self {
            scene,
            seed,
            begin: Instant::now(),
            tuples: vec![HashSet::new(); count],
            from: vec![HashSet::new(); count],
            marked: HashMap::new(),
            answers: HashMap::new(),
            arrivals: Vec::new(),
            owners: HashMap::new(),
            bad: Vec::new(),
            explained: 0,
            violations: 0,
        }
    }

    /// Notes a frame at a tenant.
    pub fn see(&mut self, number: usize, frame: &Seen<'_>) {
        if !frame.sent {
            self.arrivals.push((number, frame.bytes.to_vec()));
            return;
        }
        let tenant = &self.scene.tenants[number];
        let view = View::of(frame.bytes);
        let may = view.as_ref().is_some_and(|view| may_cross(tenant, frame.bytes, view));
        for marker in Marker::find(frame.bytes, self.seed) {
            if usize::from(marker.tenant) != number {
                continue;
            }
            self.marked.insert((marker.tenant, marker.number), may);
            if let Some(view) = view.as_ref().filter(|_| tenant.role == Role::Provider) {
                self.answers.insert(marker.number, view.tuple());
            }
        }
        if let Some(view) = view {
            self.from[number].insert(view.source);
            self.tuples[number].insert(view.tuple());
        }
    }

    /// Judges every arrival; returns the first violations.
    pub fn verdict(&mut self) -> Vec<String> {
        let mut shown = Vec::new();
        let arrivals = std::mem::take(&mut self.arrivals);
        // What crossed to the provider says whose each flow is; its answers are judged by that.
        let (crossed, rest): (Vec<_>, Vec<_>) = arrivals
            .iter()
            .partition(|(number, _)| self.scene.tenants[*number].role == Role::Provider);
        for (number, frame) in crossed.into_iter().chain(rest) {
            match self.explain(*number, frame) {
                Ok(()) => self.explained += 1,
                Err(why) => {
                    self.violations += 1;
                    if self.bad.len() < KEPT {
                        self.bad.push(frame.clone());
                    }
                    if shown.len() < 20 {
                        let name = self.scene.tenants[*number].host.name();
                        shown.push(format!("at {name}: {why}: {}", describe(frame)));
                    }
                }
            }
        }
        self.arrivals = arrivals;
        shown
    }

    /// Violations beyond those that [`Judge::verdict`] returned.
    pub fn beyond(&self) -> u64 {
        self.violations.saturating_sub(20)
    }

    /// Frames that reached a tenant.
    pub fn arrivals(&self) -> u64 {
        self.arrivals.len() as u64
    }

    /// Those that are explained.
    pub fn explained(&self) -> u64 {
        self.explained
    }

    /// Writes the frames that violate.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, path: &Path) -> Result<()> {
        tap::write(path, self.bad.iter().map(Vec::as_slice))
    }

    fn explain(&mut self, number: usize, frame: &[u8]) -> Result<(), &'static str> {
        let tenant = &self.scene.tenants[number];
        for marker in Marker::find(frame, self.seed) {
            self.explain_marker(tenant, number, marker)?;
        }
        let Some(view) = View::of(frame) else {
            return if is_arp(frame) { Ok(()) } else { Err("neither IP nor ARP") };
        };
        if !view.recorded.is_empty() {
            return Err("an IP option that records addresses");
        }
        if is_neighbour_discovery(&view) {
            return Ok(());
        }
        if view.is_error() {
            return self.explain_error(tenant, number, &view);
        }
        if tenant.role == Role::Provider && is_one(&SOURCES, view.source) {
            return self.explain_crossing(number, frame, &view);
        }
        let ping = matches!(view.message, Some((0 | 129, _)));
        if ping && self.answerers(tenant).contains(&view.source) {
            let asked = self.tuples[number].contains(&view.reverse());
            return if asked { Ok(()) } else { Err("the answer to a ping that it did not send") };
        }
        if tenant.role != Role::Consumer || !is_one(&ENDPOINT, view.source) {
            return Err("from an address that is no endpoint");
        }
        let asked = view.offset > 0 && self.from[number].contains(&view.destination)
            || self.tuples[number].contains(&view.reverse());
        if asked { Ok(()) } else { Err("of a conversation that it did not begin") }
    }

    fn explain_marker(
        &self,
        tenant: &Tenant,
        number: usize,
        marker: Marker,
    ) -> Result<(), &'static str> {
        if usize::from(marker.tenant) == number {
            return Ok(());
        }
        let Some(sender) = self.scene.tenants.get(usize::from(marker.tenant)) else {
            return Err("a marker that nobody has");
        };
        match (sender.role, tenant.role) {
            (Role::Consumer, Role::Provider) => {
                match self.marked.get(&(marker.tenant, marker.number)) {
                    Some(true) => Ok(()),
                    Some(false) => Err("a frame that must not open a flow"),
                    None => Err("a payload that was not sent"),
                }
            }
            (Role::Provider, Role::Consumer) => {
                let owner = self.answers.get(&marker.number).and_then(|tuple| {
                    let (protocol, server, port, source, source_port) = *tuple;
                    self.owners.get(&(protocol, source, source_port, server, port))
                });
                match owner {
                    Some(owner) if usize::from(*owner) == number => Ok(()),
                    Some(_) => Err("the answer to another tenant"),
                    // A flow of an honest client bears no marker.
                    None => Ok(()),
                }
            }
            _ => Err("the payload of another tenant"),
        }
    }

    /// A packet from the gateway to the provider.
    fn explain_crossing(
        &mut self,
        number: usize,
        frame: &[u8],
        view: &View,
    ) -> Result<(), &'static str> {
        if !is_one(&SERVER, view.destination) {
            return Err("to an address that is no target");
        }
        if view.offset > 0 {
            return Ok(());
        }
        let is_flow = matches!(view.protocol, TCP | UDP) && TARGET_PORTS.contains(&view.ports[1]);
        if !is_flow {
            // The gateway answers for its source addresses itself.
            let answers = view.resets || matches!(view.message, Some((0 | 129, _)));
            let asked = answers && self.tuples[number].contains(&view.reverse());
            return if asked { Ok(()) } else { Err("to a port that is no target's") };
        }
        let marker = Marker::find(frame, self.seed).into_iter().next();
        let Some(Marker { tenant, .. }) = marker else { return Ok(()) };
        let owner = *self.owners.entry(view.tuple()).or_insert(tenant);
        if owner != tenant && self.begin.elapsed() < REST {
            return Err("from a source port that was another tenant's a moment ago");
        }
        Ok(())
    }

    fn explain_error(
        &self,
        tenant: &Tenant,
        number: usize,
        view: &View,
    ) -> Result<(), &'static str> {
        let (kind, _) = view.message.unwrap_or_default();
        let crosses = match view.protocol {
            ICMP => matches!(kind, 3 | 11 | 12),
            _ => matches!(kind, 1..=4),
        };
        if !crosses {
            return Err("a message that no gateway passes on");
        }
        let lowest = LOWEST_MTU[usize::from(view.protocol == ICMPV6)];
        if tenant.role == Role::Provider && view.mtu.is_some_and(|mtu| mtu < lowest) {
            return Err("an MTU that a shared address must not hear of");
        }
        let Some(quote) = &view.quote else { return Err("an error about nothing") };
        if !self.answerers(tenant).contains(&view.source) {
            return Err("an error from an address that is not the gateway's");
        }
        let sent = self.tuples[number].contains(&quote.tuple())
            || quote.offset > 0 && self.from[number].contains(&quote.source);
        if sent { Ok(()) } else { Err("an error about a packet that it did not send") }
    }

    /// Who may answer a tenant: the gateway itself, and what it holds there.
    fn answerers(&self, tenant: &Tenant) -> Vec<IpAddr> {
        let held: &[&str] = match tenant.role {
            Role::Consumer => &ENDPOINT,
            Role::Provider => &SOURCES,
            Role::Outsider => &[],
        };
        let held = held.iter().filter_map(|one| one.parse().ok());
        tenant.own.iter().copied().chain(held).collect()
    }
}

/// Whether a frame may reach the provider: what the configuration allows, and nothing else.
fn may_cross(tenant: &Tenant, frame: &[u8], view: &View) -> bool {
    let (Some(to), Some(from)) = (frame.get(..6), frame.get(6..12)) else { return false };
    let own_device = to == tenant.gateway_mac && from != tenant.gateway_mac && from[0] & 1 == 0;
    if tenant.role != Role::Consumer || !own_device || !is_one(&ENDPOINT, view.destination) {
        return false;
    }
    let is_host = tenant.subnets.iter().any(|subnet| {
        let ends = [subnet.network(), subnet.broadcast()];
        let v6 = view.source.is_ipv6() && view.source != ends[0];
        subnet.contains(&view.source) && (v6 || !ends.contains(&view.source))
    });
    let is_gateway = is_one(&ENDPOINT, view.source) || tenant.own.contains(&view.source);
    // What an error may say is judged where it arrives.
    let is_flow = view.offset > 0
        || view.is_error()
        || match view.protocol {
            TCP => LISTENERS.contains(&view.ports[1]),
            UDP => view.ports[1] == LISTENERS[1],
            _ => false,
        };
    is_host && !is_gateway && is_flow
}

fn is_one(of: &[&str], address: IpAddr) -> bool {
    of.iter().any(|one| one.parse() == Ok(address))
}

fn is_arp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 6])
}

/// The gateway's own talk on a link: neighbours, groups, and solicitations of routers.
fn is_neighbour_discovery(view: &View) -> bool {
    let kind = view.message.map(|(kind, _)| kind);
    let local = match view.source {
        IpAddr::V6(source) => source.segments()[0] & 0xffc0 == 0xfe80 || source.is_unspecified(),
        IpAddr::V4(_) => false,
    };
    view.protocol == ICMPV6 && matches!(kind, Some(133 | 135 | 136))
        || local && kind == Some(143)
        // Reports of IPv4 groups.
        || view.protocol == 2
}

fn describe(frame: &[u8]) -> String {
    let Some(view) = View::of(frame) else {
        return format!("{} bytes {:02x?}", frame.len(), &frame[..frame.len().min(20)]);
    };
    let (protocol, source, port, destination, to) = view.tuple();
    let mut text = format!("protocol {protocol} [{source}]:{port} -> [{destination}]:{to}");
    if let Some((kind, code)) = view.message {
        text.push_str(&format!(" type {kind} code {code}"));
    }
    if let Some(mtu) = view.mtu {
        text.push_str(&format!(" MTU {mtu}"));
    }
    text
}
