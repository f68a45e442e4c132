//! The subjects written in C: floor, drop, redirect, and the reference full NAT.

use std::net::SocketAddrV4;

use anyhow::{Context, Result};
use aya::maps::{Array, DevMap, HashMap, MapData, PerCpuArray};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};

use super::REFERENCE;
use super::compile::{Source, object};
use super::conversation;
use super::host::Ports;
use super::packet::{FIRST_SOURCE, FlowTuple, Protocol, TARGET, ones_sum, words};
use super::subject::{Outcome, Subject, xdp};

/// Devmap slots, the same in every C program.
const TO_PROVIDER: u32 = 0;
const TO_CONSUMER: u32 = 1;

/// `enum flow_state` of `reference.bpf.c`.
const ESTABLISHED: u32 = 1;

/// A program of `simple.bpf.c`: no flows, no tables worth the name.
pub struct Simple {
    name: &'static str,
    outcome: Outcome,
    ebpf: Ebpf,
}

impl Simple {
    /// Loads the program whose cost is the floor.
    ///
    /// # Errors
    ///
    /// When the compiler or the kernel refuses it.
    pub fn transmit(ports: &Ports) -> Result<Self> {
        Self::load("transmit", Outcome::Transmit, ports)
    }

    /// Loads the program that drops.
    ///
    /// # Errors
    ///
    /// When the compiler or the kernel refuses it.
    pub fn drop(ports: &Ports) -> Result<Self> {
        Self::load("drop", Outcome::Drop, ports)
    }

    /// Loads the program that rewrites MAC addresses and redirects.
    ///
    /// # Errors
    ///
    /// When the compiler or the kernel refuses it.
    pub fn redirect(ports: &Ports) -> Result<Self> {
        Self::load("redirect", Outcome::Redirect, ports)
    }

    fn load(name: &'static str, outcome: Outcome, ports: &Ports) -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(&object(Source::Simple)?)?;
        load_program(&mut ebpf, name)?;
        fill_ports(&mut ebpf, ports)?;
        let mut macs: Array<_, [u32; 3]> = ebpf.map_mut("MACS").context("no MACS")?.try_into()?;
        macs.set(0, mac_words(ports.macs.target, ports.macs.provider_port), 0)?;
        Ok(Self { name, outcome, ebpf })
    }
}

impl Subject for Simple {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn program(&self) -> Result<&Xdp> {
        xdp(&self.ebpf, self.name)
    }

    fn prepare(&mut self, _: &[FlowTuple], _: Protocol, _: &Ports) -> Result<()> {
        Ok(())
    }
}

/// `reference.bpf.c`.
pub struct Reference {
    ebpf: Ebpf,
    opens_flows: bool,
    flows: HashMap<MapData, [u32; 4], [u32; 16]>,
    counters: PerCpuArray<MapData, [u64; 2]>,
}

impl Reference {
    /// Loads the reference with a table for this many flows, two entries each.
    ///
    /// # Errors
    ///
    /// When the compiler or the kernel refuses it.
    pub fn load(capacity: u32, ports: &Ports) -> Result<Self> {
        Self::of(Source::Reference, capacity, ports)
    }

    /// Loads the variant that opens a flow for every packet that has none.
    ///
    /// # Errors
    ///
    /// When the compiler or the kernel refuses it.
    pub fn opening_flows(capacity: u32, ports: &Ports) -> Result<Self> {
        let mut this = Self::of(Source::ReferenceNew, capacity, ports)?;
        let map = this.ebpf.map_mut("SERVICE").context("no SERVICE")?;
        let mut service: Array<_, [u32; 12]> = map.try_into()?;
        let target = u32::from_ne_bytes(TARGET.ip().octets());
        let [a, b, c] = mac_words(ports.macs.target, ports.macs.provider_port);
        let [d, e, f] = mac_words(ports.macs.client, ports.macs.consumer_port);
        let port = u32::from(TARGET.port().to_be());
        service.set(0, [target, FIRST_SOURCE.into(), port, a, b, c, d, e, f, 0, 0, 0], 0)?;
        Ok(this)
    }

    fn of(source: Source, capacity: u32, ports: &Ports) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("FLOWS", capacity * 2)
            .load(&object(source)?)
            .context("the kernel refused the reference's maps")?;
        load_program(&mut ebpf, "reference")?;
        fill_ports(&mut ebpf, ports)?;
        let flows = ebpf.take_map("FLOWS").context("no FLOWS")?.try_into()?;
        let counters = ebpf.take_map("COUNTERS").context("no COUNTERS")?.try_into()?;
        let opens_flows = matches!(source, Source::ReferenceNew);
        Ok(Self { ebpf, opens_flows, flows, counters })
    }
}

impl Subject for Reference {
    fn name(&self) -> &'static str {
        REFERENCE
    }

    fn outcome(&self) -> Outcome {
        Outcome::Translate
    }

    fn program(&self) -> Result<&Xdp> {
        xdp(&self.ebpf, "reference")
    }

    fn prepare(&mut self, flows: &[FlowTuple], protocol: Protocol, ports: &Ports) -> Result<()> {
        if self.opens_flows {
            let program = self.program()?;
            for flow in flows {
                conversation::open(program, flow, protocol, ports)?;
            }
            return Ok(());
        }
        let macs = &ports.macs;
        let there = mac_words(macs.target, macs.provider_port);
        let back = mac_words(macs.client, macs.consumer_port);
        // One direction after the other: neighbours in the table are then of the direction that is
        // measured. That is the best case for the reference; alternating, its packets would touch
        // every other pair of cache lines, and half of the cache's sets.
        for flow in flows {
            let ends = [flow.client, flow.endpoint];
            let flow = entry(ends, [flow.source, flow.target], there, TO_PROVIDER);
            self.flows.insert(key(ends, protocol), flow, 0)?;
        }
        for flow in flows {
            let ends = [flow.target, flow.source];
            let flow = entry(ends, [flow.endpoint, flow.client], back, TO_CONSUMER);
            self.flows.insert(key(ends, protocol), flow, 0)?;
        }
        Ok(())
    }

    fn forwarded(&self) -> Result<Option<u64>> {
        let counters = self.counters.get(&0, 0)?;
        Ok(Some(counters.iter().map(|[packets, _]| packets).sum()))
    }
}

fn load_program(ebpf: &mut Ebpf, name: &str) -> Result<()> {
    let program: &mut Xdp =
        ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    program.load().with_context(|| format!("the kernel refused the program {name}"))
}

fn fill_ports(ebpf: &mut Ebpf, ports: &Ports) -> Result<()> {
    let mut map: DevMap<_> = ebpf.map_mut("PORTS").context("no PORTS")?.try_into()?;
    map.set(TO_PROVIDER, ports.provider, None, 0)?;
    map.set(TO_CONSUMER, ports.consumer, None, 0)?;
    Ok(())
}

/// Destination and source MAC address as they lie in a frame.
fn mac_words(destination: [u8; 6], source: [u8; 6]) -> [u32; 3] {
    let [a, b, c, d, e, f] = destination;
    let [g, h, i, j, k, l] = source;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes)
}

/// Both ports as they lie in a segment.
fn port_word([from, to]: [SocketAddrV4; 2]) -> u32 {
    let [a, b] = from.port().to_be_bytes();
    let [c, d] = to.port().to_be_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

fn address_word(address: SocketAddrV4) -> u32 {
    u32::from_ne_bytes(address.ip().octets())
}

/// `struct flow_key`.
fn key(ends: [SocketAddrV4; 2], protocol: Protocol) -> [u32; 4] {
    let [from, to] = ends.map(address_word);
    [from, to, port_word(ends), u32::from(protocol.number())]
}

/// `struct flow` for packets that come with `old` addresses and leave with `new` ones.
fn entry(
    old: [SocketAddrV4; 2],
    new: [SocketAddrV4; 2],
    [a, b, c]: [u32; 3],
    port: u32,
) -> [u32; 16] {
    let [from, to] = new.map(address_word);
    let (ip, l4) = deltas(old, new);
    let [w, x] = ip.to_be_bytes();
    let [y, z] = l4.to_be_bytes();
    let delta = u32::from_ne_bytes([w, x, y, z]);
    let (seen, unused) = (0, 0);
    let head = [from, to, port_word(new), delta, a, b, c, port, seen, ESTABLISHED];
    let mut entry = [unused; 16];
    entry.iter_mut().zip(head).for_each(|(word, value)| *word = value);
    entry
}

/// What the flow adds to the one's complement of the IP and of the transport checksum.
fn deltas(old: [SocketAddrV4; 2], new: [SocketAddrV4; 2]) -> (u16, u16) {
    let addresses = |ends: [SocketAddrV4; 2]| ends.map(|end| end.ip().octets()).concat();
    let ports = |ends: [SocketAddrV4; 2]| ends.map(|end| end.port());
    let (gone, come) = (addresses(old), addresses(new));
    let address_delta: Vec<u16> = words(&gone).map(|word| !word).chain(words(&come)).collect();
    // One TTL less is 0x100 less in its word: the complement of 0x100 is added.
    let ip = ones_sum(address_delta.iter().copied().chain([!0x100]));
    let l4 =
        ones_sum(address_delta.into_iter().chain(ports(old).map(|port| !port)).chain(ports(new)));
    (ip, l4)
}
