//! The programs in the kernel and the library agree on bytes, counters and flows. CAP_BPF.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use privatelink_common::{
    EndCause, Listener, Reason, TCP, UDP,
    flow::{Flow, Phase, word},
};
use privatelink_tests::{
    fixtures::{
        self, Action, Counts, Family, Gateway, Host, Interfaces, Kernel, MAX_FLOWS, Outcome, Port,
        TC_REDIRECT, Tagged, Talk, World, play,
        spread::{deviation, pool, spread, talks},
        world::{ENDPOINTS, TARGETS},
    },
    lab::wait_until,
    packet::{Given, flags},
};
use privatelink_user::datapath::tables::MapTables;
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};

/// The kernel accepts no shorter frame for a test run.
const SHORTEST: usize = 14;

#[test]
fn every_fixture_goes_as_on_the_host() {
    every_fixture_goes_as_on_the_host_by(Both::new);
}

#[test]
fn every_fixture_goes_by_tc_as_on_the_host() {
    every_fixture_goes_as_on_the_host_by(Both::by_tc);
}

fn every_fixture_goes_as_on_the_host_by(new: fn(u32) -> Both) {
    with_interfaces(|interfaces| {
        let fixtures = fixtures::all();
        let mut both = new(MAX_FLOWS);
        let failures: Vec<String> = fixtures
            .iter()
            .filter_map(|fixture| play(fixture, interfaces, both.reset()).err())
            .map(|error| format!("{error:#}"))
            .collect();
        let (failed, all) = (failures.len(), fixtures.len());
        assert!(failures.is_empty(), "{failed} of {all} fixtures:\n{}", failures.join("\n\n"));
    });
}

/// Each fixture with other networks as VLANs.
#[test]
fn every_fixture_goes_through_vlans_as_on_the_host() {
    with_interfaces(|interfaces| {
        let mut both = Both::new(MAX_FLOWS);
        let choices = Tagged::<Both>::choices();
        let mut failures = Vec::new();
        for (fixture, ports) in fixtures::all().iter().zip(choices.iter().cycle()) {
            let mut gateway = Tagged::new(both.reset(), interfaces, ports);
            if let Err(error) = play(fixture, interfaces, &mut gateway) {
                failures.push(format!("{ports:?}: {error:#}"));
            }
        }
        assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n\n"));
    });
}

#[test]
fn mutated_frames_go_as_on_the_host() {
    mutated_frames_go_as_on_the_host_by(Both::new);
}

#[test]
fn mutated_frames_go_by_tc_as_on_the_host() {
    mutated_frames_go_as_on_the_host_by(Both::by_tc);
}

fn mutated_frames_go_as_on_the_host_by(new: fn(u32) -> Both) {
    const CASES: u32 = 4_000;
    with_interfaces(|interfaces| {
        let mut both = new(MAX_FLOWS);
        both.load(&World::new(interfaces).tables).unwrap();
        let frames = seeds(interfaces, &mut both);
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(20_260_601),
            ..Config::default()
        };
        let both = std::cell::RefCell::new(both);
        let change = (any::<prop::sample::Index>(), any::<u8>());
        let changes = prop::collection::vec(change, 0..4);
        let input = (prop::sample::select(frames), 0..4_usize, changes, 0..12_i32);
        TestRunner::new(config)
            .run(&input, |((port, mut frame), other, changes, cut)| {
                let port = if other == 0 { Port::Stranger } else { port };
                for (index, value) in changes {
                    let at = index.index(frame.len());
                    frame[at] = value;
                }
                match cut {
                    0 => frame.truncate(SHORTEST + frame.len() / 2),
                    1 => frame.resize(frame.len() + 7, 0x55),
                    _ => {}
                }
                let outcome = both.borrow_mut().frame(interfaces.index(port), &frame);
                prop_assert!(outcome.is_ok(), "{:#}", outcome.unwrap_err());
                Ok(())
            })
            .unwrap();
        both.borrow().counts().unwrap();
    });
}

/// Frames of open flows and of flows to be, and questions for our addresses.
fn seeds(interfaces: &Interfaces, both: &mut Both) -> Vec<(Port, Vec<u8>)> {
    let mut frames = Vec::new();
    for talk in Talk::all() {
        let mut given = Given::default();
        let first = talk.request().flags(flags::SYN);
        let outcome = both.frame(interfaces.index(Port::Acme), &first.build(&given)).unwrap();
        given.learn(0, fixtures::source(&outcome.frame).unwrap());
        let other = talk.client_port(41_000).request().flags(flags::SYN);
        for packet in [first, talk.request().payload(b"payload"), talk.reply(), other] {
            frames.push((talk.way(&packet).0, packet.build(&given)));
        }
    }
    frames.extend(fixtures::questions());
    frames
}

/// A sticky listener considers only the client's address, not its port.
#[test]
fn flows_of_a_client_stick_to_one_target() {
    with_interfaces(|interfaces| {
        for (protocol, family) in [(TCP, Family::V4), (UDP, Family::V6)] {
            let mut world = World::new(interfaces);
            world.share(family, &[0, 1, 2, 3, 4, 5, 6, 7]);
            let talk = Talk::new(family, protocol);
            let from_ports = (0..20).map(|port| talk.client_port(10_000 + port));
            let from_clients = (0..20).map(|number| talk.client_number(number));
            for flags in [0, Listener::STICKY] {
                world.listeners().for_each(|listener| listener.flags = flags);
                let targets = |talks: &mut dyn Iterator<Item = Talk>| {
                    let mut both = Both::new(MAX_FLOWS);
                    both.load(&world.tables).unwrap();
                    spread(&mut both, interfaces, talks).unwrap().len()
                };
                let of_one = targets(&mut from_ports.clone());
                assert_eq!(of_one == 1, flags == Listener::STICKY, "{talk}: {of_one} targets");
                assert!(targets(&mut from_clients.clone()) > 4, "{talk}: clients share");
            }
        }
    });
}

/// Through the kernel's programs, from the daemon's own tables.
#[test]
fn a_hundred_thousand_flows_are_shared_by_weight() {
    const FLOWS: u32 = 100_000;
    const WEIGHTS: [u32; 4] = [200, 100, 50, 50];
    with_interfaces(|interfaces| {
        for family in [Family::V4, Family::V6] {
            let mut world = World::new(interfaces);
            world.share(family, &pool(&WEIGHTS, None).unwrap());
            let mut kernel = Kernel::new(FLOWS * 2).unwrap();
            kernel.load(&world.tables).unwrap();
            let counts = spread(&mut kernel, interfaces, talks(family, FLOWS)).unwrap();
            let off = deviation(&WEIGHTS, &counts);
            println!("{family:?}: {counts:?}, {off:.1} thousandths off");
            assert_eq!(counts.values().sum::<usize>(), FLOWS as usize);
            assert!(off < 20.0, "{counts:?}");
        }
    });
}

/// LLVM returns the addend instead of the old value for some BPF atomics. With those, locks would
/// not lock, and compare-and-exchange would report the wrong outcome.
#[test]
fn atomics_of_the_kernel_return_what_was_there() {
    const FLOWS: u16 = 5_000;
    with_interfaces(|interfaces| {
        let mut kernel = Kernel::new(u32::from(FLOWS)).unwrap();
        kernel.load(&World::new(interfaces).tables).unwrap();
        let talk = Talk::new(Family::V4, UDP);
        for port in 0..FLOWS {
            let talk = talk.client_port(10_000 + port);
            let frame = talk.request().build(&Given::default());
            for _ in 0..2 {
                let outcome = kernel.frame(interfaces.index(Port::Acme), &frame).unwrap();
                assert_eq!(outcome.action, Action::Redirect as u32, "flow {port}");
            }
        }
        let flows = kernel.flows();
        let directions = |reverse| flows.iter().filter(move |flow| flow.is_reverse() == reverse);
        let count = usize::from(FLOWS);
        assert_eq!((directions(false).count(), directions(true).count()), (count, count));
        let tuple = |flow: &Flow| (flow.source, flow.provider_ports, flow.consumer_ports);
        let claimed: BTreeSet<_> =
            directions(true).map(|flow| (flow.source, flow.provider_port_pair()[1])).collect();
        assert_eq!(claimed.len(), count, "a source port was given twice");
        let forward: BTreeSet<_> = directions(false).map(tuple).collect();
        let reverse: BTreeSet<_> = directions(true).map(tuple).collect();
        assert_eq!((forward.len(), &forward), (count, &reverse), "directions differ");
        assert!(directions(false).all(|flow| flow.packets == 2), "packets were lost");

        // A lock that is never released would refuse every later flow of its region.
        let counts = kernel.counts().unwrap();
        assert!(counts.drops.is_empty(), "{counts:?}");
        assert_eq!(counts.endpoints[&0].new_flows, u64::from(FLOWS));
    });
}

/// The sweep runs in the kernel, by the kernel's clock.
#[test]
fn silent_flows_end_in_the_kernel() {
    const FLOWS: u16 = 300;
    with_interfaces(|interfaces| {
        // A table with room: otherwise flows that are opening end sooner.
        let mut kernel = Kernel::new(2 * u32::from(FLOWS)).unwrap();
        let mut tables = World::new(interfaces).tables;
        for (key, listener) in &mut tables.listeners {
            // UDP flows are silent after a tick; TCP ones are still opening.
            listener.idle_ticks = u32::from(key.protocol == u16::from(TCP)) * 100_000;
        }
        kernel.load(&tables).unwrap();
        for (protocol, family) in [(UDP, Family::V4), (UDP, Family::V6), (TCP, Family::V4)] {
            for port in 0..FLOWS / 3 {
                let talk = Talk::new(family, protocol).client_port(10_000 + port);
                let packet = talk.request();
                let packet = if protocol == TCP { packet.flags(flags::SYN) } else { packet };
                let frame = packet.build(&Given::default());
                let outcome = kernel.frame(interfaces.index(Port::Acme), &frame).unwrap();
                assert_eq!(outcome.action, Action::Redirect as u32, "flow {port}");
            }
        }
        let datapath = kernel.datapath();
        let mut ended = Vec::new();
        wait_until(Duration::from_secs(20), "silent flows to end", || {
            ended.extend(datapath.sweep(0, datapath.regions(), true).unwrap());
            ended.len() >= usize::from(FLOWS / 3 * 2)
        })
        .unwrap();
        assert_eq!(ended.len(), usize::from(FLOWS / 3 * 2));
        for end in &ended {
            assert_eq!(EndCause::of(end.cause), Some(EndCause::Idle));
            assert_eq!((end.flow.protocol(), end.flow.packets, end.packets_out), (UDP, 1, 0));
            assert!(!end.flow.is_reverse() && end.word_out & word::REVERSE != 0);
        }
        assert_eq!(datapath.reader().flow_count().unwrap(), u64::from(FLOWS / 3));
        assert!(datapath.reader().flows().all(|flow| flow.protocol() == TCP));
    });
}

/// A phase changes by compare-and-exchange of the slot's word in both slots.
#[test]
fn phases_of_many_flows_change_in_the_kernel() {
    const FLOWS: u16 = 500;
    with_interfaces(|interfaces| {
        let mut kernel = Kernel::new(u32::from(FLOWS)).unwrap();
        kernel.load(&World::new(interfaces).tables).unwrap();
        for port in 0..FLOWS {
            let talk = Talk::new(Family::V6, TCP).client_port(10_000 + port);
            let mut given = Given::default();
            let steps = [
                talk.request().flags(flags::SYN),
                talk.reply().flags(flags::SYN | flags::ACK),
                talk.request(),
            ];
            for packet in steps {
                let ifindex = interfaces.index(talk.way(&packet).0);
                let outcome = kernel.frame(ifindex, &packet.build(&given)).unwrap();
                assert_eq!(outcome.action, Action::Redirect as u32);
                if talk.is_request(&packet) {
                    given.learn(0, fixtures::source(&outcome.frame).unwrap());
                }
            }
        }
        let flows = kernel.flows();
        assert_eq!(flows.len(), usize::from(FLOWS) * 2);
        assert!(flows.iter().all(|flow| Phase::of(flow.word) == Phase::Established));
    });
}

/// A frame that the kernel will cut into packets counts as these, and is as large as the largest.
#[test]
fn a_frame_of_several_packets_counts_as_these() {
    const SEGMENT: u32 = 1_000;
    with_interfaces(|interfaces| {
        for family in [Family::V4, Family::V6] {
            let mut kernel = Kernel::new(MAX_FLOWS).unwrap().by_tc();
            let mut world = World::new(interfaces);
            world.tables.targets.values_mut().for_each(|target| target.mtu = 1_500);
            kernel.load(&world.tables).unwrap();
            let talk = Talk::new(family, UDP);
            let acme = interfaces.index(Port::Acme);
            let run = |kernel: &Kernel, payload: usize, segments: u32| {
                let frame = talk.request().payload(&vec![0x5a; payload]).build(&Given::default());
                let length = frame.len() as u64 - 14;
                let segments = (segments, if segments == 0 { 0 } else { SEGMENT });
                let (action, _) = kernel.datapath().test_run_tc(&frame, acme, segments).unwrap();
                (action, length)
            };
            // Too large as one packet, and not as four.
            run(&kernel, 3_400, 0);
            assert!(kernel.counts().unwrap().drops.contains_key(&Reason::TooBig));
            let (action, length) = run(&kernel, 3_400, 4);
            assert_eq!(action, TC_REDIRECT);
            let count = kernel.counts().unwrap().endpoints[&0];
            let headers = length - 3_400;
            assert_eq!((count.packets_in, count.bytes_in), (4, length + 3 * headers), "{family:?}");
            let flow = kernel.flows().into_iter().find(|flow| !flow.is_reverse()).unwrap();
            assert_eq!((u64::from(flow.packets), flow.bytes), (count.packets_in, count.bytes_in));
        }
    });
}

/// The kernel and the host side by side, which must agree.
struct Both {
    kernel: Kernel,
    host: Host,
    max_flows: u32,
}

impl Both {
    fn new(max_flows: u32) -> Self {
        Self { kernel: Kernel::new(max_flows).unwrap(), host: Host::new(max_flows), max_flows }
    }

    /// With the programs of the network stack.
    fn by_tc(max_flows: u32) -> Self {
        Self { kernel: Kernel::new(max_flows).unwrap().by_tc(), ..Self::new(max_flows) }
    }

    /// Resets everything but the programs, which the kernel takes a second to verify.
    fn reset(&mut self) -> &mut Self {
        self.host = Host::new(self.max_flows);
        self.kernel.load(&MapTables::default()).unwrap();
        self.kernel.datapath().forget(&ENDPOINTS, &TARGETS).unwrap();
        self
    }
}

impl Gateway for Both {
    fn load(&mut self, tables: &MapTables) -> Result<()> {
        self.kernel.load(tables)?;
        self.host.load(tables)
    }

    fn frame(&mut self, ifindex: u32, frame: &[u8]) -> Result<Outcome> {
        let kernel = self.kernel.frame(ifindex, frame)?;
        let host = self.host.frame(ifindex, frame)?;
        let same = (kernel.action, &kernel.frame) == (host.action, &host.frame);
        ensure!(
            same,
            "for {frame:02x?} on {ifindex}\nthe kernel: {kernel:02x?}\nthe host: {host:02x?}"
        );
        ensure!(timeless(self.kernel.flows()) == timeless(self.host.flows()), "flows differ");
        Ok(host)
    }

    fn counts(&self) -> Result<Counts> {
        let (kernel, host) = (self.kernel.counts()?, self.host.counts()?);
        ensure!(kernel == host, "the kernel counted {kernel:?}, the host {host:?}");
        Ok(host)
    }

    fn flows(&self) -> Vec<Flow> {
        self.kernel.flows()
    }
}

/// The clocks of the two differ, so their times are not compared.
fn timeless(mut flows: Vec<Flow>) -> Vec<Flow> {
    flows.iter_mut().for_each(|flow| (flow.last_seen, flow.opened) = (0, 0));
    flows.sort_by_key(|flow| (flow.client, flow.consumer_ports, flow.provider_ports, flow.word));
    flows
}

/// Runs `test` on a thread in a network namespace of its own, which has the four interfaces.
fn with_interfaces(test: impl FnOnce(&Interfaces) + Send) {
    fixtures::with_interfaces(|interfaces| {
        test(interfaces);
        Ok(())
    })
    .unwrap();
}
