//! Byte strings as something to do to a gateway, so that a fuzzer that knows nothing of packets
//! soon speaks of open flows.
//!
//! The frames and maps of each fixture are a [`Trace`]. A script names traces, and for each frame
//! of those what is different: nothing, a few edits, another interface; frames may also be missing,
//! come twice, or be any bytes.

use std::ops::ControlFlow;

use anyhow::Result;
use etherparse::Ipv4Header;
use privatelink_common::flow::Flow;
use privatelink_tests::{
    fixtures::{self, Counts, Fixture, Gateway, Host, Interfaces, MAX_FLOWS, Outcome, Port, play},
    packet::ETHERNET,
};
use privatelink_user::datapath::tables::MapTables;

/// The interfaces of a host that has no kernel to ask.
pub const INTERFACES: Interfaces = Interfaces([1, 2, 3, 4]);

/// Frames after which a script ends.
const LONGEST: usize = 64;

/// Where the addresses of IPv4 end and most transport headers do: what edits hit.
const HEADERS: usize = 100;

/// Something that happens to a gateway.
#[derive(Clone, Debug)]
pub enum Event {
    /// Its maps are made to hold this.
    Load(Box<MapTables>),
    /// A frame comes in.
    Frame(Port, Vec<u8>),
}

/// What happens in one fixture.
pub type Trace = Vec<Event>;

/// Every fixture that can be played, in the order of the table.
///
/// # Errors
/// When one does not go as it should: fuzzing would only find that again.
pub fn traces(interfaces: &Interfaces) -> Result<Vec<Trace>> {
    fixtures::all().iter().map(|fixture| record(fixture, interfaces)).collect()
}

fn record(fixture: &Fixture, interfaces: &Interfaces) -> Result<Trace> {
    let mut recorder =
        Recorder { host: Host::new(MAX_FLOWS), trace: Trace::new(), interfaces: *interfaces };
    play(fixture, interfaces, &mut recorder)?;
    Ok(recorder.trace)
}

/// A gateway that notes what is done to it.
struct Recorder {
    host: Host,
    trace: Trace,
    interfaces: Interfaces,
}

impl Gateway for Recorder {
    fn load(&mut self, tables: &MapTables) -> Result<()> {
        self.trace.push(Event::Load(Box::new(tables.clone())));
        self.host.load(tables)
    }

    fn frame(&mut self, ifindex: u32, frame: &[u8]) -> Result<Outcome> {
        let port = Port::ALL.into_iter().find(|port| self.interfaces.index(*port) == ifindex);
        self.trace.push(Event::Frame(port.unwrap_or(Port::Stranger), frame.to_vec()));
        self.host.frame(ifindex, frame)
    }

    fn counts(&self) -> Result<Counts> {
        self.host.counts()
    }

    fn flows(&self) -> Vec<Flow> {
        self.host.flows()
    }
}

/// Bytes that say what to do; where they end, zeros follow.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }
}

/// Tells `act` each event that a script means, until it has enough.
pub fn perform<B>(
    script: &[u8],
    traces: &[Trace],
    mut act: impl FnMut(&Event) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut script = Script(script);
    let mut frames = 0;
    while !script.0.is_empty() && !traces.is_empty() {
        let trace = &traces[script.number() % traces.len()];
        for event in trace {
            let Event::Frame(port, frame) = event else {
                act(event)?;
                continue;
            };
            for (port, frame) in variants(&mut script, *port, frame) {
                if frames == LONGEST {
                    return ControlFlow::Continue(());
                }
                frames += 1;
                act(&Event::Frame(port, frame))?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// What comes in place of a frame.
fn variants(script: &mut Script<'_>, port: Port, frame: &[u8]) -> Vec<(Port, Vec<u8>)> {
    let one = |port, frame| vec![(port, frame)];
    match script.byte() % 32 {
        edits @ 1..=4 => one(port, edited(script, frame, edits)),
        5 => Vec::new(),
        6 => vec![(port, frame.to_vec()), (port, frame.to_vec())],
        7 => one(Port::ALL[usize::from(script.byte()) % Port::ALL.len()], frame.to_vec()),
        8 => {
            let length = usize::from(script.byte());
            let bytes = (0..length.min(script.0.len())).map(|_| script.byte()).collect();
            one(port, bytes)
        }
        9..=19 => {
            // The original too, or nothing that follows would be of an open flow.
            let count = script.byte() % 8 + 1;
            let edits = script.byte() % 3 + 1;
            let mut all: Vec<_> =
                (0..count).map(|_| (port, edited(script, frame, edits))).collect();
            all.push((port, frame.to_vec()));
            all
        }
        _ => one(port, frame.to_vec()),
    }
}

/// A frame after so many changes of it.
fn edited(script: &mut Script<'_>, frame: &[u8], edits: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for _ in 0..edits {
        if frame.is_empty() {
            break;
        }
        let kind = script.byte();
        let at = usize::from(script.byte());
        let near = at % frame.len().min(HEADERS);
        match kind % 8 {
            0 => frame[near] ^= 1 << (script.byte() % 8),
            1 => frame[near] = script.byte(),
            2 => {
                let far = script.number() % frame.len();
                frame[far] = script.byte();
            }
            3 => frame.truncate(ETHERNET.min(frame.len()) + at % frame.len()),
            4 => frame.extend((0..at).map(|_| kind)),
            5 => frame.extend_from_within(near..),
            6 if near + 1 < frame.len() => {
                let word = u16::from_be_bytes([frame[near], frame[near + 1]]);
                let by = i16::from(script.byte() as i8);
                frame[near..near + 2].copy_from_slice(&word.wrapping_add_signed(by).to_be_bytes());
            }
            _ => mend(&mut frame),
        }
    }
    frame
}

/// Makes the checksum of an IPv4 header right, so that more is looked at than that.
fn mend(frame: &mut [u8]) {
    const CHECKSUM: std::ops::Range<usize> = 10..12;
    let Some(packet) = frame.get_mut(ETHERNET..) else { return };
    let Ok((mut header, _)) = Ipv4Header::from_slice(packet) else { return };
    header.header_checksum = header.calc_header_checksum();
    packet[CHECKSUM].copy_from_slice(&header.header_checksum.to_be_bytes());
}

/// Numbers that look random and follow from a seed (SplitMix64): for scripts that no fuzzer
/// thought of.
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
