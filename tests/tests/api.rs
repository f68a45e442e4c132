//! The daemon answers every request as its OpenAPI document describes, whoever makes it, and survives
//! it. Needs root and Python's schemathesis; run by `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::unistd::User;
use privatelink_tests::lab::{Daemon, Lab, bridge};

/// The checks of each response.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance";

/// The program that makes the requests.
fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/schemathesis/bin/schemathesis")
}

/// Has this command make requests of every kind, the same ones each time; `document` describes them.
fn judge(mut command: Command, document: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let output = command
        .current_dir(folder.path())
        .args(["run", document, "--checks", CHECKS, "--seed", "1"])
        // The request that ends the daemon, and the one whose response never ends, are tested
        // elsewhere.
        .args(["--exclude-path", "/v1/down", "--exclude-path", "/v1/events/follow"])
        .args(["--request-timeout", "20", "--no-color"])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: cargo xtask setup", program().display()));
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    print!("{said}");
    assert!(output.status.success(), "{said}{errors}");
}

/// A daemon without optimizations needs long to walk a large table for each response.
fn config(rest: &str) -> String {
    let quickstart = include_str!("../../examples/quickstart.toml");
    quickstart.replace("name = \"gw-a\"", "name = \"gw-a\"\nmax_flows = 4096") + rest
}

fn is_well(daemon: &Daemon) {
    assert_eq!(daemon.status().unwrap()["ready"], true);
    assert!(!daemon.output().contains("panicked"), "{}", daemon.output());
}

#[test]
fn every_request_is_answered_as_described() {
    let lab = Lab::quickstart().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config("")).unwrap();
    let address = bridge::to_socket(&daemon.socket()).unwrap();
    let document = format!("http://{address}/v1/openapi.json");
    let words = ["--max-examples", "40", "--phases", "examples,coverage,fuzzing"];
    judge(Command::new(program()), &document, &words);
    is_well(&daemon);
}

/// A program that speaks to the socket as another user.
struct Bridge {
    process: Child,
    port: u16,
}

impl Bridge {
    fn start(socket: &Path, user: &str) -> Self {
        let found = User::from_name(user).unwrap().unwrap();
        let script = include_str!("api_bridge.py");
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(socket).current_dir("/").stdout(Stdio::piped());
        command.uid(found.uid.as_raw()).gid(found.gid.as_raw());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().unwrap(), process }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// For those who may do less than all: enough requests to see each route refuse and answer, and no
/// more in a second than such a caller may make.
const FEW: [&str; 6] =
    ["--max-examples", "8", "--phases", "examples,coverage", "--rate-limit", "60/s"];

#[test]
fn principals_and_strangers_are_answered_as_described() {
    let lab = Lab::quickstart().unwrap();
    let principal = "\n[[principal]]\nname = \"vendor\"\nusers = [\"games\"]\n";
    let daemon = Daemon::start(lab.gateway(), &config(principal)).unwrap();
    daemon.open_to_all().unwrap();
    for user in ["games", "nobody"] {
        let bridge = Bridge::start(&daemon.socket(), user);
        let document = format!("http://127.0.0.1:{}/v1/openapi.json", bridge.port);
        judge(Command::new(program()), &document, &FEW);
    }
    is_well(&daemon);
}
