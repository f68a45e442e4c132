//! What both ends see when the gateway ends their conversation.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use privatelink_tests::lab::client;

use crate::fixture::{CONFIG, ENDPOINT, SERVER, SOON, Scene, at, reload};

/// A port of the provider where the test itself listens.
const PORT: u16 = 9999;

/// What the tests change in the configuration.
const TARGETS: [&str; 2] = [
    "[[service.target]]\naddress = \"10.0.0.10\"\n",
    "[[service.target]]\naddress = \"fd00::10\"\n",
];

fn config() -> String {
    let listener = format!(
        "[[service.listener]]\nprotocol = \"tcp\"\nport = {PORT}\nidle_timeout = \"60s\"\n"
    );
    CONFIG.replace(
        "[[service.target]]\naddress = \"10.0.0.10\"",
        &format!("{listener}\n{}", TARGETS[0].trim_end()),
    )
}

/// Both ends of a conversation in which each has spoken.
struct Conversation {
    client: TcpStream,
    server: TcpStream,
}

impl Conversation {
    fn open(scene: &Scene, family: usize) -> Result<Self> {
        let vendor = scene.lab.host("vendor");
        let listener = vendor.run(|| Ok(TcpListener::bind(at(SERVER[family], PORT))?))?;
        let client = scene.acme().run(|| client::connect(at(ENDPOINT[family], PORT), SOON))?;
        let (server, _) = listener.accept()?;
        server.set_read_timeout(Some(SOON))?;
        let this = Self { client, server };
        for (mut from, mut to) in [(&this.client, &this.server), (&this.server, &this.client)] {
            from.write_all(b"hello")?;
            to.read_exact(&mut [0; 5])?;
        }
        Ok(this)
    }

    /// Waits until both ends are reset, though neither says a word.
    fn ends_with_resets(&self, within: Duration) -> Result<()> {
        for (whose, mut end) in [("client", &self.client), ("server", &self.server)] {
            end.set_read_timeout(Some(within))?;
            let read = client::uninterrupted(|| end.read(&mut [0; 1]));
            let kind = read.as_ref().err().map(std::io::Error::kind);
            ensure!(kind == Some(ErrorKind::ConnectionReset), "the {whose} saw {read:?}");
        }
        Ok(())
    }
}

#[test]
fn a_removed_target_resets_both_ends_of_its_flows_only() {
    let config = || config().replacen("acceptance =", "drain = \"0s\"\nacceptance =", 1);
    assert!(config().contains("drain"));
    let scene = Scene::with(&config()).unwrap();
    for (family, target) in TARGETS.into_iter().enumerate() {
        let ends = Conversation::open(&scene, family).unwrap();
        let other = Conversation::open(&scene, 1 - family).unwrap();
        reload(&scene.daemon, &config().replace(target.trim_end(), "")).unwrap();
        ends.ends_with_resets(SOON).unwrap();
        (&other.client).write_all(b"still").unwrap();
        (&other.server).read_exact(&mut [0; 5]).unwrap();
        reload(&scene.daemon, &config()).unwrap();
    }
}

#[test]
fn tightened_rules_and_rejections_reset_both_ends() {
    let scene = Scene::with(&config()).unwrap();
    let endpoint = "name = \"acme-web\"";
    let rules = "allow = [{ from = \"10.1.0.0/16\", ports = [80] }]";
    let tightened = config().replace(endpoint, &format!("{endpoint}\n{rules}"));
    let rejected = config().replace("allow = [\"acme\", \"globex\"]", "allow = [\"globex\"]");
    for config_then in [tightened, rejected] {
        let conversations = [0, 1].map(|family| Conversation::open(&scene, family).unwrap());
        reload(&scene.daemon, &config_then).unwrap();
        for ends in conversations {
            ends.ends_with_resets(SOON).unwrap();
        }
        reload(&scene.daemon, &config()).unwrap();
    }
}

#[test]
fn both_ends_of_an_idle_flow_are_reset() {
    let scene = Scene::with(&config()).unwrap();
    let conversations = [0, 1].map(|family| Conversation::open(&scene, family).unwrap());
    // A minute of silence, and the time until the sweep comes by.
    for ends in conversations {
        ends.ends_with_resets(Duration::from_secs(90)).unwrap();
    }
}
