//! The maps in the kernel compared with the same writes in memory, and what outlives the daemon.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

mod content;

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use aya::maps::{Array, Map, MapData};
use privatelink_common::{Reason, hash::HashKeys, maps};
use privatelink_tests::lab::{Namespace, bpffs, namespace};
use privatelink_user::datapath::{
    bpf::{Attached, Datapath, Error, Kernel, Mode},
    memory::MemoryMaps,
    plan::Plan,
    store::MapStore,
    tables::MapTables,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use content::{content, example};

const FLOWS: u32 = 1_000;

#[test]
fn the_kernel_and_memory_agree() {
    let gateway = Gateway::with(&["veth0", "veth1"]);
    gateway.run(|| {
        let devices: Vec<u32> = ["lo", "veth0", "veth1"].map(index_of).into();
        let datapath = Datapath::unpinned(FLOWS, None).unwrap();
        let stores = RefCell::new((datapath.store().unwrap(), MemoryMaps::default()));
        let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
        let both = (content(devices.clone()), content(devices));
        TestRunner::new(config)
            .run(&both, |contents| {
                let (kernel, memory) = &mut *stores.borrow_mut();
                for desired in [&contents.0, &contents.1] {
                    let plan = Plan::between(&memory.load().unwrap(), desired);
                    plan.apply(memory).unwrap();
                    plan.apply(kernel).unwrap();
                    prop_assert_eq!(&kernel.load().unwrap(), memory.tables());
                    // Once more: removing what is gone is no failure.
                    plan.apply(memory).unwrap();
                    plan.apply(kernel).unwrap();
                    prop_assert_eq!(&kernel.load().unwrap(), memory.tables());
                }
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn a_restart_adopts_the_maps_with_what_they_hold() {
    let pins = PinDirectory::new();
    let (first, adoption) = Datapath::open(&pins.path, FLOWS).unwrap();
    assert!(adoption.is_fresh());
    fill(&mut first.store().unwrap());
    let settings = settings(&pins.path);
    drop(first);

    let (second, adoption) = Datapath::open(&pins.path, FLOWS).unwrap();
    assert_eq!(adoption.kept.len(), maps::ALL.len() - 2, "all but the stages");
    assert!(adoption.replaced.is_empty());
    assert_eq!(second.store().unwrap().load().unwrap(), example());
    assert_eq!(self::settings(&pins.path), settings, "the table has other keys");
}

#[test]
fn another_capacity_replaces_the_flow_table_alone() {
    let pins = PinDirectory::new();
    let (first, _) = Datapath::open(&pins.path, FLOWS).unwrap();
    fill(&mut first.store().unwrap());
    let before = settings(&pins.path);
    drop(first);

    let (mut second, adoption) = Datapath::open(&pins.path, FLOWS * 4).unwrap();
    assert!(adoption.carries_flows && !adoption.lost_flows(), "{adoption}");
    let replaced: Vec<_> = adoption.replaced.keys().copied().collect();
    let table = [maps::METERS, maps::OCCUPANCY, maps::PORT_BLOCKS, maps::REGIONS, maps::SLOTS];
    assert_eq!(replaced, table);
    assert_eq!(second.store().unwrap().load().unwrap(), example());
    assert_ne!(settings(&pins.path), before);
    let aside = pins.path.join("SLOTS_BEFORE_8");
    assert!(aside.exists(), "a daemon that dies now finds no flows");
    second.finish_carrying().unwrap();
    assert!(!aside.exists());
    drop(second);

    let (_third, adoption) = Datapath::open(&pins.path, FLOWS * 4).unwrap();
    assert!(adoption.replaced.is_empty(), "{adoption}");
}

#[test]
fn a_map_of_another_layout_is_replaced_and_reported() {
    let pins = PinDirectory::new();
    drop(Datapath::open(&pins.path, FLOWS).unwrap());
    let path = pins.path.join(maps::TARGETS);
    fs::remove_file(&path).unwrap();
    array(maps::TARGETS, 4096).pin(&path).unwrap();

    let (datapath, adoption) = Datapath::open(&pins.path, FLOWS).unwrap();
    let why = adoption.replaced.get(maps::TARGETS).unwrap();
    assert!(why.starts_with("value size 4096 instead of"), "{why}");
    assert_eq!(adoption.replaced.len(), 1);
    fill(&mut datapath.store().unwrap());
    assert_eq!(datapath.store().unwrap().load().unwrap(), example());
}

#[test]
fn maps_of_an_unknown_version_are_replaced() {
    let pins = PinDirectory::new();
    drop(Datapath::open(&pins.path, FLOWS).unwrap());
    fs::remove_file(pins.path.join("SETTINGS")).unwrap();
    let (_datapath, adoption) = Datapath::open(&pins.path, FLOWS).unwrap();
    assert_eq!((adoption.kept.len(), adoption.replaced.len()), (0, maps::ALL.len() - 2));
}

#[test]
fn a_foreign_pin_is_reported_and_left_alone() {
    let pins = PinDirectory::new();
    drop(Datapath::open(&pins.path, FLOWS).unwrap());
    let foreign = pins.path.join("foreign");
    array("foreign", 8).pin(&foreign).unwrap();
    let before = entries(&pins.path);

    let error = Datapath::open(&pins.path, FLOWS).err().unwrap();
    assert!(matches!(&error, Error::Foreign { path, .. } if *path == foreign), "{error}");
    assert_eq!(entries(&pins.path), before);

    let error = Datapath::down(&pins.path).unwrap_err();
    assert!(matches!(&error, Error::Foreign { path, .. } if *path == foreign), "{error}");
    assert_eq!(entries(&pins.path), ["foreign", "links", "stages"]);
    fs::remove_file(foreign).unwrap();
}

#[test]
fn a_second_daemon_is_refused() {
    let pins = PinDirectory::new();
    let _first = Datapath::open(&pins.path, FLOWS).unwrap();
    let error = Datapath::open(&pins.path, FLOWS).err().unwrap();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
}

#[test]
fn outside_of_bpffs_the_error_shows_the_mount_command() {
    let directory = tempfile::tempdir().unwrap();
    let error = Datapath::open(&directory.path().join("pins"), FLOWS).err().unwrap();
    assert!(error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn attachments_outlive_the_daemon_and_get_the_program_of_the_next() {
    let pins = PinDirectory::new();
    let gateway = Gateway::with(&["veth0"]);
    gateway.run(|| {
        let (veth, lo) = (index_of("veth0"), index_of("lo"));
        let native = Attached { ifindex: veth, mode: Mode::Native };
        let generic = Attached { ifindex: lo, mode: Mode::Generic };
        let (first, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        assert_eq!(first.attach(veth, "veth0", Mode::XDP).unwrap(), native);
        assert_eq!(first.attach(lo, "lo", Mode::XDP).unwrap(), generic);
        let program = gateway.program("veth0");
        assert!(program.is_some());
        drop(first);
        assert_eq!(gateway.program("veth0"), program);

        let (second, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        assert_eq!(gateway.program("veth0"), program, "attached before its time");
        assert_eq!(second.attached().unwrap(), [generic, native]);
        assert_eq!(second.attach(veth, "veth0", Mode::XDP).unwrap(), native);
        assert_ne!(gateway.program("veth0"), program);
        assert!(gateway.program("veth0").is_some());

        let stages = pins.path.join("stages");
        assert_eq!(entries(&stages).len(), 3, "lo still runs the first program");
        assert_eq!(second.attach(lo, "lo", Mode::XDP).unwrap(), generic);
        let current = gateway.program("lo").unwrap().to_string();
        assert!(entries(&stages).contains(&current) && entries(&stages).len() == 2);

        second.detach(veth).unwrap();
        second.detach(veth).unwrap();
        assert_eq!(gateway.program("veth0"), None);
        assert_eq!(second.attached().unwrap(), [generic]);
    });
}

#[test]
fn an_attachment_by_tc_outlives_the_daemon_too() {
    let pins = PinDirectory::new();
    let gateway = Gateway::with(&["veth0"]);
    gateway.run(|| {
        let veth = index_of("veth0");
        let tc = Attached { ifindex: veth, mode: Mode::Tc };
        let (first, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        assert_eq!(first.attach(veth, "veth0", &[Mode::Tc]).unwrap(), tc);
        assert_eq!(gateway.program("veth0"), None, "not by XDP");
        drop(first);

        let (second, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        let stages = pins.path.join("stages");
        assert_eq!(second.attached().unwrap(), [tc]);
        assert_eq!(entries(&stages).len(), 3, "veth0 still runs the first program");
        assert_eq!(second.attach(veth, "veth0", &[Mode::Tc]).unwrap(), tc);
        assert_eq!(entries(&stages).len(), 2);

        second.detach(veth).unwrap();
        second.detach(veth).unwrap();
        assert_eq!(second.attached().unwrap(), []);
        assert_eq!(entries(&pins.path.join("links")), [""; 0]);

        second.attach(veth, "veth0", &[Mode::Tc]).unwrap();
        Datapath::down(&pins.path).unwrap();
        assert!(!pins.path.exists());
    });
}

/// The release before knows nothing of tc: it finds what it would have attached itself.
#[test]
fn a_downgrade_leaves_xdp_in_place_of_tc() {
    let pins = PinDirectory::new();
    let gateway = Gateway::with(&["veth0"]);
    gateway.run(|| {
        let veth = index_of("veth0");
        let (datapath, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        datapath.attach(veth, "veth0", &[Mode::Tc]).unwrap();
        drop(datapath);
        Datapath::prepare_downgrade(&pins.path).unwrap();
        let program = gateway.program("veth0").unwrap().to_string();
        assert_eq!(entries(&pins.path.join("links")), [veth.to_string()]);
        assert_eq!(entries(&pins.path.join("stages")), [program]);
        assert!(!entries(&pins.path).iter().any(|name| name.contains("privatelink")));
        // Who changes their mind finds it, too.
        Datapath::prepare_downgrade(&pins.path).unwrap();
        let (datapath, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        let attached = datapath.attach(veth, "veth0", &[Mode::Tc]).unwrap();
        assert_eq!(datapath.attached().unwrap(), [attached]);
    });
}

#[test]
fn an_interface_changes_its_mode_and_keeps_one_attachment() {
    let pins = PinDirectory::new();
    let gateway = Gateway::with(&["veth0"]);
    gateway.run(|| {
        let veth = index_of("veth0");
        let (datapath, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        for mode in [Mode::Tc, Mode::Native, Mode::Tc, Mode::Generic, Mode::Native, Mode::Tc] {
            let attached = Attached { ifindex: veth, mode };
            assert_eq!(datapath.attach(veth, "veth0", &[mode]).unwrap(), attached);
            assert_eq!(datapath.attached().unwrap(), [attached]);
            assert_eq!(gateway.program("veth0").is_some(), mode != Mode::Tc);
        }
        // What runs is not moved to a mode that is better, but not wanted more.
        datapath.attach(veth, "veth0", &[Mode::Generic]).unwrap();
        let attached = datapath.attach(veth, "veth0", Mode::XDP).unwrap();
        assert_eq!(attached.mode, Mode::Generic);
        // An interface in the loopback's kind has no native XDP: the next mode is taken.
        let lo = datapath.attach(index_of("lo"), "lo", &[Mode::Native, Mode::Tc]).unwrap();
        assert_eq!(lo.mode, Mode::Tc);
        gateway.ip("link del veth0");
        assert_eq!(datapath.attached().unwrap(), [lo]);
    });
}

#[test]
fn removing_an_interface_removes_its_attachment() {
    let pins = PinDirectory::new();
    let gateway = Gateway::with(&["veth0"]);
    gateway.run(|| {
        let (datapath, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        datapath.attach(index_of("veth0"), "veth0", Mode::XDP).unwrap();
        assert_eq!(entries(&pins.path.join("links")).len(), 1);
        gateway.ip("link del veth0");
        assert_eq!(datapath.attached().unwrap(), []);
        assert_eq!(entries(&pins.path.join("links")).len(), 0);
        let error = datapath.attach(4_000_000, "veth0", Mode::XDP).unwrap_err();
        assert!(error.to_string().contains("no such interface"), "{error}");
    });
}

#[test]
fn a_foreign_program_is_reported_and_left_alone() {
    let pins = PinDirectory::new();
    let gateway = Gateway::with(&["veth0"]);
    gateway.run(|| {
        let veth = index_of("veth0");
        let other = Datapath::unpinned(FLOWS, None).unwrap();
        other.attach(veth, "veth0", Mode::XDP).unwrap();
        let program = gateway.program("veth0").unwrap();

        let (datapath, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        let error = datapath.attach(veth, "veth0", Mode::XDP).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("veth0 has XDP program {program}")), "{text}");
        assert_eq!(gateway.program("veth0"), Some(program));
        assert_eq!(datapath.attached().unwrap(), []);
    });
}

#[test]
fn down_leaves_nothing() {
    let pins = PinDirectory::new();
    let gateway = Gateway::with(&["veth0"]);
    gateway.run(|| {
        let (datapath, _) = Datapath::open(&pins.path, FLOWS).unwrap();
        datapath.attach(index_of("veth0"), "veth0", Mode::XDP).unwrap();
        // A daemon that still has everything open does not keep the program attached.
        Datapath::down(&pins.path).unwrap();
        assert_eq!(gateway.program("veth0"), None);
        assert!(!pins.path.exists());
        Datapath::down(&pins.path).unwrap();
    });
}

#[test]
fn a_fresh_table_holds_nothing_and_packets_of_others_pass() {
    bpffs::ensure().unwrap();
    let datapath = Datapath::unpinned(FLOWS, Some([1; HashKeys::LEN])).unwrap();
    assert_eq!(datapath.reader().flow_count().unwrap(), 0);
    assert_eq!(datapath.reader().flows().count(), 0);
    assert_eq!(datapath.reader().counters(&[0, 7]).unwrap(), [Default::default(); 2]);
    let drops = datapath.reader().drops().unwrap();
    assert_eq!(drops.len(), Reason::ALL.len());
    assert!(drops.iter().all(|(_, count)| *count == 0), "{drops:?}");
    let packet = [0x5a; 64];
    let (action, after) = datapath.test_run(&packet, 1, 3).unwrap();
    assert_eq!((action, &after[..]), (2, &packet[..]), "XDP_PASS, untouched");
}

/// A directory of pins that is removed with the test.
struct PinDirectory {
    path: PathBuf,
}

impl PinDirectory {
    fn new() -> Self {
        bpffs::ensure().unwrap();
        let name = format!("privatelink-test-{}", namespace::unique());
        Self { path: Path::new(bpffs::ROOT).join(name) }
    }
}

impl Drop for PinDirectory {
    fn drop(&mut self) {
        // A failing test may leave foreign pins behind.
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            fs::remove_file(entry.path()).ok();
        }
        Datapath::down(&self.path).ok();
        assert!(!self.path.exists() || std::thread::panicking(), "{:?} is left", self.path);
    }
}

/// A namespace with interfaces.
struct Gateway(Namespace);

impl Gateway {
    fn with(interfaces: &[&str]) -> Self {
        bpffs::ensure().unwrap();
        let gateway = Self(Namespace::create("gateway").unwrap());
        for name in interfaces {
            gateway.ip(&format!("link add {name} type veth peer name {name}-peer"));
        }
        gateway
    }

    fn ip(&self, words: &str) -> String {
        self.0.ip(words).unwrap()
    }

    fn run(&self, work: impl FnOnce() + Send) {
        self.0
            .run(|| {
                work();
                Ok(())
            })
            .unwrap();
    }

    /// Id of the XDP program of an interface.
    fn program(&self, interface: &str) -> Option<u64> {
        let links: serde_json::Value =
            serde_json::from_str(&self.ip(&format!("-json link show dev {interface}"))).unwrap();
        links[0]["xdp"]["prog"]["id"].as_u64()
    }
}

fn index_of(interface: &str) -> u32 {
    nix::net::if_::if_nametoindex(interface).unwrap()
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn settings(pins: &Path) -> [u32; 3 + HashKeys::LEN] {
    let map = Map::from_map_data(MapData::from_pin(pins.join("SETTINGS")).unwrap()).unwrap();
    Array::<_, [u32; 3 + HashKeys::LEN]>::try_from(map).unwrap().get(&0, 0).unwrap()
}

/// A standalone array with values of `value_size` bytes.
fn array(name: &str, value_size: u32) -> MapData {
    const ARRAY: u32 = 2;
    MapData::create(aya_obj::Map::new_from_params(ARRAY, 4, value_size, 4, 0), name, None).unwrap()
}

fn fill(store: &mut Kernel) {
    Plan::between(&MapTables::default(), &example()).apply(store).unwrap();
}
