//! The names of one network, with the bytes of each answer prepared.

use std::{collections::HashMap, net::IpAddr};

use crate::dns::record::{Data, ServedNames};

/// Types of records, as numbers.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A name server of a zone.
    pub const NS: u16 = 2;
    /// The start of a zone.
    pub const SOA: u16 = 6;
    /// The name of an address.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// Port and host of a service.
    pub const SRV: u16 = 33;
    /// Options of EDNS.
    pub const OPT: u16 = 41;
    /// An incremental zone transfer.
    pub const IXFR: u16 = 251;
    /// A full zone transfer.
    pub const AXFR: u16 = 252;
    /// Any type.
    pub const ANY: u16 = 255;
}

const IN: u16 = 1;
/// The owner name of each answer: a pointer to the question, directly behind the header.
const QUESTION: [u8; 2] = [0xc0, 12];
/// Refresh, retry and expire of the SOA; the zones have no secondaries that would use them.
const TIMES: [u32; 3] = [3_600, 600, 86_400];

/// The prepared answers of one network.
#[derive(Debug, Default)]
pub struct Table {
    nodes: HashMap<Box<[u8]>, Node>,
    /// The SOA record for negative answers, for each zone.
    negative: Vec<Box<[u8]>>,
    /// Number of labels of the longest name, including the root's.
    deepest: usize,
    /// Name servers for all other names.
    pub forwarders: Vec<IpAddr>,
}

/// A name that exists.
#[derive(Debug)]
pub struct Node {
    zone: usize,
    exists: bool,
    sets: Vec<(u16, Set)>,
}

/// Records of one name and type, in wire format.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Number of records.
    pub count: u16,
    /// Their bytes in an answer.
    pub bytes: Vec<u8>,
}

/// The result of looking up a name.
#[derive(Debug)]
pub enum NameLookup<'a> {
    /// The name exists.
    Exists(&'a Node),
    /// The name does not exist in a zone of the gateway; this is the zone's SOA.
    Absent(&'a [u8]),
    /// The name is in no zone of the gateway.
    Foreign,
}

impl Table {
    /// Prepares all answers. `serial` is the version of the zones.
    pub fn new(names: &ServedNames, serial: u32) -> Self {
        let mut table = Self { forwarders: names.forwarders.clone(), ..Self::default() };
        for (number, (apex, zone)) in names.zones.iter().enumerate() {
            let soa = soa(names, serial);
            let owner = wire(apex);
            let negative = names.negative_ttl();
            table.negative.push(record(&owner, kind::SOA, negative, &soa).into_boxed_slice());
            let node = table.node(owner, number);
            // An empty zone stands for a name that is not available now.
            node.exists = !zone.records.is_empty() || has_zones_below(names, apex);
            node.add(kind::SOA, names.ttl, &soa);
            node.add(kind::NS, names.ttl, &wire(&names.server));
        }
        for (number, (apex, zone)) in names.zones.iter().enumerate() {
            for one in &zone.records {
                let (kind, data) = encoded(&one.data);
                table.node(wire(&one.name), number).add(kind, names.ttl, &data);
                // The names between this one and the apex exist, without records (RFC 8020).
                let mut name = one.name.as_str();
                while let Some((_, parent)) = name.split_once('.')
                    && name != apex
                {
                    table.node(wire(parent), number);
                    name = parent;
                }
            }
        }
        table
    }

    fn node(&mut self, name: Vec<u8>, zone: usize) -> &mut Node {
        self.deepest = self.deepest.max(labels(&name).count() + 1);
        let new = || Node { zone, exists: true, sets: Vec::new() };
        self.nodes.entry(name.into_boxed_slice()).or_insert_with(new)
    }

    /// Looks up a name in wire format and lower case.
    pub fn find(&self, name: &[u8]) -> NameLookup<'_> {
        if let Some(node) = self.nodes.get(name) {
            return if node.exists {
                NameLookup::Exists(node)
            } else {
                NameLookup::Absent(self.soa(node))
            };
        }
        let count = labels(name).count() + 1;
        let ancestors = labels(name).filter_map(|at| name.get(at..));
        // Skip ancestors with more labels than any name in the table.
        for ancestor in ancestors.skip(count.saturating_sub(self.deepest + 1)) {
            let Some(closest) = self.nodes.get(ancestor) else { continue };
            let wildcard = [b"\x01*", ancestor].concat();
            return match self.nodes.get(wildcard.as_slice()) {
                Some(node) => NameLookup::Exists(node),
                None => NameLookup::Absent(self.soa(closest)),
            };
        }
        NameLookup::Foreign
    }

    /// The SOA record for negative answers in a node's zone.
    pub fn soa(&self, node: &Node) -> &[u8] {
        self.negative.get(node.zone).map_or(&[], |soa| soa)
    }
}

impl Node {
    fn add(&mut self, kind: u16, ttl: u32, data: &[u8]) {
        let bytes = record(&QUESTION, kind, ttl, data);
        match self.sets.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, set)) => {
                set.count += 1;
                set.bytes.extend(bytes);
            }
            None => self.sets.push((kind, Set { count: 1, bytes })),
        }
    }

    /// The records of a type; for `ANY`, the records of one type (RFC 8482).
    pub fn set(&self, kind: u16) -> Option<&Set> {
        let mut sets = self.sets.iter();
        let found = if kind == kind::ANY {
            sets.find(|(known, _)| *known != kind::SOA)
        } else {
            sets.find(|(known, _)| *known == kind)
        };
        found.map(|(_, set)| set)
    }
}

fn has_zones_below(names: &ServedNames, apex: &str) -> bool {
    let below = |zone: &String| zone.strip_suffix(apex).is_some_and(|rest| rest.ends_with('.'));
    names.zones.keys().any(below)
}

/// The offset of each label but the first, including the root's.
fn labels(name: &[u8]) -> impl Iterator<Item = usize> {
    let next = |at: &usize| {
        let length = usize::from(*name.get(*at)?);
        (length > 0).then_some(at + length + 1)
    };
    std::iter::successors(next(&0), next)
}

/// A name in wire format.
fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).unwrap_or(63));
        wire.extend(label.bytes());
    }
    wire.push(0);
    wire
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    [owner, &kind.to_be_bytes(), &IN.to_be_bytes(), &ttl.to_be_bytes(), &length.to_be_bytes(), data]
        .concat()
}

fn encoded(data: &Data) -> (u16, Vec<u8>) {
    match data {
        Data::A(address) => (kind::A, address.octets().to_vec()),
        Data::Aaaa(address) => (kind::AAAA, address.octets().to_vec()),
        Data::Ptr(name) => (kind::PTR, wire(name)),
        Data::Srv { port, target } => {
            let weights = [0; 4];
            (kind::SRV, [&weights[..], &port.to_be_bytes(), &wire(target)].concat())
        }
        Data::Txt(text) => {
            let text = text.as_bytes();
            let text = text.get(..text.len().min(255)).unwrap_or_default();
            (kind::TXT, [&[u8::try_from(text.len()).unwrap_or(255)][..], text].concat())
        }
    }
}

fn soa(names: &ServedNames, serial: u32) -> Vec<u8> {
    let domain = names.server.split_once('.').map_or("", |(_, domain)| domain);
    let mut data = wire(&names.server);
    data.extend(wire(&format!("hostmaster.{domain}")));
    let [refresh, retry, expire] = TIMES;
    for number in [serial, refresh, retry, expire, names.negative_ttl()] {
        data.extend(number.to_be_bytes());
    }
    data
}
