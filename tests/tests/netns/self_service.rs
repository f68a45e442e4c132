//! `docs/self-service.md`, from its own text: nobody touches a file after the start.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    net::IpAddr,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use privatelink_tests::lab::{Daemon, Lab, Network, Provider, client, tool, wait_until};

use crate::{
    fixture::{SOON, at},
    from_anywhere::{authority, signed},
};

/// A block of the page: where it runs, and what.
struct Block {
    place: String,
    text: String,
}

/// The page's configuration, and its shell blocks. The first line of each says where it runs.
fn page() -> (String, Vec<Block>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/self-service.md");
    let page = fs::read_to_string(path).unwrap();
    let mut parts = page.split("\n```");
    parts.next();
    let (mut config, mut blocks) = (String::new(), Vec::new());
    for block in parts.step_by(2) {
        let (mark, text) = block.split_once('\n').unwrap();
        if mark == "toml" {
            config.push_str(text);
        } else {
            let place = text.lines().next().unwrap().strip_prefix("# ").unwrap();
            blocks.push(Block { place: place.to_owned(), text: format!("{text}\n") });
        }
    }
    (config, blocks)
}

/// A program of the page that goes on in the background, with all that it has started.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

struct Scene {
    _background: Vec<Background>,
    daemon: Daemon,
    lab: Lab,
    files: tempfile::TempDir,
}

impl Scene {
    /// A shell at a place of the page.
    fn shell(&self, block: &Block) -> Command {
        let words = ["sh", "-euc", &block.text];
        let place = block.place.split(',').next().unwrap();
        let mut command = match place {
            "on the gateway" => {
                let mut command = self.lab.gateway().command(words[0]);
                command.env("PRIVATELINK_SOCKET", self.daemon.socket());
                command.args(&words[1..]);
                command
            }
            "on a host of acme" => {
                let gateway: IpAddr = "10.1.0.1".parse().unwrap();
                self.lab.host("acme").command_resolving(gateway, &words)
            }
            "at the vendor's desk" | "at acme's desk" => {
                let mut command = self.lab.host("desk").command(words[0]);
                command.args(&words[1..]);
                command
            }
            other => panic!("the page runs something {other}"),
        };
        let program = self.daemon.binary().parent().unwrap().display().to_string();
        let path = format!("{program}:{}", std::env::var("PATH").unwrap());
        command.env("PATH", path).current_dir(self.files.path());
        command
    }
}

#[test]
fn two_tenants_meet_as_the_page_says_and_nobody_touches_a_file() {
    let (config, blocks) = page();
    let lab = Lab::builder()
        .network(Network::consumer("acme").gateway(&["10.1.0.1/16"]))
        .network(Network::provider("vendor").gateway(&["10.0.0.1/16"]))
        .network(Network::new("office").host("desk", &["10.9.0.2/24"]).gateway(&["10.9.0.1/24"]))
        .build()
        .unwrap();
    let files = tempfile::tempdir().unwrap();
    authority(files.path(), "ca");
    signed(files.path(), "ca", "api", "subjectAltName=IP:10.9.0.1");
    let config = config
        .replace("eth1", "veth-acme")
        .replace("eth2", "veth-vendor")
        .replace("/etc/privatelink", &files.path().display().to_string());
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let written = fs::read(daemon.config()).unwrap();
    wait_until(SOON, "HTTPS is served", || {
        lab.host("desk").run(|| client::connect(at("10.9.0.1", 9443), SOON)).is_ok()
    })
    .unwrap();
    let mut scene = Scene { _background: Vec::new(), daemon, lab, files };
    let mut said = String::new();
    for block in &blocks {
        let mut command = scene.shell(block);
        if block.place.ends_with("in the background") {
            let child = command.process_group(0).stdout(Stdio::null()).spawn().unwrap();
            scene._background.push(Background(child));
        } else {
            let text = tool::run(&mut command);
            said += &text.unwrap_or_else(|error| panic!("{}: {error:#}\n{said}", block.place));
        }
    }
    for part in [
        "The web shop, with invoices",
        "endpoint acme-shop: added",
        "accepted by a script",
        "for the order desk",
        "10.0.0.11",
    ] {
        assert!(said.contains(part), "nobody said `{part}`:\n{said}");
    }
    let connection = scene.daemon.ask(&["connections", "acme-shop", "--json"]).unwrap();
    assert_eq!(connection["state"], "rejected");
    assert_eq!(connection["message"], "for the order desk");
    let reasons: Vec<_> = connection["history"].as_array().unwrap().iter().collect();
    let reasons: Vec<_> = reasons.iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["for the order desk", "accepted by a script", "the contract has ended"]);
    assert_eq!(fs::read(scene.daemon.config()).unwrap(), written);
    // Nobody is at the address that the page registers, and takes out again.
    let problems = scene.daemon.status().unwrap()["problems"].clone();
    let all = problems.as_array().unwrap();
    assert!(all.iter().all(|one| one.to_string().contains("10.0.0.11")), "{problems}");
}
