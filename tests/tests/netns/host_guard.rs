//! The gateway's host in the networks: it listens to no tenant, its operator keeps access, and it
//! is afterwards as it was before.

use anyhow::Result;
use privatelink_tests::lab::{Daemon, Lab, Provider, client, provider::Kind, tool, wait_until};

use crate::fixture::{CONFIG, NEVER, SOON, at, everything_works, ip, lay};

/// A router advertisement of acme's client with preference "high": a default route, and a prefix
/// within the vendor's network to take addresses from.
fn advertisement() -> Vec<u8> {
    let sender = [2, 0, 0, 0, 0, 0x77];
    let from = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77];
    let to = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    // Hop limit 64, preference high, half an hour.
    let mut message = vec![134, 0, 0, 0, 64, 0x08, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([1, 1]);
    message.extend(sender);
    // On link, for addresses, an hour each.
    message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    message.extend([0xfd, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    let length = message.len() as u16;
    let mut pseudo = [&from[..], &to, &[0, 0], &length.to_be_bytes(), &[0, 0, 0, 58]].concat();
    pseudo.extend(&message);
    let sum = pseudo
        .chunks(2)
        .fold(0_u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let folded = (sum & 0xffff) + (sum >> 16);
    let check = !(((folded & 0xffff) + (folded >> 16)) as u16);
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(sender);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(from);
    frame.extend(to);
    frame.extend(message);
    frame
}

/// Whether the gateway has taken an address or a route from an advertisement.
fn has_listened(lab: &Lab) -> bool {
    let routes = lab.gateway().ip("-6 route show").unwrap_or_else(|error| panic!("{error}"));
    let addresses =
        lab.gateway().ip("-6 address show dev veth-acme").unwrap_or_else(|error| panic!("{error}"));
    routes.contains("default") || routes.contains("fd00:0:0:9:") || addresses.contains("dynamic")
}

fn value(lab: &Lab, setting: &str) -> String {
    let path = format!("/proc/sys/net/{setting}");
    let read = || Ok(std::fs::read_to_string(&path)?.trim().to_owned());
    lab.gateway().run(read).unwrap_or_else(|error| panic!("{error}"))
}

const SETTINGS: [&str; 4] = [
    "ipv6/conf/veth-acme/accept_ra",
    "ipv6/conf/veth-acme/accept_redirects",
    "ipv4/conf/veth-acme/accept_redirects",
    "ipv4/conf/veth-acme/send_redirects",
];

fn settings(lab: &Lab) -> Vec<String> {
    SETTINGS.iter().map(|setting| value(lab, setting)).collect()
}

fn with_host(config: &str, host: &str) -> String {
    let interface = "interface = \"veth-acme\"";
    config.replace(interface, &format!("{interface}\nhost = \"{host}\""))
}

/// One advertisement won over the host's own default route.
#[test]
fn a_router_advertisement_changes_nothing() {
    let lab = lay().unwrap();
    let attack = || lab.host("acme").send_frames(&vec![advertisement(); 3]).unwrap();
    wait_until(SOON, "the attack works without a gateway", || {
        attack();
        has_listened(&lab)
    })
    .unwrap();
    lab.gateway().ip("-6 route flush proto ra").unwrap();
    lab.gateway().ip("-6 address flush dev veth-acme dynamic").unwrap();
    lab.gateway().ip("-6 route flush proto kernel fd00:0:0:9::/64").unwrap();
    assert!(!has_listened(&lab));
    let before = settings(&lab);
    assert_eq!(before, ["1"; 4], "a distribution's defaults");
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    for host in ["services", "all"] {
        let mut daemon = Daemon::start(lab.gateway(), &with_host(CONFIG, host)).unwrap();
        assert_eq!(settings(&lab), ["0"; 4]);
        attack();
        // The kernel has had time for it once it has answered a later packet.
        everything_works(lab.host("acme")).unwrap();
        assert!(!has_listened(&lab), "host = {host:?}");
        // Something else sets it again.
        lab.gateway().set(SETTINGS[0], "1").unwrap();
        lab.gateway().ip("link set veth-acme alias touched").unwrap();
        wait_until(SOON, "it is kept so", || value(&lab, SETTINGS[0]) == "0").unwrap();
        // With the daemon, and without.
        if host == "all" {
            daemon.kill();
        }
        daemon.down().unwrap();
        assert_eq!(settings(&lab), before);
        let link = lab.gateway().ip("link show dev veth-acme").unwrap();
        assert!(!link.contains("ALLMULTI"), "{link}");
    }
}

/// The default route, or a login, through the interface of a network.
#[test]
fn a_configuration_that_locks_the_operator_out_is_refused() -> Result<()> {
    let lab = lay()?;
    let daemon = Daemon::start(lab.gateway(), CONFIG)?;
    let check = |config: &str| -> Result<String, String> {
        daemon.write_config(config).unwrap();
        let mut command = daemon.cli();
        let checked = tool::run(command.arg("check").arg(daemon.config()));
        let mut command = daemon.cli();
        let planned = tool::run(command.arg("plan"));
        let mut command = daemon.cli();
        let reloaded = tool::run(command.arg("reload"));
        assert_eq!(checked.is_ok(), planned.is_ok(), "{planned:?}");
        assert_eq!(checked.is_ok(), reloaded.is_ok(), "{reloaded:?}");
        checked.map_err(|error| error.to_string())
    };
    check(CONFIG).unwrap();
    lab.gateway().ip("route add default via 10.1.0.2 dev veth-acme")?;
    let refused = check(CONFIG).unwrap_err();
    assert!(refused.contains("the host's default route leads through it"), "{refused}");
    check(&with_host(CONFIG, "services")).unwrap();
    check(&with_host(CONFIG, "all")).unwrap();
    lab.gateway().ip("route del default")?;
    lab.gateway().ip("-6 route add default via fd00:1::2 dev veth-acme")?;
    check(CONFIG).unwrap_err();
    lab.gateway().ip("-6 route del default")?;
    check(&with_host(CONFIG, "all")).unwrap();

    let own = [ip("10.1.0.1"), ip("fd00:1::1")];
    let _sshd = Provider::at(lab.gateway(), &own, &[(Kind::TcpEcho, 22)])?;
    let session = lab.host("acme").run(|| client::connect(at("10.1.0.1", 22), SOON))?;
    client::tcp_exchange(&session, 1_000, 1)?;
    let refused = check(CONFIG).unwrap_err();
    assert!(refused.contains("is connected to the host's 10.1.0.1:22"), "{refused}");
    check(&with_host(CONFIG, "services")).unwrap();
    // The open session stays; new ones are refused.
    client::tcp_exchange(&session, 1_000, 2)?;
    lab.host("acme").run(|| client::connect(at("10.1.0.1", 22), NEVER)).unwrap_err();
    Ok(())
}

/// Settings that are unsafe for a host that takes everything stand in the status.
#[test]
fn an_open_host_with_unsafe_settings_is_a_problem() {
    let lab = lay().unwrap();
    lab.gateway().set("ipv4/ip_forward", "1").unwrap();
    lab.gateway().set("ipv6/conf/all/forwarding", "1").unwrap();
    let daemon = Daemon::start(lab.gateway(), &with_host(CONFIG, "all")).unwrap();
    let problems = daemon.status().unwrap()["problems"].to_string();
    for part in [
        "net.ipv4.conf.veth-acme.forwarding is on",
        "net.ipv6.conf.veth-acme.forwarding is on",
        "net.ipv4.conf.veth-acme.rp_filter is not strict",
        "net.ipv4.conf.veth-acme.arp_ignore is 0",
        "its subnets overlap with 10.1.0.0/16 of network globex",
    ] {
        assert!(problems.contains(part), "{part:?} is not in {problems}");
    }
    assert!(!problems.contains("veth-vendor.forwarding"), "{problems}");
    crate::fixture::reload(&daemon, CONFIG).unwrap();
    let problems = daemon.status().unwrap()["problems"].to_string();
    assert!(!problems.contains("forwarding"), "{problems}");
}
