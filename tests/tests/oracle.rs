//! The frames that the library sends, checked by another library. No privilege, but Python with
//! scapy, which `cargo xtask setup` installs.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use privatelink_tests::fixtures::{self, Host, Interfaces, MAX_FLOWS, play};

/// Debian's packages belong to Debian's Python, which may not be the first in the path.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];

#[test]
fn scapy_computes_the_same_checksums_and_lengths() {
    let python = PYTHONS
        .into_iter()
        .find(|python| {
            let mut probe = Command::new(python);
            probe.args(["-c", "import scapy"]).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        })
        .expect("no Python has scapy: apt-get install python3-scapy");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/check.py");
    let mut oracle = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The script prints while it reads, so another thread writes its input.
    let mut input = oracle.stdin.take().unwrap();
    let frames = frames();
    let writer = std::thread::spawn(move || input.write_all(frames.as_bytes()));
    let output = oracle.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    writer.join().unwrap().unwrap();
    print!("{text}");
}

/// Every frame that leaves the gateway in any fixture, in the script's format. Fixtures with wrong
/// checksums on purpose are marked, and left out.
fn frames() -> String {
    let mut lines = String::new();
    for fixture in fixtures::all().iter().filter(|fixture| !fixture.has_wrong_checksums()) {
        let sent = play(fixture, &Interfaces([11, 12, 13, 14]), &mut Host::new(MAX_FLOWS)).unwrap();
        for sent in sent {
            let hex: String = sent.frame.iter().map(|byte| format!("{byte:02x}")).collect();
            lines += &format!("{}, step {}\t{hex}\n", fixture.name, sent.step);
        }
    }
    lines
}
