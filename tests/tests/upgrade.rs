//! From the previous release to this one and back, under traffic, with flows that say nothing.
//!
//! `cargo xtask test upgrade` builds the previous release for it.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    collections::BTreeSet,
    env,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use privatelink_tests::lab::{
    Daemon, Lab, Load, Provider, client,
    crowd::{Crowd, flows},
    daemon::find_binary,
    tool, wait_until,
};

/// The variable that names the binary of the previous release.
const PREVIOUS: &str = "PRIVATELINK_PREVIOUS";
/// The variable that says how many silent flows there are.
const FLOWS: &str = "PRIVATELINK_UPGRADE_FLOWS";
/// The first port of the silent flows.
const FIRST: u16 = 5_000;
const SOON: Duration = Duration::from_secs(10);
const STREAMS: usize = 50;
const CONFIG: &str = include_str!("netns/gateway.toml");

fn config(max_flows: u32) -> String {
    let port = "protocol = \"udp\"\nport = 7\n";
    let config = CONFIG.replacen(port, &format!("{port}idle_timeout = \"12h\"\n"), 1);
    config.replacen("max_flows = 4096", &format!("max_flows = {max_flows}"), 1)
}

/// What must not be lost.
struct Witness<'l> {
    crowds: Vec<Crowd<'l>>,
    streams: Vec<TcpStream>,
    before: BTreeSet<String>,
}

impl<'l> Witness<'l> {
    fn open(lab: &'l Lab, daemon: &Daemon) -> Self {
        let count: u32 = env::var(FLOWS).map_or(100_000, |text| text.parse().unwrap());
        let each = u16::try_from(count / 4).unwrap();
        let echoes: [SocketAddr; 2] =
            ["10.1.0.50:7", "[fd00:1::50]:7"].map(|text| text.parse().unwrap());
        let crowds: Vec<_> = ["acme", "globex"]
            .iter()
            .flat_map(|host| echoes.map(|echo| (lab.host(host), echo)))
            .map(|(host, echo)| Crowd::new(host, echo, FIRST..FIRST + each))
            .collect();
        crowds.iter().for_each(|crowd| crowd.speak(SOON).unwrap());
        let connect = || lab.host("acme").run(|| client::connect(echoes[0], SOON)).unwrap();
        let streams = (0..STREAMS).map(|_| connect()).collect();
        let before = flows(daemon).unwrap();
        assert!(before.len() >= usize::from(each) * 4 + STREAMS, "{} flows", before.len());
        Self { crowds, streams, before }
    }

    /// Every flow is listed, and carries on under the source port that it had.
    fn check(&self, daemon: &Daemon, seed: u64) {
        let after = flows(daemon).unwrap();
        let lost: Vec<_> = self.before.difference(&after).collect();
        assert!(lost.is_empty(), "{} flows were lost: {:?}", lost.len(), lost.first());
        for stream in &self.streams {
            client::tcp_exchange(stream, 1_000, seed).unwrap();
        }
        self.crowds.iter().for_each(|crowd| crowd.speak(SOON).unwrap());
        assert_eq!(flows(daemon).unwrap(), after, "flows were opened again");
    }
}

/// Has another release take over.
fn change(daemon: &mut Daemon, binary: &Path, max_flows: u32) {
    daemon.replace_binary(binary);
    daemon.write_config(&config(max_flows)).unwrap();
    let begin = Instant::now();
    daemon.run().unwrap();
    let output = daemon.output();
    let said = output.lines().filter(|line| line.contains("pinned maps") || line.contains("flows"));
    println!("ready after {:?}\n{}", begin.elapsed(), said.collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_previous_release_and_back_lose_no_flow() {
    let previous = PathBuf::from(env::var_os(PREVIOUS).expect("run `cargo xtask test upgrade`"));
    let ours = find_binary().unwrap();
    let lab = Lab::tenants().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let mut daemon = Daemon::start_binary(&previous, lab.gateway(), &config(200_000)).unwrap();
    let echoes = ["10.1.0.50:7", "[fd00:1::50]:7"].map(|text| text.parse().unwrap());
    let load = Load::start(lab.host("globex"), &echoes).unwrap();
    let witness = Witness::open(&lab, &daemon);
    println!("{} flows", witness.before.len());

    // The layout of the records alone; then also the capacity, down and up.
    daemon.terminate();
    change(&mut daemon, &ours, 200_000);
    witness.check(&daemon, 1);
    // Somebody who prepares for the way back may change their mind.
    daemon.terminate();
    prepare(&daemon).unwrap();
    change(&mut daemon, &ours, 200_000);
    witness.check(&daemon, 5);
    go_back(&mut daemon, &previous, 200_000);
    witness.check(&daemon, 2);
    daemon.kill();
    change(&mut daemon, &ours, 600_000);
    witness.check(&daemon, 3);
    // The previous release ends the flows of a table of another size, so it gets the same.
    go_back(&mut daemon, &previous, 600_000);
    witness.check(&daemon, 4);

    let tally = load.finish().unwrap();
    println!("{tally:?}");
    assert_eq!((tally.lost, tally.strange), (0, 0), "{tally:?}");

    // An endpoint that is another one after the change: its flows end, and no other.
    daemon.kill();
    let other = config(300_000);
    let (head, tail) = other.split_once("name = \"globex-web\"").unwrap();
    let tail = tail.replacen("10.1.0.50", "10.1.0.51", 1);
    daemon.replace_binary(&ours);
    daemon.write_config(&format!("{head}name = \"globex-web\"{tail}")).unwrap();
    daemon.run().unwrap();
    let of_globex = |flow: &&String| flow.starts_with("globex-web");
    let left = || flows(&daemon).unwrap();
    wait_until(SOON, "its flows have ended", || !left().iter().any(|one| of_globex(&one))).unwrap();
    let told = daemon.ask(&["events", "--json", "--kind", "flows-left-behind"]).unwrap();
    let text = told[0]["text"].as_str().unwrap_or_else(|| panic!("nothing is reported: {told}"));
    println!("{text}");
    let number: usize = text.split(' ').next().unwrap().parse().unwrap();
    assert!(number >= witness.before.iter().filter(|one| of_globex(one)).count(), "{text}");
    let kept: BTreeSet<_> = witness.before.iter().filter(|one| !of_globex(one)).cloned().collect();
    assert_eq!(kept.difference(&left()).count(), 0);
}

/// Has the previous release take over from this one.
fn go_back(daemon: &mut Daemon, previous: &Path, max_flows: u32) {
    let refused = prepare(daemon).unwrap_err();
    assert!(format!("{refused:#}").contains("uses"), "beside a daemon: {refused:#}");
    daemon.terminate();
    prepare(daemon).unwrap();
    prepare(daemon).unwrap();
    change(daemon, previous, max_flows);
}

fn prepare(daemon: &Daemon) -> Result<String, tool::ToolError> {
    let mut command = daemon.cli();
    tool::run(command.arg("prepare-downgrade").arg("--pin-dir").arg(daemon.pin_dir()))
}
