//! What one network's clients may take of the name server, and what others notice of it.

use std::{
    net::UdpSocket,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{NAME, SERVER, Scene, config};
use crate::fixture::{NEVER, at};

/// How often the measurement is made again, where the machine was busy with something else.
const ATTEMPTS: usize = 5;

/// A question for the service's name, and nothing else.
pub fn query(id: u16) -> Vec<u8> {
    let mut query = [id.to_be_bytes(), [1, 0], [0, 1], [0; 2], [0; 2], [0; 2]].concat();
    for label in NAME.split('.') {
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
fn more_than_a_prefix_may_have_is_told_to_come_by_tcp_or_dropped() {
    let limited = config().replacen("dns = true\n", "dns = true\ndns_rate = 20\n", 1);
    let scene = Scene::start(&limited);
    let (whole, truncated) = scene
        .lab
        .host("acme")
        .run(|| {
            let socket = socket()?;
            for id in 0..200 {
                socket.send(&query(id))?;
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
fn a_flood_from_one_network_keeps_nobody_else_waiting() {
    let scene = Scene::start(&config());
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match during_a_flood(&scene) {
            Ok(flood) => return println!("{flood} queries in the flood"),
            Err(error) => last = Some(error),
        }
    }
    panic!("{ATTEMPTS} times: {:#}", last.unwrap());
}

/// Floods from acme while globex asks, and returns how much the flood was.
fn during_a_flood(scene: &Scene) -> Result<u64> {
    let (ended, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            scene.lab.host("acme").run(|| {
                let socket = socket()?;
                while !ended.load(Ordering::Relaxed) {
                    // A full buffer is as good as a flood.
                    let _ = socket.send(&query(1));
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        });
        let asked = scene.lab.host("globex").run(ask);
        ended.store(true, Ordering::Relaxed);
        asked
    })?;
    let flood = sent.load(Ordering::Relaxed);
    ensure!(flood > 10_000, "only {flood} queries in the flood");
    Ok(flood)
}

fn ask() -> Result<()> {
    const QUERIES: u16 = 500;
    let socket = socket()?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut late = Vec::new();
    for id in 0..QUERIES {
        let begin = Instant::now();
        socket.send(&query(id))?;
        let mut answer = [0; 512];
        // Late answers to earlier questions are not counted twice.
        let answered = loop {
            match socket.recv(&mut answer) {
                Ok(_) if answer[..2] == id.to_be_bytes() => break true,
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        if !answered {
            late.push(begin.elapsed());
        }
        thread::sleep(Duration::from_millis(2));
    }
    let count = late.len();
    ensure!(count * 100 <= usize::from(QUERIES), "{count} of {QUERIES} not within 50 ms");
    Ok(())
}
