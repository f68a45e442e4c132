//! Encrypted links between sites.

mod attacks;
mod changes;
mod page;
mod scene;

use std::{net::UdpSocket, time::Duration};

use privatelink_tests::lab::{client, tool, wait_until};

use self::scene::{SOON, Scene, consumer, provider};
use crate::{
    fixture::{ENDPOINT, at},
    metrics::described,
};

#[test]
fn a_consumer_reaches_the_service_of_another_site_once_its_provider_accepts() {
    let scene = Scene::linked().unwrap();
    scene.a.wait_for_state("pending-acceptance").unwrap();
    let acme = scene.a.acme();
    // Admission is the provider's: the consumer's gateway lets it through, the provider's does not.
    acme.run(|| client::http_get(at(ENDPOINT[0], 80), SOON)).unwrap_err();
    scene.b.accept("a-payments").unwrap();
    scene.a.wait_for_state("available").unwrap();
    for endpoint in ENDPOINT {
        acme.run(|| {
            client::http_get(at(endpoint, 80), SOON)?;
            client::tcp_echo(at(endpoint, 7), 1_000_000, 1, SOON)?;
            client::udp_echo(at(endpoint, 7), b"ping", SOON)
        })
        .unwrap_or_else(|error| panic!("{endpoint}: {error:#}\n{}", scene.a.links()));
    }
    assert_eq!(scene.a.provider.seen(), [], "the provider with the same address here");
    assert_eq!(scene.b.provider.seen().len(), 6);
    assert_eq!(scene.a.problems().unwrap(), [""; 0]);
    assert_eq!(scene.b.problems().unwrap(), [""; 0]);
    let metrics = tool::run(scene.a.daemon.cli().arg("metrics")).unwrap();
    let described = described(|name| name.starts_with("privatelink_site_"));
    assert_eq!(described.len(), 3);
    for name in described.keys() {
        assert!(metrics.contains(&format!("\n{name}{{site=\"site-b\"")), "{name}: {metrics}");
    }
    scene.b.decide("reject", "a-payments").unwrap();
    acme.run(|| client::http_get(at(ENDPOINT[0], 80), SOON)).unwrap_err();
    scene.a.wait_for_state("rejected").unwrap();
}

/// Exchanges a datagram, which may be lost as long as the way's width is being found out.
fn exchanges(socket: &UdpSocket, length: usize) -> bool {
    let payload = vec![b'x'; length];
    (0..20).any(|_| client::udp_exchange(socket, &payload, Duration::from_millis(300)).is_ok())
}

#[test]
fn no_size_is_lost_for_good() {
    let scene = Scene::accepted().unwrap();
    for (endpoint, any, headers) in [(ENDPOINT[0], "0.0.0.0:0", 28), (ENDPOINT[1], "[::]:0", 48)] {
        let socket = scene.a.acme().run(|| Ok(UdpSocket::bind(any)?)).unwrap();
        socket.connect(at(endpoint, 7)).unwrap();
        // Whole packets of every length up to 1,500 bytes, the largest first: nothing is known yet.
        for length in (1..=1500 - headers).rev() {
            assert!(exchanges(&socket, length), "{endpoint}: {length} bytes");
        }
        for bytes in [1, 1_399, 1_400, 1_401, 1_460, 65_536, 5_000_000] {
            let echo = at(endpoint, 7);
            scene.a.acme().run(|| client::tcp_echo(echo, bytes, 3, SOON)).unwrap();
        }
    }
    for site in [&scene.a, &scene.b] {
        let drops = site.daemon.status().unwrap()["drops"].clone();
        assert_eq!(drops["no_checksum"], 0, "{drops}");
    }
}

#[test]
fn names_that_differ_are_a_problem_at_both_sites_with_both_names() {
    let scene = Scene::start().unwrap();
    let (a, b) = (scene.a.key().unwrap(), scene.b.key().unwrap());
    let wrong = consumer(&scene.a, &[&b], Some(scene.b.address));
    scene.a.reload(&wrong.replace("payments", "paymnets")).unwrap();
    let other = provider(&scene.b, &[&a], Some(scene.a.address));
    scene.b.reload(&other.replace("site-a", "site-x")).unwrap();
    for (site, parts) in [
        (&scene.a, ["calls this site `site-x`, and [backbone] here `site-a`", "`paymnets`"]),
        (&scene.b, ["calls itself `site-a`, and its [[site]] here `site-x`", "`paymnets`"]),
    ] {
        for part in parts {
            let found = || site.problems().unwrap().iter().any(|problem| problem.contains(part));
            wait_until(SOON, part, found)
                .unwrap_or_else(|error| panic!("{error:#}: {:?}", site.problems()));
        }
    }
    scene.a.reload(&wrong).unwrap();
    scene.b.reload(&other).unwrap();
    scene.b.accept("a-payments").unwrap();
    scene.a.wait_for_state("available").unwrap();
    wait_until(SOON, "no problem is left", || scene.a.problems().unwrap().is_empty()).unwrap();
}
