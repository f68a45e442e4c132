//! In which mode the program runs on each interface, and which flows that mode cannot carry.
//!
//! The kernel hands on frames between interfaces that it makes in software, such as veth, as it
//! would to a device that cuts them into packets and completes their checksums. XDP sees no sign of
//! that, and tc does. From XDP in a driver, a frame leaves only by an interface that takes such
//! frames: most cards do, and few that are made in software. From tc it leaves by any.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    datapath::bpf::Mode,
    host::{HostFacts, Link, takes_frames},
    model::{AttachMode, Interface, Model},
};

/// The modes for an interface, best first.
pub(super) type Modes = &'static [Mode];

/// What is to be attached where.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    model: &'a Model,
    facts: &'a HostFacts,
    exits: BTreeMap<&'a Interface, BTreeSet<&'a Interface>>,
    /// Asks the kernel whether an interface takes frames from XDP.
    takes_frames: fn(u32) -> Option<bool>,
}

impl<'a> Wanted<'a> {
    pub fn of(model: &'a Model, facts: &'a HostFacts) -> Self {
        Self { model, facts, exits: exits(model), takes_frames }
    }

    /// The interfaces of all networks that exist, and their modes, best first; none is named twice.
    pub fn interfaces(&self) -> Vec<(&'a Link, Modes)> {
        let modes: BTreeMap<&Interface, AttachMode> = self
            .model
            .networks()
            .values()
            .map(|network| (&network.attachment.interface, network.mode))
            .collect();
        let one = |(interface, mode): (&&Interface, &AttachMode)| {
            let link = self.facts.link(interface.as_str())?;
            Some((link, self.modes(interface, link, *mode)))
        };
        modes.iter().filter_map(one).collect()
    }

    fn modes(&self, interface: &Interface, link: &Link, mode: AttachMode) -> Modes {
        match mode {
            AttachMode::Native => &[Mode::Native],
            AttachMode::Generic => &[Mode::Generic],
            AttachMode::Tc => &[Mode::Tc],
            // Before Linux 6.6 nothing that is attached by tc outlives the daemon.
            AttachMode::Auto if self.is_software(link) => &[Mode::Tc, Mode::Native, Mode::Generic],
            AttachMode::Auto if self.closed_exits(interface).next().is_some() => {
                &[Mode::Tc, Mode::Native, Mode::Generic]
            }
            AttachMode::Auto => &[Mode::Native, Mode::Tc, Mode::Generic],
        }
    }

    /// Whether the kernel makes an interface in software.
    fn is_software(&self, link: &Link) -> bool {
        self.facts.kind(link.index).is_some()
    }

    /// The interfaces made in software to which an interface's packets go, and that take none from
    /// XDP in a driver. Cards say that they take frames only once they have a program.
    fn closed_exits(&self, interface: &Interface) -> impl Iterator<Item = &'a Link> {
        let exits = self.exits.get(interface).into_iter().flatten();
        exits
            .filter_map(|exit| self.facts.link(exit.as_str()))
            .filter(|link| self.is_software(link) && (self.takes_frames)(link.index) == Some(false))
    }

    /// The pairs of networks between which no packet can go, in words.
    pub fn problems(&self, modes: &BTreeMap<u32, Mode>) -> Vec<String> {
        let mut problems = Vec::new();
        for interface in self.exits.keys() {
            let link = self.facts.link(interface.as_str());
            if link.is_none_or(|link| modes.get(&link.index) != Some(&Mode::Native)) {
                continue;
            }
            problems.extend(self.closed_exits(interface).map(|exit| lost(interface, &exit.name)));
        }
        problems
    }
}

fn lost(interface: &Interface, exit: &str) -> String {
    format!(
        "interface {interface} runs XDP in the driver, and interface {exit} takes no frames from there, so \
         packets to it are lost: set mode = \"tc\" for the networks on {interface}, or, if {exit} is \
         a veth, run `ethtool -K PEER gro on` at its other end"
    )
}

/// The interfaces to which packets of each interface go: its own, for answers, and those of the
/// other sides of connections.
fn exits(model: &Model) -> BTreeMap<&Interface, BTreeSet<&Interface>> {
    let interface = |network| Some(&model.networks().get(network)?.attachment.interface);
    let mut exits = BTreeMap::<_, BTreeSet<_>>::new();
    for network in model.networks().values() {
        let own = &network.attachment.interface;
        exits.entry(own).or_default().insert(own);
    }
    for endpoint in model.endpoints().values() {
        let Some(service) = model.services().get(&endpoint.service) else { continue };
        let (Some(consumer), Some(provider)) =
            (interface(&endpoint.network), interface(&service.network))
        else {
            continue;
        };
        exits.entry(consumer).or_default().insert(provider);
        exits.entry(provider).or_default().insert(consumer);
    }
    exits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// A consumer on `veth-acme`, a provider on `veth-vendor`, and a connection.
    const CONFIG: &str = include_str!("../../../../examples/quickstart.toml");

    fn model(config: &str) -> Model {
        config::from_text("test.toml", config).unwrap().model
    }

    /// The consumer's interface, a card, and the provider's, of this kind.
    fn facts(kind: Option<&str>) -> HostFacts {
        let mut facts = HostFacts::default();
        for (index, name) in [(1, "veth-acme"), (2, "veth-vendor")] {
            facts.insert_link(Link {
                index,
                name: name.to_owned(),
                mac: Some([2, 0, 0, 0, 0, 1]),
                mtu: 1500,
                up: true,
                allmulti: true,
                tag: None,
            });
        }
        if let Some(kind) = kind {
            facts.insert_kind(2, kind.to_owned());
        }
        facts
    }

    fn first_modes(config: &str, kind: Option<&str>, takes: Option<bool>) -> [Mode; 2] {
        let (model, facts) = (model(config), facts(kind));
        let takes_frames = match takes {
            Some(true) => |_| Some(true),
            Some(false) => |_| Some(false),
            None => |_| None,
        };
        let wanted = Wanted { takes_frames, ..Wanted::of(&model, &facts) };
        let modes: Vec<Mode> =
            wanted.interfaces().iter().filter_map(|(_, modes)| modes.first().copied()).collect();
        modes.try_into().unwrap()
    }

    #[test]
    fn cards_have_xdp_unless_packets_go_where_it_cannot_send_them() {
        use Mode::{Native, Tc};
        for (kind, takes, modes) in [
            (None, Some(true), [Native, Native]),
            // A card says that it takes none before it has a program.
            (None, Some(false), [Native, Native]),
            (Some("veth"), Some(true), [Native, Tc]),
            (Some("veth"), Some(false), [Tc, Tc]),
            // Before Linux 6.3 no interface says anything.
            (Some("bridge"), None, [Native, Tc]),
        ] {
            assert_eq!(first_modes(CONFIG, kind, takes), modes, "{kind:?} {takes:?}");
        }
        let written = CONFIG.replace("interface =", "mode = \"native\"\ninterface =");
        assert_eq!(first_modes(&written, Some("veth"), Some(false)), [Native, Native]);
    }

    #[test]
    fn what_a_native_interface_cannot_reach_is_a_problem() {
        let (model, facts) = (model(CONFIG), facts(Some("macvlan")));
        let wanted = Wanted { takes_frames: |_| Some(false), ..Wanted::of(&model, &facts) };
        let problems = |one, two| wanted.problems(&BTreeMap::from([(1, one), (2, two)]));
        for mode in [Mode::Tc, Mode::Generic] {
            assert_eq!(problems(mode, mode), [""; 0]);
        }
        let told = problems(Mode::Native, Mode::Tc);
        assert!(
            told.len() == 1 && told[0].contains("interface veth-vendor takes no frames"),
            "{told:?}"
        );
    }
}
