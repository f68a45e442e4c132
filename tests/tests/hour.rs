//! An hour without a daemon: grants end at their time, silent flows expire, and the others lose
//! nothing.
//!
//! `cargo xtask test hour` runs it; `PRIVATELINK_HOUR_SECONDS` takes another time.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    env,
    net::{SocketAddr, UdpSocket},
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use privatelink_tests::{
    lab::{Daemon, Lab, Load, Provider, client, crowd::Crowd, wait_until},
    pinned,
};

/// The variable that says how long it lasts.
const SECONDS: &str = "PRIVATELINK_HOUR_SECONDS";
const SOON: Duration = Duration::from_secs(10);
/// Long enough for a datagram and its echo, on a busy machine.
const NEVER: Duration = Duration::from_millis(400);
/// How much later than its time a grant may end.
const LATE: Duration = Duration::from_secs(1);
/// Grants, whose ends are spread over the hour.
const GRANTS: u32 = 8;
/// Source ports of the clients of silent flows.
const SILENT: Range<u16> = 5_000..7_000;
/// Directions of the flows that go on: two datagrams and two streams of the others.
const OTHERS: usize = 8;
const CONFIG: &str = include_str!("netns/gateway.toml");

fn address(grant: u32) -> SocketAddr {
    format!("10.1.0.{}:7", 100 + grant).parse().unwrap()
}

fn config(idle: u64) -> String {
    let automatic = "acceptance = \"automatic\"\n";
    let manual = "acceptance = \"manual\"\naccept = [\"globex\"]\n";
    let port = "protocol = \"udp\"\nport = 7\n";
    let mut config = CONFIG.replacen(automatic, manual, 1).replacen(
        port,
        &format!("{port}idle_timeout = \"{idle}s\"\n"),
        1,
    );
    for grant in 0..GRANTS {
        let address = address(grant).ip();
        config += &format!(
            "\n[[endpoint]]\nname = \"acme-{grant}\"\nservice = \"web\"\nnetwork = \"acme\"\n\
             addresses = [\"{address}\"]\n"
        );
    }
    config
}

/// When the last datagram came back.
fn last_answer(socket: &UdpSocket) -> Instant {
    let mut last = Instant::now();
    let mut number = 0_u64;
    while last.elapsed() < SOON {
        number += 1;
        if client::udp_exchange(socket, &number.to_be_bytes(), NEVER).is_ok() {
            last = Instant::now();
        }
        thread::sleep(Duration::from_millis(20));
    }
    last
}

#[test]
fn an_hour_without_a_daemon() {
    let seconds: u64 = env::var(SECONDS).map_or(3_600, |text| text.parse().unwrap());
    // The shortest that can be configured is a minute.
    let idle = (seconds / 6).max(60);
    let lab = Lab::tenants().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let mut daemon = Daemon::start(lab.gateway(), &config(idle)).unwrap();
    let [v4, v6] = ["10.1.0.50:7", "[fd00:1::50]:7"].map(|text| text.parse().unwrap());
    let load = Load::start(lab.host("globex"), &[v4, v6]).unwrap();
    let (begin, mut watched) = (Instant::now(), Vec::new());
    for grant in 0..GRANTS {
        let period = seconds * u64::from(grant + 1) / u64::from(GRANTS + 1);
        let (name, time) = (format!("acme-{grant}"), format!("{period}s"));
        let before = Instant::now() + Duration::from_secs(period);
        daemon.ask(&["accept", &name, "--for", &time, "--json"]).unwrap();
        let after = Instant::now() + Duration::from_secs(period);
        let socket = lab.host("acme").run(|| Ok(UdpSocket::bind("0.0.0.0:0")?)).unwrap();
        socket.connect(address(grant)).unwrap();
        client::udp_exchange(&socket, b"first", SOON).unwrap();
        watched.push((before..after, thread::spawn(move || last_answer(&socket))));
    }
    let silent = Crowd::new(lab.host("globex"), v4, SILENT);
    silent.speak(SOON).unwrap();
    daemon.kill();
    let killed = Instant::now();
    let pins = daemon.pin_dir().to_owned();
    let live = || pinned::live_slots(&pins).unwrap();
    assert!(live() >= 2 * SILENT.len(), "{}", live());

    let expected = Duration::from_secs(idle);
    let most = OTHERS + 2 * GRANTS as usize;
    wait_until(expected + SOON * 6, "silent flows have expired", || live() <= most).unwrap();
    println!("{} silent flows expired within {:?}", SILENT.len(), killed.elapsed());
    assert!(killed.elapsed() > expected, "after {:?}", killed.elapsed());
    for (end, thread) in watched {
        let last = thread.join().unwrap();
        println!(
            "a grant ended after {:?}, {:?} after its time",
            last - begin,
            last.saturating_duration_since(end.start)
        );
        assert!(last + LATE > end.start, "{:?} before its time", end.start - last);
        assert!(last <= end.end + LATE, "{:?} after its time", last - end.end);
    }
    let total = Duration::from_secs(seconds);
    wait_until(total, "the time is over", || begin.elapsed() >= total).unwrap();
    wait_until(SOON * 2, "ended flows are gone", || live() <= OTHERS).unwrap();
    assert_eq!((live(), pinned::counted_flows(&pins).unwrap()), (OTHERS, [4, 4]));
    let tally = load.finish().unwrap();
    println!("{tally:?} in {:?} without a daemon", killed.elapsed());
    assert_eq!((tally.lost, tally.strange), (0, 0), "{tally:?}");
    daemon.run().unwrap();
    for grant in 0..GRANTS {
        let connection = daemon.ask(&["connections", &format!("acme-{grant}"), "--json"]).unwrap();
        assert_eq!(connection["state"], "expired", "{connection}");
    }
}
