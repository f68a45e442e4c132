//! The service behind an endpoint works.

use std::{net::UdpSocket, thread};

use privatelink_tests::lab::{client, provider::GREETING};

use crate::fixture::{
    CLIENT, CONFIG, ENDPOINT, SOON, Scene, at, curl, everything_works, is_source,
};

#[test]
fn curl_shows_the_page_over_both_families() {
    let scene = Scene::start().unwrap();
    for endpoint in ENDPOINT {
        let page = curl(scene.acme(), endpoint, &[]).unwrap();
        assert!(page.contains(GREETING), "{page}");
    }
}

#[test]
fn datagrams_and_long_streams_come_back_over_both_families() {
    let scene = Scene::start().unwrap();
    for endpoint in ENDPOINT {
        let echo = at(endpoint, 7);
        for length in [0, 1, 2, 1400] {
            let payload = vec![0x5a; length];
            scene.acme().run(|| client::udp_echo(echo, &payload, SOON)).unwrap();
        }
        scene.acme().run(|| client::tcp_echo(echo, 5_000_001, 42, SOON)).unwrap();
    }
}

#[test]
fn the_provider_sees_source_addresses_only() {
    let scene = Scene::start().unwrap();
    everything_works(scene.acme()).unwrap();
    let page = scene.acme().run(|| client::http_get(at(ENDPOINT[0], 80), SOON)).unwrap();
    assert!(is_source(page.seen_from.unwrap()), "{page:?}");
    let seen = scene.provider.seen();
    assert!(seen.len() >= 7, "{seen:?}");
    for conversation in seen {
        assert!(is_source(conversation.peer), "{conversation:?}");
    }
}

#[test]
fn consumers_with_identical_addresses_do_not_mix() {
    let scene = Scene::start().unwrap();
    let hosts = [scene.lab.host("acme"), scene.lab.host("globex")];
    // Each family has its own port outside the stack's ephemeral range: the port of the first
    // family may still be in TIME_WAIT.
    for ((endpoint, client), port) in ENDPOINT.into_iter().zip(CLIENT).zip(["20000", "20001"]) {
        // The same five-tuple on both sides, at the same time: only the network differs.
        let sockets = hosts.map(|host| {
            let socket = host.run(|| Ok(UdpSocket::bind(at(client, 40_000))?)).unwrap();
            socket.connect(at(endpoint, 7)).unwrap();
            socket
        });
        for round in 0..20 {
            for (socket, host) in sockets.iter().zip(hosts) {
                socket.send(format!("{} {round}", host.name()).as_bytes()).unwrap();
            }
            for (socket, host) in sockets.iter().zip(hosts) {
                socket.set_read_timeout(Some(SOON)).unwrap();
                let mut buffer = [0; 64];
                let length = socket.recv(&mut buffer).unwrap();
                let expected = format!("{} {round}", host.name());
                assert_eq!(String::from_utf8_lossy(&buffer[..length]), expected);
            }
        }
        thread::scope(|scope| {
            for (seed, host) in (1..).zip(hosts) {
                scope.spawn(move || {
                    let echo = at(endpoint, 7);
                    host.run(|| client::tcp_echo(echo, 1_000_000, seed, SOON)).unwrap();
                    let page = curl(host, endpoint, &["--local-port", port]).unwrap();
                    assert!(page.contains(GREETING), "{page}");
                });
            }
        });
    }
}

/// Each family's target alone serves the clients of both.
#[test]
fn targets_of_one_family_serve_clients_of_both() {
    for target in ["10.0.0.10", "fd00::10"] {
        let other = format!("[[service.target]]\naddress = \"{target}\"\n");
        assert!(CONFIG.contains(&other));
        let scene = Scene::with(&CONFIG.replace(&other, "")).unwrap();
        everything_works(scene.acme()).unwrap();
        for endpoint in ENDPOINT {
            let echo = at(endpoint, 7);
            scene.acme().run(|| client::tcp_echo(echo, 3_000_001, 7, SOON)).unwrap();
            scene.acme().run(|| client::udp_echo(echo, &[0x5a; 1400], SOON)).unwrap();
        }
    }
}
