//! Events about interfaces and next hops, from comparing two observations.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use privatelink_common::Mac;

use super::{event::Event, kind::Kind};
use crate::{
    datapath::bpf::Mode,
    desired::next_hop,
    host::HostFacts,
    interface::types::About,
    model::{Model, Name},
};

/// The state of interfaces and next hops at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    interfaces: BTreeMap<Name, InterfaceState>,
    hops: BTreeMap<(Name, IpAddr), NextHopState>,
}

/// The interface of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InterfaceState {
    principal: Name,
    name: String,
    up: bool,
    mode: Option<Mode>,
}

/// A next hop and its Ethernet address, if it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NextHopState {
    principal: Name,
    mac: Option<Mac>,
}

impl Observation {
    /// Observes the host, the interfaces that the program is attached to, and these next hops.
    pub fn of(
        model: &Model,
        facts: &HostFacts,
        attached: &BTreeMap<u32, Mode>,
        next_hops: &BTreeSet<(u32, IpAddr)>,
    ) -> Self {
        let mut seen = Self::default();
        for (name, network) in model.networks() {
            let link = facts.link(network.attachment.interface.as_str());
            let interface = InterfaceState {
                principal: network.principal.clone(),
                name: network.attachment.interface.to_string(),
                up: link.is_some_and(|link| link.up),
                mode: link.and_then(|link| attached.get(&link.index).copied()),
            };
            seen.interfaces.insert(name.clone(), interface);
            let Some(link) = link else { continue };
            let hops = next_hops.iter().filter(|(ifindex, _)| *ifindex == link.index);
            let hops = hops.filter(|(_, hop)| next_hop(network, *hop) == Some(*hop));
            for (ifindex, address) in hops {
                let mac = facts.neighbour(*ifindex, *address).map(|neighbour| neighbour.mac);
                let hop = NextHopState { principal: network.principal.clone(), mac };
                seen.hops.insert((name.clone(), *address), hop);
            }
        }
        seen
    }

    /// The same without any attached program, as before the daemon attached it.
    #[must_use]
    pub fn unattached(mut self) -> Self {
        self.interfaces.values_mut().for_each(|interface| interface.mode = None);
        self
    }

    /// An event for each change since an earlier observation.
    pub fn since(&self, before: &Self) -> Vec<Event> {
        let interfaces = self.interfaces.iter().filter_map(|(network, now)| {
            Some(interface(network, before.interfaces.get(network)?, now))
        });
        let hops = self.hops.iter().filter_map(|(key, now)| {
            let known = before.hops.get(key).and_then(|hop| hop.mac);
            hop(key, known, now)
        });
        interfaces.flatten().chain(hops).collect()
    }
}

fn interface(network: &Name, before: &InterfaceState, now: &InterfaceState) -> Vec<Event> {
    let name = &now.name;
    let mut events = Vec::new();
    let mut publish = |kind, words: &str| {
        let about = About {
            network: Some(network.to_string()),
            interface: Some(name.clone()),
            ..About::default()
        };
        let event = Event::new(kind, format!("network {network}: {name} {words}"));
        events.push(event.about(about).seen_by(&now.principal));
    };
    match (before.up, now.up) {
        (false, true) => publish(Kind::InterfaceUp, "is up"),
        (true, false) => publish(Kind::InterfaceDown, "is down or was removed"),
        (true, true) | (false, false) => {}
    }
    match (before.mode, now.mode) {
        (before, Some(mode)) if before != Some(mode) => {
            publish(Kind::InterfaceAttached, &format!("attached ({} XDP)", mode.name()));
        }
        (Some(_), None) => publish(Kind::InterfaceDetached, "is detached"),
        (Some(_) | None, _) => {}
    }
    events
}

fn hop(
    (network, address): &(Name, IpAddr),
    before: Option<Mac>,
    now: &NextHopState,
) -> Option<Event> {
    let (kind, text) = match (before, now.mac) {
        (before, Some(mac)) if before != Some(mac) => {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            (Kind::NextHopFound, format!("network {network}: next hop {address} is at {mac}"))
        }
        (Some(_), None) => {
            (Kind::NextHopLost, format!("network {network}: next hop {address} does not answer"))
        }
        (Some(_) | None, _) => return None,
    };
    let about = About {
        network: Some(network.to_string()),
        address: Some(address.to_string()),
        ..About::default()
    };
    Some(Event::new(kind, text).about(about).seen_by(&now.principal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        host::{Link, Neighbour},
    };

    const VENDOR: u32 = 13;

    fn link(up: bool) -> Link {
        Link {
            index: VENDOR,
            name: "veth-vendor".into(),
            mac: Some([2, 0, 0, 0, 0, 13]),
            mtu: 1500,
            up,
            allmulti: true,
            tag: None,
        }
    }

    #[test]
    fn each_change_has_one_event() {
        let text = include_str!("../desired/tests.toml");
        let model = config::from_text("t.toml", text).unwrap().model;
        let hop: IpAddr = "10.0.0.10".parse().unwrap();
        let hops = BTreeSet::from([(VENDOR, hop)]);
        let (mut facts, mut attached) = (HostFacts::default(), BTreeMap::new());
        let mut before = Observation::of(&model, &facts, &attached, &BTreeSet::new());
        let mut now = |facts: &HostFacts, attached: &BTreeMap<u32, Mode>, hops: &_| {
            let now = Observation::of(&model, facts, attached, hops);
            let events = now.since(&before);
            before = now;
            for event in &events {
                assert_eq!(event.audience, BTreeSet::from(["vendor".parse().unwrap()]));
            }
            events.into_iter().map(|event| event.text).collect::<Vec<_>>()
        };
        assert_eq!(now(&facts, &attached, &hops), [""; 0]);
        facts.insert_link(link(true));
        attached.insert(VENDOR, Mode::Native);
        let expected = ["veth-vendor is up", "veth-vendor attached (native XDP)"];
        assert_eq!(now(&facts, &attached, &hops), expected.map(|t| format!("network vendor: {t}")));
        let at = |last| Neighbour { mac: [2, 0, 0, 0, 0, last], fixed: false };
        for last in [7, 8] {
            facts.insert_neighbour(VENDOR, hop, at(last));
            let found = format!("network vendor: next hop 10.0.0.10 is at 02:00:00:00:00:0{last}");
            assert_eq!(now(&facts, &attached, &hops), [found]);
        }
        assert_eq!(now(&facts, &attached, &hops), [""; 0]);
        let mut silent = HostFacts::default();
        silent.insert_link(link(true));
        let lost = ["network vendor: next hop 10.0.0.10 does not answer"];
        assert_eq!(now(&silent, &attached, &hops), lost);
        attached.clear();
        silent.insert_link(link(false));
        let expected = ["veth-vendor is down or was removed", "veth-vendor is detached"];
        assert_eq!(
            now(&silent, &attached, &hops),
            expected.map(|t| format!("network vendor: {t}"))
        );
    }

    #[test]
    fn a_starting_daemon_reports_where_it_is_attached() {
        let text = include_str!("../desired/tests.toml");
        let model = config::from_text("t.toml", text).unwrap().model;
        let mut facts = HostFacts::default();
        facts.insert_link(link(true));
        let attached = BTreeMap::from([(VENDOR, Mode::Generic)]);
        let seen = Observation::of(&model, &facts, &attached, &BTreeSet::new());
        let events = seen.since(&seen.clone().unattached());
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].kind, Kind::InterfaceAttached);
    }
}
