//! Which frames are tried.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::subject::Subject;
use crate::model::{Port, PortRange, Protocol, SecurityRule};

/// The most frames of one test: listeners times families.
const MOST: usize = 16;
/// How many addresses of a range are looked at for one that can be a client's.
const MOST_CANDIDATES: usize = 300;
/// The first of the ports that clients use: below those that hosts give out by themselves.
const CLIENT_PORT: u16 = 30_000;

/// A packet that would open a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// By which protocol.
    pub protocol: Protocol,
    /// From where.
    pub client: SocketAddr,
    /// The endpoint's address and the listener's port.
    pub address: SocketAddr,
}

/// Chooses the frames: of each listener, or that on the wanted port, one in each of the endpoint's
/// families, or in that of the wanted client.
///
/// Without a wanted client they are those of clients that the rules allow: that the rules keep out
/// all others is no fault. Only if they allow nobody are other clients tried.
pub fn choose(subject: &Subject, from: Option<IpAddr>, port: Option<u16>) -> Vec<Walk> {
    let ports = ports(subject, port);
    let of = |pick: &dyn Fn(IpAddr, Protocol, u16) -> Option<IpAddr>| {
        let mut walks = Vec::new();
        for (protocol, port) in &ports {
            for address in &subject.addresses {
                let Some(client) = pick(*address, *protocol, *port) else { continue };
                let (client, address) = ((client, CLIENT_PORT).into(), (*address, *port).into());
                walks.push(Walk { protocol: *protocol, client, address });
            }
        }
        walks.truncate(MOST);
        walks
    };
    if let Some(from) = from {
        return of(&|to, _, _| Some(from).filter(|from| from.is_ipv4() == to.is_ipv4()));
    }
    let anyone = || subject.clients.clone();
    let allowed = of(&|to, protocol, port| {
        if subject.allow.is_empty() {
            return client(subject, to, anyone());
        }
        let rules = subject.allow.iter().filter(|rule| allows(rule, protocol, port));
        client(subject, to, rules.map(|rule| rule.from).collect())
    });
    if allowed.is_empty() { of(&|to, _, _| client(subject, to, anyone())) } else { allowed }
}

fn ports(subject: &Subject, wanted: Option<u16>) -> Vec<(Protocol, u16)> {
    let all = subject.listeners.iter();
    let Some(wanted) = wanted else {
        return all.map(|(protocol, ports, _)| (*protocol, ports.first().get())).collect();
    };
    let offered: Vec<_> = all
        .filter(|(_, ports, _)| holds(*ports, wanted))
        .map(|(protocol, ..)| (*protocol, wanted))
        .collect();
    // The programs are asked also about a port without a listener.
    if offered.is_empty() { vec![(Protocol::Tcp, wanted)] } else { offered }
}

fn holds(range: PortRange, port: u16) -> bool {
    (range.first().get()..=range.last().get()).contains(&port)
}

/// A client of the network in one of these ranges.
fn client(subject: &Subject, to: IpAddr, ranges: Vec<IpNet>) -> Option<IpAddr> {
    let mut candidates = ranges
        .into_iter()
        .filter(|range| range.addr().is_ipv4() == to.is_ipv4())
        .flat_map(|range| range.hosts().take(MOST_CANDIDATES));
    candidates.find(|candidate| {
        !subject.taken.contains(candidate)
            && subject.clients.iter().any(|range| range.contains(candidate))
    })
}

fn allows(rule: &SecurityRule, protocol: Protocol, port: u16) -> bool {
    let has_port = rule.ports.is_empty() || rule.ports.iter().any(|range| holds(*range, port));
    has_port && rule.protocol.is_none_or(|one| one == protocol)
}

/// The port of a target that a listener's port leads to.
pub fn target_port(subject: &Subject, walk: &Walk) -> Option<Port> {
    let mut all = subject.listeners.iter();
    let wanted = walk.address.port();
    let (_, ports, targets) =
        all.find(|(protocol, ports, _)| *protocol == walk.protocol && holds(*ports, wanted))?;
    let port = targets.first().get() + (wanted - ports.first().get());
    Port::try_from(i64::from(port)).ok()
}
