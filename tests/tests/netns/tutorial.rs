//! The tutorial, executed from its own text: the blocks that a reader pastes, and what they print.

#![expect(clippy::unwrap_used, reason = "a page that cannot be read fails the test")]

use std::{env, fs, path::Path, process::Command};

use privatelink_tests::lab::daemon::find_binary;

/// Begins the output of each block.
const MARK: &str = "--- block ";

/// The blocks of the page, each with what it is shown to print.
fn blocks(page: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    for part in page.split("\n```").skip(1).step_by(2) {
        let (mark, text) = part.split_once('\n').unwrap();
        match mark {
            "sh" => blocks.push((text.to_owned(), Vec::new())),
            "text" => blocks.last_mut().unwrap().1.extend(text.lines().map(str::to_owned)),
            _ => panic!("a block of `{mark}`"),
        }
    }
    blocks
}

/// A line without what differs each time: numbers, and how columns are aligned.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    for c in line.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        if !c.is_ascii_digit() {
            plain.push(c);
        } else if !plain.ends_with('#') {
            plain.push('#');
        }
    }
    plain
}

fn remove_what_is_left() {
    for name in ["pl-acme", "pl-vendor", "pl-gw"] {
        let left = Path::new("/run/netns").join(name).exists();
        if left {
            Command::new("ip").args(["netns", "del", name]).status().unwrap();
        }
    }
    for directory in ["/tmp/pl-tutorial", "/etc/netns/pl-acme", "/sys/fs/bpf/pl-tutorial"] {
        let _ = fs::remove_dir_all(directory);
    }
}

#[test]
fn the_tutorial_does_what_it_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tutorial.md");
    let blocks = blocks(&fs::read_to_string(page).unwrap());
    assert!(blocks.len() > 10, "only {} blocks", blocks.len());
    // A terminal has job control, so that background jobs can be ended by their number.
    let mut script = "set -e -m\n".to_owned();
    for (number, (text, _)) in blocks.iter().enumerate() {
        script += &format!("echo '{MARK}{number}'\n{text}\n");
    }
    let binary = fs::canonicalize(find_binary().unwrap()).unwrap();
    let path = format!("{}:{}", binary.parent().unwrap().display(), env::var("PATH").unwrap());
    remove_what_is_left();
    let mut shell = Command::new("timeout");
    shell.args(["--kill-after=10", "180", "bash", "-c", &script]).env("PATH", path);
    let output = shell.env_remove("PRIVATELINK_SOCKET").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let log = fs::read_to_string("/tmp/pl-tutorial/daemon.log").unwrap_or_default();
    let leaves = ["/run/netns/pl-acme", "/run/netns/pl-gw", "/tmp/pl-tutorial"];
    let left: Vec<_> = leaves.iter().filter(|path| Path::new(path).exists()).collect();
    let is_clean = left.is_empty();
    remove_what_is_left();
    assert!(output.status.success(), "{}\n{printed}\n{said}\n{log}", output.status);
    assert!(is_clean, "it leaves things behind");
    for (number, (text, expected)) in blocks.iter().enumerate() {
        let begin = format!("{MARK}{number}\n");
        let (_, rest) = printed.split_once(&begin).unwrap();
        let shown = rest.split(MARK).next().unwrap_or_default();
        let mut lines = shown.lines().map(plain);
        for line in expected {
            let wanted = plain(line);
            let found = lines.any(|line| line.contains(&wanted));
            assert!(found, "`{line}` is not in what this prints:\n{text}\n{shown}");
        }
    }
}
