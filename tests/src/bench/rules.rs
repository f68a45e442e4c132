//! The datapath with more or fewer security rules, for packets that they allow or refuse.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;
use aya::programs::Xdp;
use ipnet::Ipv4Net;
use privatelink_user::desired::rule_set::Rule;

use super::gateway::{CLIENTS, Gateway};
use super::host::Ports;
use super::packet::{FlowTuple, Protocol};
use super::subject::{Outcome, Subject};

/// The most rules that an endpoint can have.
const MANY: u32 = 256;

/// The datapath with the rules of one `Case`.
pub struct Ruled {
    gateway: Gateway,
    case: Case,
}

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    rules: u32,
    allows: bool,
}

const CASES: [Case; 4] = [
    Case { name: "allowed, 1", rules: 1, allows: true },
    Case { name: "allowed, 256", rules: MANY, allows: true },
    Case { name: "refused, 1", rules: 1, allows: false },
    Case { name: "refused, 256", rules: MANY, allows: false },
];

impl Ruled {
    /// Loads the object at `path` once for each case.
    ///
    /// # Errors
    ///
    /// When there is no object, or the kernel refuses it.
    pub fn all(path: &Path, capacity: u32, ports: &Ports) -> Result<Vec<Box<dyn Subject>>> {
        let load = |case: &Case| {
            let mut ruled = Self { gateway: Gateway::load(path, capacity, ports)?, case: *case };
            ruled.gateway.allow(&case.rules())?;
            Ok(Box::new(ruled) as Box<dyn Subject>)
        };
        CASES.iter().map(load).collect()
    }
}

impl Case {
    /// Prefixes on both sides of the clients, none of which touches the next, with other ports for
    /// each; and that of the clients, if they are allowed.
    fn rules(self) -> Vec<Rule> {
        let far = |number: u32| {
            let first = if number.is_multiple_of(2) { [9, 0, 0, 0] } else { [11, 0, 0, 0] };
            let first = Ipv4Addr::from_bits(Ipv4Addr::from(first).to_bits() + number * 512);
            let port = 1 + number as u16;
            Rule::new(Ipv4Net::new_assert(first, 24).into(), port..=port + 1000)
        };
        let all = 0..=u16::MAX;
        let own = self.allows.then(|| Rule::new(CLIENTS.into(), all));
        let others = self.rules - u32::from(self.allows);
        (0..others).map(far).chain(own).collect()
    }
}

impl Subject for Ruled {
    fn name(&self) -> &'static str {
        self.case.name
    }

    fn outcome(&self) -> Outcome {
        if self.case.allows { Outcome::Translate } else { Outcome::Drop }
    }

    fn program(&self) -> Result<&Xdp> {
        self.gateway.program()
    }

    fn prepare(&mut self, flows: &[FlowTuple], protocol: Protocol, ports: &Ports) -> Result<()> {
        if self.case.allows { self.gateway.prepare(flows, protocol, ports) } else { Ok(()) }
    }

    fn forget(&mut self, ports: &Ports) -> Result<()> {
        self.gateway.forget(ports)?;
        self.gateway.allow(&self.case.rules())
    }

    fn forwarded(&self) -> Result<Option<u64>> {
        if self.case.allows { self.gateway.forwarded() } else { Ok(None) }
    }
}
