//! The programs under test.

use std::net::SocketAddrV4;

use anyhow::{Context, Result, bail};
use aya::programs::Xdp;

use super::host::Ports;
use super::packet::{FlowTuple, Macs, Protocol, check_macs, check_translation};

/// `XDP_DROP`.
pub const XDP_DROP: u32 = 1;
/// `XDP_TX`.
pub const XDP_TX: u32 = 3;
/// `XDP_REDIRECT`.
pub const XDP_REDIRECT: u32 = 4;

/// What a correct program does with a packet of an established flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Drops it, untouched.
    Drop,
    /// Sends it back, untouched.
    Transmit,
    /// Redirects it with new MAC addresses.
    Redirect,
    /// Translates it in full and redirects it.
    Translate,
}

impl Outcome {
    /// The XDP action that goes with it.
    pub fn action(self) -> u32 {
        match self {
            Self::Drop => XDP_DROP,
            Self::Transmit => XDP_TX,
            Self::Redirect | Self::Translate => XDP_REDIRECT,
        }
    }

    /// Checks a program's output for a packet.
    ///
    /// # Errors
    ///
    /// When it is not this outcome.
    pub fn check(
        self,
        (action, after): &(u32, Vec<u8>),
        before: &[u8],
        flow: &FlowTuple,
        macs: &Macs,
    ) -> Result<Option<SocketAddrV4>> {
        if *action != self.action() {
            bail!("action {action}, not {}", self.action());
        }
        match self {
            Self::Drop | Self::Transmit if after == before => Ok(None),
            Self::Drop | Self::Transmit => bail!("the packet changed"),
            Self::Redirect => {
                check_macs(after, macs)?;
                let rest = |frame: &[u8]| frame.get(12..).map(<[u8]>::to_vec);
                if rest(after) != rest(before) {
                    bail!("more than the MAC addresses changed");
                }
                Ok(None)
            }
            Self::Translate => check_translation(before, after, flow, macs).map(Some),
        }
    }
}

/// A program under test, with its tables.
pub trait Subject {
    /// The name in tables and on the command line.
    fn name(&self) -> &'static str;

    /// The expected outcome for a packet of an established flow.
    fn outcome(&self) -> Outcome;

    /// The loaded program. It must be of the `xdp.frags` kind, as the wrapper is.
    ///
    /// # Errors
    ///
    /// When it is not loaded.
    fn program(&self) -> Result<&Xdp>;

    /// Adds established flows to its tables, both directions. Called again with further flows
    /// before a run with more of them.
    ///
    /// # Errors
    ///
    /// When a table refuses.
    fn prepare(&mut self, flows: &[FlowTuple], protocol: Protocol, ports: &Ports) -> Result<()>;

    /// Empties its flow table, if it does not expire flows itself; called before each run in which
    /// every packet opens a flow.
    ///
    /// # Errors
    ///
    /// When it cannot be emptied.
    fn forget(&mut self, _ports: &Ports) -> Result<()> {
        Ok(())
    }

    /// Packets that it counted as forwarded since it was emptied, if it counts. A run whose count
    /// is too low is refused: some of its packets took a shorter path than the one that is timed.
    ///
    /// # Errors
    ///
    /// When the counter cannot be read.
    fn forwarded(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// Finds a program of a loaded object.
///
/// # Errors
///
/// When there is no XDP program of that name.
pub fn xdp<'a>(ebpf: &'a aya::Ebpf, name: &str) -> Result<&'a Xdp> {
    Ok(ebpf.program(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
