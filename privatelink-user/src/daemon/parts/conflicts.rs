//! Other hosts that use an address of the gateway.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use log::warn;
use privatelink_common::Mac;

use crate::{
    datapath::{
        bpf::{Claim, ClaimListener, FrameSender},
        frames::announce::{frame, probe, served_addresses},
        tables::MapTables,
    },
    events::{Event, Kind},
    host::HostFacts,
    interface::types::About,
    model::{Model, Network},
};

/// Between two defences of an address (RFC 5227, section 2.4).
const DEFENCE: Duration = Duration::from_secs(10);
/// After this time without a claim, the other host is asked again.
const ASK: Duration = Duration::from_secs(30);
/// After this time without a claim, there is no other host any more.
const OVER: Duration = Duration::from_secs(90);
/// The most conflicts that are known at a time: a host can make up as many as there are addresses.
const MOST: usize = 256;

/// The conflicts, and the sockets by which they are noticed.
#[derive(Debug)]
pub(in crate::daemon) struct Conflicts {
    listener: Option<ClaimListener>,
    known: BTreeMap<(u32, IpAddr), Conflict>,
}

/// Another host with an address of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conflict {
    mac: Mac,
    claimed: Instant,
    asked: Instant,
    defended: Option<Instant>,
}

/// Where the gateway's own frames about an address go.
#[derive(Clone, Copy)]
struct Place {
    ifindex: u32,
    vlan: u16,
    mac: Mac,
}

impl Conflicts {
    /// Opens the sockets. Without the right to, no conflict is noticed; that the right is missing
    /// is reported where frames are sent.
    pub fn open() -> Self {
        let listener = ClaimListener::open();
        if let Err(error) = &listener {
            warn!("cannot notice hosts that use an address of the gateway: {error}");
        }
        Self { listener: listener.ok(), known: BTreeMap::new() }
    }

    /// Looks which addresses of the gateway other hosts have claimed, and defends them. Returns an
    /// event for each conflict that has begun or ended.
    pub fn look(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        tables: Option<&MapTables>,
        sender: Option<&FrameSender>,
        now: Instant,
    ) -> Vec<Event> {
        let claims = self.listener.as_ref().map(ClaimListener::claims).unwrap_or_default();
        if claims.is_empty() && self.known.is_empty() {
            return Vec::new();
        }
        let Some(tables) = tables else { return Vec::new() };
        let own = places(tables, facts);
        let mut changes = self.accept(&claims, &own, now);
        changes.extend(self.end(&own, now));
        if let Some(sender) = sender {
            self.speak(&own, sender, now);
        }
        changes.iter().filter_map(|change| event(model, facts, *change)).collect()
    }

    /// Notes claims; returns those that are news.
    fn accept(
        &mut self,
        claims: &[Claim],
        own: &BTreeMap<(u32, IpAddr), Place>,
        now: Instant,
    ) -> Vec<(Kind, Claim)> {
        let mut news = Vec::new();
        for claim @ Claim { ifindex, address, mac } in claims {
            let key = (*ifindex, *address);
            let is_foreign = own.get(&key).is_some_and(|place| place.mac != *mac);
            if !is_foreign || self.known.len() >= MOST && !self.known.contains_key(&key) {
                continue;
            }
            let known = self.known.entry(key).or_insert_with(|| {
                news.push((Kind::AddressConflict, *claim));
                Conflict { mac: *mac, claimed: now, asked: now, defended: None }
            });
            (known.mac, known.claimed) = (*mac, now);
        }
        news
    }

    /// Forgets conflicts that are over; returns them.
    fn end(&mut self, own: &BTreeMap<(u32, IpAddr), Place>, now: Instant) -> Vec<(Kind, Claim)> {
        let mut over = Vec::new();
        self.known.retain(|key @ (ifindex, address), conflict| {
            let goes_on = own.contains_key(key) && now - conflict.claimed < OVER;
            if !goes_on {
                let claim = Claim { ifindex: *ifindex, address: *address, mac: conflict.mac };
                over.push((Kind::AddressConflictEnded, claim));
            }
            goes_on
        });
        over
    }

    /// Announces addresses against those that claim them, and asks whether they still do.
    fn speak(&mut self, own: &BTreeMap<(u32, IpAddr), Place>, sender: &FrameSender, now: Instant) {
        for (key @ (_, address), conflict) in &mut self.known {
            let Some(Place { ifindex, vlan, mac }) = own.get(key).copied() else { continue };
            // A frame that is lost is sent again in time.
            if conflict.defended.is_none_or(|last| conflict.claimed - last >= DEFENCE) {
                let _ = sender.send(ifindex, &frame(mac, vlan, *address));
                conflict.defended = Some(now);
            }
            if now - conflict.claimed.max(conflict.asked) >= ASK {
                let _ = sender.send(ifindex, &probe(mac, vlan, *address));
                conflict.asked = now;
            }
        }
    }

    /// The conflicts: the interface, the address, and the Ethernet address of the other host.
    pub fn known(&self) -> Vec<(u32, IpAddr, String)> {
        let known = self.known.iter();
        known.map(|((ifindex, address), one)| (*ifindex, *address, shown(one.mac))).collect()
    }

    /// The conflicts, for the list of problems.
    pub fn problems(&self, model: &Model, facts: &HostFacts) -> Vec<String> {
        let known = self.known.iter();
        let problems = known.filter_map(|((ifindex, address), conflict)| {
            let network = network(model, facts, *ifindex)?;
            Some(format!(
                "network {}: another host, with the Ethernet address {}, uses {address}, which is \
                 the gateway's: find it and give it another address, or change the endpoint's or \
                 service's",
                network.name,
                shown(conflict.mac)
            ))
        });
        problems.collect()
    }
}

/// The gateway's addresses, by the interface of the host's stack.
fn places(tables: &MapTables, facts: &HostFacts) -> BTreeMap<(u32, IpAddr), Place> {
    let served = served_addresses(tables, facts).into_iter();
    let places = served.filter_map(|((ifindex, vlan, address), mac)| {
        let stack = facts.stack_of(ifindex, vlan.into())?;
        Some(((stack.index, address), Place { ifindex, vlan, mac }))
    });
    places.collect()
}

fn network<'m>(model: &'m Model, facts: &HostFacts, ifindex: u32) -> Option<&'m Network> {
    let is_it = |network: &&Network| {
        facts.stack(&network.attachment).is_some_and(|stack| stack.index == ifindex)
    };
    model.networks().values().find(is_it)
}

fn shown(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn event(model: &Model, facts: &HostFacts, (kind, claim): (Kind, Claim)) -> Option<Event> {
    let network = network(model, facts, claim.ifindex)?;
    let (name, address, mac) = (&network.name, claim.address, shown(claim.mac));
    let text = if kind == Kind::AddressConflict {
        format!("network {name}: {mac} uses {address}, too")
    } else {
        format!("network {name}: {mac} no longer uses {address}")
    };
    let about = About {
        network: Some(name.to_string()),
        address: Some(address.to_string()),
        ..About::default()
    };
    Some(Event::new(kind, text).about(about).seen_by(&network.principal))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = [2, 0, 0, 0, 0xaa, 0];
    const OTHER: Mac = [2, 0, 0, 0, 0, 9];

    fn claim(text: &str, mac: Mac) -> Claim {
        Claim { ifindex: 3, address: text.parse().unwrap(), mac }
    }

    #[test]
    fn a_claim_of_another_host_is_a_conflict_until_it_ends() {
        let mut conflicts = Conflicts { listener: None, known: BTreeMap::new() };
        let place = Place { ifindex: 3, vlan: 0, mac: OWN };
        let own = [((3, "10.1.0.50".parse().unwrap()), place)].into();
        let begin = Instant::now();
        let claims = [claim("10.1.0.50", OWN), claim("10.1.0.9", OTHER)];
        assert!(conflicts.accept(&claims, &own, begin).is_empty());
        let claims = [claim("10.1.0.50", OTHER)];
        let news = conflicts.accept(&claims, &own, begin);
        assert_eq!(news, [(Kind::AddressConflict, claims[0])]);
        let later = begin + Duration::from_secs(80);
        assert!(conflicts.accept(&claims, &own, later).is_empty(), "it is known");
        assert!(conflicts.end(&own, later + Duration::from_secs(80)).is_empty());
        let over = conflicts.end(&own, later + OVER);
        assert_eq!(over, [(Kind::AddressConflictEnded, claims[0])]);
        assert!(conflicts.known.is_empty());
    }

    #[test]
    fn a_host_cannot_make_up_any_number_of_conflicts() {
        let mut conflicts = Conflicts { listener: None, known: BTreeMap::new() };
        let place = Place { ifindex: 3, vlan: 0, mac: OWN };
        let addresses: Vec<IpAddr> =
            (0..1_000_u32).map(|n| std::net::Ipv4Addr::from(n + 1).into()).collect();
        let own = addresses.iter().map(|address| ((3, *address), place)).collect();
        let claims: Vec<Claim> = addresses
            .iter()
            .map(|address| Claim { ifindex: 3, address: *address, mac: OTHER })
            .collect();
        assert_eq!(conflicts.accept(&claims, &own, Instant::now()).len(), MOST);
    }
}
