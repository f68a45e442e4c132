//! What one consumer takes leaves the others what is theirs, without any limits configured.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::Result;
use nix::net::if_::if_nametoindex;
use privatelink_tests::{
    lab::{client, ethernet_address, wait_until},
    packet::{Given, Packet, flags},
};
use privatelink_user::datapath::bpf::FrameSender;

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at};

/// Connections of the other consumer.
const CONNECTIONS: u32 = 100;

/// A connection that takes longer is lost.
const LOST: Duration = Duration::from_secs(2);

/// Sends what acme's network sends to the endpoint in the names of so many of its hosts.
fn send(scene: &Scene, packets: u32, packet: fn(SocketAddr, SocketAddr) -> Packet) -> Result<()> {
    let own = [2, 0, 0, 0, 0, 0x77];
    let gateway = ethernet_address(scene.lab.gateway_mac("acme"))?;
    let (sender, interface) =
        scene.acme().run(|| Ok((FrameSender::open()?, if_nametoindex("eth0")?)))?;
    for number in 0..packets {
        // 250 ports of each of the hosts from 10.1.4.0 on.
        let host = Ipv4Addr::from_bits(0x0a01_0400 + number / 250);
        let from = SocketAddr::new(IpAddr::V4(host), (20_000 + number % 250) as u16);
        let frame = packet(from, at(ENDPOINT[0], 7)).between(own, gateway).build(&Given::default());
        // An error means that the queue is full for a moment.
        wait_until(SOON, "the queue takes a frame", || sender.send(interface, &frame).is_ok())?;
    }
    Ok(())
}

/// Has acme's network send a datagram each from this many clients, and waits until the gateway has
/// decided about all.
fn flood(scene: &Scene, datagrams: u32) -> Result<()> {
    send(scene, datagrams, |from, to| Packet::udp(from, to).payload(b"flood"))?;
    wait_until(SOON, "all datagrams are counted", || {
        scene.daemon.status().is_ok_and(|status| {
            let opened = &status["endpoints"][0]["new_flows"];
            let refused = ["flow_table_full", "ports_exhausted"].map(|why| &status["drops"][why]);
            let all = [opened, refused[0], refused[1]].map(|count| count.as_u64().unwrap_or(0));
            all.iter().sum::<u64>() >= u64::from(datagrams)
        })
    })
}

/// Opens connections of the other consumer, all at the same time, and uses each.
fn the_other_is_served(scene: &Scene) -> Result<()> {
    let globex = scene.lab.host("globex");
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| globex.run(|| client::connect(at(ENDPOINT[0], 7), SOON)))
        .collect::<Result<_>>()?;
    connections.iter().try_for_each(|stream| client::tcp_exchange(stream, 1_000, 1).map(drop))
}

#[test]
fn a_client_that_fills_the_flow_table_leaves_others_their_share() {
    let scene = Scene::start().unwrap();
    flood(&scene, 40_000).unwrap();
    let status = scene.daemon.status().unwrap();
    let active = status["flows"]["active"].as_u64().unwrap();
    assert!((3_000..=4_096).contains(&active), "{status}");
    assert!(status["drops"]["flow_table_full"].as_u64().unwrap() > 30_000, "{status}");
    let endpoint = scene.daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    assert_eq!(endpoint["flow_share"], 2_048, "{endpoint}");
    assert!(endpoint["borrowed_flows"].as_u64().unwrap() > 0, "{endpoint}");
    the_other_is_served(&scene).unwrap();
    let status = scene.daemon.status().unwrap();
    assert!(status["flows"]["active"].as_u64().unwrap() <= 4_096, "{status}");
}

/// With forged senders, one consumer cut most connections of the other.
#[test]
fn a_syn_flood_in_the_name_of_other_hosts_leaves_the_other_its_connections() {
    let scene = Scene::start().unwrap();
    let globex = scene.lab.host("globex");
    let connect = || globex.run(|| client::connect(at(ENDPOINT[0], 7), SOON));
    let held: Vec<_> = (0..20).map(|_| connect().unwrap()).collect();
    let is_over = AtomicBool::new(false);
    let (mut begun, mut served) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let sent = send(&scene, 60_000, |from, to| Packet::tcp(from, to).flags(flags::SYN));
            is_over.store(true, Ordering::Relaxed);
            sent.unwrap();
        });
        while !is_over.load(Ordering::Relaxed) {
            let served_now = globex.run(|| {
                let stream = client::connect(at(ENDPOINT[0], 7), LOST)?;
                client::tcp_exchange(&stream, 1_000, 1).map(drop)
            });
            begun += 1;
            served += u32::from(served_now.is_ok());
        }
    });
    let status = scene.daemon.status().unwrap();
    assert!(status["drops"]["flow_table_full"].as_u64().unwrap() > 10_000, "{status}");
    assert!(begun >= 100, "{begun} connections during the flood say nothing");
    assert!(f64::from(served) >= 0.99 * f64::from(begun), "{served} of {begun} were served");
    for stream in &held {
        client::tcp_exchange(stream, 1_000, 1).unwrap();
    }
}

/// The table's slots are more than the flows that it may hold.
#[test]
fn no_more_flows_are_open_than_configured() {
    let scene = Scene::with(&CONFIG.replace("max_flows = 4096", "max_flows = 20_000")).unwrap();
    flood(&scene, 40_000).unwrap();
    the_other_is_served(&scene).unwrap();
    let status = scene.daemon.status().unwrap();
    let active = status["flows"]["active"].as_u64().unwrap();
    assert!((17_500..=20_000).contains(&active), "{status}");
}

#[test]
fn a_client_that_takes_all_source_ports_leaves_others_theirs() {
    let config = CONFIG
        .replace("max_flows = 4096", "max_flows = 262144")
        .replace("10.0.0.240/29", "10.0.0.240/32");
    let scene = Scene::with(&config).unwrap();
    flood(&scene, 90_000).unwrap();
    let status = scene.daemon.status().unwrap();
    assert!(status["drops"]["ports_exhausted"].as_u64().unwrap() > 30_000, "{status}");
    // 64,512 ports of the IPv4 source address and of eight IPv6 ones, for two endpoints; of the other
    // one's half it borrows every second block.
    let endpoint = scene.daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    let of = |key: &str| endpoint[key].as_u64().unwrap();
    assert_eq!(of("source_port_share"), 9 * 32_256, "{endpoint}");
    assert!(of("source_ports") > 47_000, "{endpoint}");
    assert_eq!(of("borrowed_source_ports"), of("source_ports") - 32_256, "{endpoint}");
    the_other_is_served(&scene).unwrap();
}
