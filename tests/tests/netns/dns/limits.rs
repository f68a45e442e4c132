//! Limits on the clients of one network, and what a flood of theirs does to other networks.

use std::{
    net::{TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use privatelink_tests::lab::wait_until;

use super::{NAME, SERVER, Scene, config};
use crate::fixture::{NEVER, SOON, at};

/// Queries that the other network sends, at least.
const QUERIES: u16 = 500;
/// Queries that the flood sends before the other network begins, and again before it ends.
const FLOOD: u64 = 10_000;
/// How long a resolver waits before it asks again: an answer that comes later is lost.
const LOST: Duration = Duration::from_secs(1);
/// Half of the answers must come within this time. Other programs of the machine delay some.
const USUAL: Duration = Duration::from_millis(20);

/// A query for the address of a name.
pub fn query(name: &str, id: u16) -> Vec<u8> {
    let mut query = [id.to_be_bytes(), [1, 0], [0, 1], [0; 2], [0; 2], [0; 2]].concat();
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

pub fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(at(SERVER[0], 53))?;
    Ok(socket)
}

#[test]
fn queries_beyond_the_rate_of_a_prefix_are_truncated_or_dropped() {
    let limited = config().replacen("dns = true\n", "dns = true\ndns_rate = 20\n", 1);
    let scene = Scene::start(&limited);
    let (whole, truncated) = scene
        .lab
        .host("acme")
        .run(|| {
            let socket = socket()?;
            for id in 0..200 {
                socket.send(&query(NAME, id))?;
            }
            let (mut whole, mut truncated) = (0, 0);
            socket.set_read_timeout(Some(NEVER))?;
            let mut answer = [0; 512];
            while socket.recv(&mut answer).is_ok() {
                if answer[2] & 2 == 0 { whole += 1 } else { truncated += 1 }
            }
            Ok((whole, truncated))
        })
        .unwrap();
    assert!((10..=60).contains(&whole), "{whole} answers, {truncated} truncated");
    assert!((60..=100).contains(&truncated), "{whole} answers, {truncated} truncated");
    // Another network has its own share.
    assert_eq!(scene.dig("globex", &[NAME]), ["10.1.0.60"]);
}

#[test]
fn idle_connections_of_one_client_do_not_keep_others_out() {
    const MANY: usize = 200;
    let scene = Scene::start(&config());
    let acme = scene.lab.host("acme");
    let idle: Vec<TcpStream> = acme
        .run(|| (0..MANY).map(|_| Ok(TcpStream::connect(at(SERVER[0], 53))?)).collect())
        .unwrap();
    // The host's other address is another client; its query is not asked again.
    let server = format!("@{}", SERVER[1]);
    let words = [&server, "+tcp", "+short", "+tries=1", "+timeout=1", NAME];
    assert_eq!(super::dig(acme, &words), ["10.1.0.50"]);
    drop(idle);
}

#[test]
fn a_flood_from_one_network_does_not_delay_another() {
    let scene = Scene::start(&config());
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let has_sent = |queries| sent.load(Ordering::Relaxed) >= queries;
    let mut waits = thread::scope(|scope| {
        let flooding = scope.spawn(|| scene.lab.host("acme").run(|| flood(&is_over, &sent)));
        let waits = wait_until(SOON, "the flood begins", || has_sent(FLOOD))
            .and_then(|()| scene.lab.host("globex").run(|| ask(|| has_sent(2 * FLOOD))));
        is_over.store(true, Ordering::Relaxed);
        flooding.join().unwrap().unwrap();
        waits.unwrap()
    });
    waits.sort_unstable();
    let median = waits[waits.len() / 2];
    assert!(median < USUAL, "half of the answers took {median:?} or more");
}

/// Sends queries as fast as it can until it is over.
fn flood(is_over: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let socket = socket()?;
    while !is_over.load(Ordering::Relaxed) {
        // An error means that the socket's buffer is full, which is the aim.
        if socket.send(&query(NAME, 1)).is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Sends one query after the other until it is over, [`QUERIES`] at least; returns how long each
/// answer took. Fails if one is lost.
fn ask(is_over: impl Fn() -> bool) -> Result<Vec<Duration>> {
    let socket = socket()?;
    socket.set_read_timeout(Some(LOST))?;
    let mut waits = Vec::new();
    for id in 0.. {
        if id >= QUERIES && is_over() {
            break;
        }
        let begin = Instant::now();
        socket.send(&query(NAME, id))?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).with_context(|| format!("query {id}"))?;
        ensure!(length > 12 && answer[..2] == id.to_be_bytes(), "an answer to another query");
        waits.push(begin.elapsed());
    }
    Ok(waits)
}
