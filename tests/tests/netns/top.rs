//! `privatelink top`, in a terminal and for programs.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs::{self, File},
    io::Write,
    process::{Command, Stdio},
};

use privatelink_tests::lab::{client, wait_until};
use serde_json::Value;

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at};

/// The rows that are printed, by name.
fn row(rows: &Value, name: &str) -> Value {
    let mut rows = rows.as_array().unwrap().iter();
    rows.find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}: {rows:?}")).clone()
}

#[test]
fn rates_are_those_of_the_traffic_between_two_looks() {
    let scene = Scene::start().unwrap();
    let stream = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    let rows = std::thread::scope(|scope| {
        let ask = |words: &'static [&str]| {
            let daemon = &scene.daemon;
            scope.spawn(move || {
                daemon.ask(&[&["top", "--json", "--interval", "1s"], words].concat()).unwrap()
            })
        };
        let asked = [ask(&[]), ask(&["principals"]), ask(&["targets"])];
        for seed in 0..20 {
            client::tcp_exchange(&stream, 100_000, seed).unwrap();
            std::thread::yield_now();
        }
        wait_until(SOON, "all have looked", || {
            client::tcp_exchange(&stream, 1_000, 1).unwrap();
            asked.iter().all(std::thread::ScopedJoinHandle::is_finished)
        })
        .unwrap();
        asked.map(|asked| asked.join().unwrap())
    });
    let [endpoints, principals, targets] = rows;
    for (rows, name) in [(&endpoints, "acme-web"), (&principals, "acme")] {
        let row = row(rows, name);
        assert!(row["bits"].as_f64().unwrap() > 1_000.0, "{row}");
        assert_eq!((&row["flows"], row["drops"].as_f64()), (&Value::from(1), Some(0.0)), "{row}");
    }
    assert_eq!(row(&endpoints, "globex-web")["packets"], 0.0);
    assert_eq!(row(&targets, "web 10.0.0.10:7777")["flows"], 1, "{targets}");
}

/// In a terminal of its own: `script` makes one.
#[test]
fn a_terminal_shows_endpoints_and_their_flows() {
    let users = "[[principal]]\nname = \"acme\"\nusers = [\"mail\"]\n";
    let scene = Scene::with(&(CONFIG.to_owned() + users)).unwrap();
    let _held = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let screen = directory.path().join("screen");
    let cli = scene.daemon.cli();
    let words: Vec<String> = std::iter::once(cli.get_program())
        .chain(cli.get_args())
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    let line = format!("stty cols 120 rows 30; exec {} top --interval 200ms", words.join(" "));
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    for (key, value) in cli.get_envs() {
        terminal.env(key, value.unwrap());
    }
    terminal.stdin(Stdio::piped()).stdout(File::create(&screen).unwrap());
    let mut terminal = terminal.spawn().unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let shows = |text: &str| {
        let seen = || String::from_utf8_lossy(&fs::read(&screen).unwrap()).contains(text);
        wait_until(SOON, text, seen).unwrap_or_else(|error| {
            panic!("{error}: {:?}", String::from_utf8_lossy(&fs::read(&screen).unwrap()))
        });
    };
    shows("globex-web");
    keys.write_all(b"f\r").unwrap();
    // Only what changes on the screen is written.
    shows("established");
    keys.write_all(b"q").unwrap();
    let ended = terminal.wait().unwrap();
    assert!(ended.success(), "{ended}");
}
