//! What changes under live flows: keys, addresses, the way between the sites, daemons.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    net::UdpSocket,
    time::{Duration, Instant},
};

use privatelink_tests::lab::{Load, client, network, wait_until};

use super::scene::{SOON, Scene, Site, UPLINK, consumer, provider};
use crate::fixture::{ENDPOINT, at};

/// How soon traffic passes again once it can.
const RECOVERY: Duration = Duration::from_secs(3);

/// Waits until a datagram comes back, and returns how long that took.
fn recovered(site: &Site) -> Duration {
    let begin = Instant::now();
    let socket = site.acme().run(|| Ok(UdpSocket::bind("0.0.0.0:0")?)).unwrap();
    socket.connect(at(ENDPOINT[0], 7)).unwrap();
    let echoes = || client::udp_exchange(&socket, b"again", Duration::from_millis(100)).is_ok();
    wait_until(SOON, "datagrams come back", echoes)
        .unwrap_or_else(|error| panic!("{error:#}\n{}", site.links()));
    begin.elapsed()
}

#[test]
fn a_key_is_changed_under_load() {
    let scene = Scene::accepted().unwrap();
    let old = scene.b.key().unwrap();
    let load = Load::start(scene.a.acme(), &[at(ENDPOINT[0], 7)]).unwrap();
    let waiting = scene.b.daemon.ask(&["site", "rotate", "--json"]).unwrap();
    let next = waiting["next_public_key"].as_str().unwrap().to_owned();
    assert_eq!(waiting["missing"], serde_json::json!(["site-a"]));
    assert_eq!(scene.b.daemon.ask(&["site", "rotate", "--json"]).unwrap(), waiting, "asked again");
    let private = fs::read_to_string(scene.b.daemon.state_dir().join("backbone.keys")).unwrap();
    assert_eq!(private.lines().count(), 2);
    let address = Some(scene.b.address);
    scene.a.reload(&consumer(&scene.a, &[&old, &next], address)).unwrap();
    wait_until(SOON, "the new key is in use", || scene.b.key().is_ok_and(|key| key == next))
        .unwrap();
    let took = recovered(&scene.a);
    assert!(took < RECOVERY, "{took:?}");
    scene.a.reload(&consumer(&scene.a, &[&next], address)).unwrap();
    assert!(recovered(&scene.a) < RECOVERY);
    let tally = load.finish().unwrap();
    assert!(tally.bytes > 0 && tally.strange == 0, "{tally:?}");
    eprintln!("while the key was changed: {tally:?}; then {took:?}");
    for line in private.lines() {
        for site in [&scene.a, &scene.b] {
            let shown = format!("{}{}{:?}", site.links(), site.daemon.output(), site.problems());
            assert!(!shown.contains(line), "a private key is shown");
        }
    }
    assert_eq!(scene.a.problems().unwrap(), [""; 0]);
}

#[test]
fn flows_go_on_when_the_way_and_an_address_change() {
    let scene = Scene::accepted().unwrap();
    let stream = scene.a.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON * 3)).unwrap();
    client::tcp_exchange(&stream, 10_000, 1).unwrap();
    // The router is down for long enough that both gateways notice.
    scene.router.ip("link set to-site-b down").unwrap();
    let silent =
        || scene.a.problems().unwrap().iter().any(|one| one.contains("site-b: silent for"));
    wait_until(SOON * 2, "the silence is a problem", silent).unwrap();
    scene.router.ip("link set to-site-b up").unwrap();
    let took = recovered(&scene.a);
    assert!(took < RECOVERY, "{took:?} after the link came back");
    client::tcp_exchange(&stream, 10_000, 2).unwrap();
    // The provider's site moves, and tells nobody.
    let gateway = scene.b.lab.gateway();
    gateway.ip(&format!("address flush dev {UPLINK} scope global")).unwrap();
    network::address(gateway, UPLINK, &["198.51.100.77/24".to_owned()]).unwrap();
    gateway.ip(&format!("route replace default via 198.51.100.1 dev {UPLINK}")).unwrap();
    let moved = recovered(&scene.a);
    assert!(moved < RECOVERY, "{moved:?} after the site moved");
    client::tcp_exchange(&stream, 10_000, 3).unwrap();
    eprintln!("recovered {took:?} after the link, {moved:?} after the move");
    let follows = || scene.a.links().contains("\"198.51.100.77:51820\"");
    wait_until(SOON, "the site is known to have moved", follows)
        .unwrap_or_else(|error| panic!("{error:#}: {}", scene.a.links()));
    wait_until(SOON, "the problem ends", || scene.a.problems().unwrap().is_empty()).unwrap();
    let events = scene.a.daemon.ask(&["events", "--json"]).unwrap().to_string();
    assert!(events.contains("site-silent") && events.contains("site-up"), "{events}");
}

#[test]
fn a_provider_that_only_dials_is_reached_through_a_nat() {
    let scene = Scene::start().unwrap();
    // What comes from site-b has the router's address; nothing gets in there that was not asked.
    for words in [
        "add table ip nat",
        "add chain ip nat out { type nat hook postrouting priority 100 ; }",
        "add rule ip nat out oifname to-site-a masquerade",
        "add table ip guard",
        "add chain ip guard forward { type filter hook forward priority 0 ; }",
        "add rule ip guard forward oifname to-site-b ct state new drop",
    ] {
        let output = scene.router.command("nft").arg(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let (a, b) = (scene.a.key().unwrap(), scene.b.key().unwrap());
    scene.a.reload(&consumer(&scene.a, &[&b], None)).unwrap();
    scene.b.reload(&provider(&scene.b, &[&a], Some(scene.a.address))).unwrap();
    scene.b.accept("a-payments").unwrap();
    scene.a.wait_for_state("available").unwrap();
    scene.a.acme().run(|| client::http_get(at(ENDPOINT[0], 80), SOON)).unwrap();
    let links = scene.a.daemon.ask(&["site", "show", "--json"]).unwrap();
    let learned = links["sites"][0]["endpoint"].as_str().unwrap();
    assert!(learned.starts_with("192.0.2.1:"), "{links}");
}

#[test]
fn the_link_outlives_the_daemons() {
    let mut scene = Scene::accepted().unwrap();
    let load = Load::start(scene.a.acme(), &[at(ENDPOINT[0], 7)]).unwrap();
    for site in [&mut scene.a, &mut scene.b] {
        site.daemon.kill();
    }
    assert!(recovered(&scene.a) < RECOVERY, "without daemons");
    let tally = load.finish().unwrap();
    assert_eq!((tally.lost, tally.strange), (0, 0), "without daemons: {tally:?}");
    let load = Load::start(scene.a.acme(), &[at(ENDPOINT[0], 7)]).unwrap();
    scene.a.daemon.run().unwrap();
    let tally = load.finish().unwrap();
    assert_eq!((tally.lost, tally.strange), (0, 0), "the consumer's starts: {tally:?}");
    let load = Load::start(scene.a.acme(), &[at(ENDPOINT[0], 7)]).unwrap();
    scene.b.daemon.run().unwrap();
    scene.a.wait_for_state("available").unwrap();
    let tally = load.finish().unwrap();
    assert_eq!((tally.lost, tally.strange), (0, 0), "the provider's starts: {tally:?}");
    let transport = scene.a.transport.clone();
    scene.a.daemon.down().unwrap();
    assert!(!std::path::Path::new(&format!("/run/netns/{transport}")).exists());
}
