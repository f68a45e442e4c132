//! The packaged unit, user and directories, as systemd's own tools see them. No privilege, but
//! systemd, which need not be running.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use privatelink_user::model::Gateway;

/// The most that the unit may expose, on systemd's scale from 0 to 10.
const EXPOSURE: f32 = 2.5;

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(packaging(name)).unwrap()
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output, String::from_utf8_lossy(&all).into_owned())
}

#[test]
fn the_unit_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("privatelink.service");
    // The daemon need not be installed here, and neither need its page.
    fs::write(&unit, text("privatelink.service").replace("/usr/bin/privatelink", "/bin/true"))
        .unwrap();
    let mut analyze = Command::new("systemd-analyze");
    let (output, said) = run(analyze.args(["verify", "--man=no"]).arg(&unit));
    assert!(output.status.success() && said.is_empty(), "{said}");
    // It can say no.
    let wrong = fs::read_to_string(&unit).unwrap().replace("UMask=0077", "UMusk=0077");
    fs::write(&unit, wrong).unwrap();
    let mut analyze = Command::new("systemd-analyze");
    let (_, said) = run(analyze.args(["verify", "--man=no"]).arg(&unit));
    assert!(said.contains("UMusk"), "{said}");
}

#[test]
fn the_unit_exposes_little() {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager"]);
    let (_, said) = run(analyze.arg(packaging("privatelink.service")));
    let line = said.lines().find(|line| line.contains("Overall exposure level"));
    let level =
        line.and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.parse::<f32>().ok());
    let level = level.unwrap_or_else(|| panic!("no level in {said}"));
    println!("exposure {level}");
    assert!(level <= EXPOSURE, "{said}");
}

#[test]
fn user_and_directories_can_be_made() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let option = format!("--root={}", root.path().display());
    let (output, said) =
        run(Command::new("systemd-sysusers").arg(&option).arg(packaging("privatelink.sysusers")));
    assert!(output.status.success(), "{said}");
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(users.lines().any(|line| line.starts_with("privatelink:")), "{users}");
    // A user's modes and owners are for root to set: here they only have to be understood.
    let (_, said) = run(Command::new("systemd-tmpfiles")
        .args(["--create", &option])
        .arg(packaging("privatelink.tmpfiles")));
    assert!(!said.contains("nvalid") && !said.contains("Unknown"), "{said}");
}

#[test]
fn unit_and_defaults_agree() {
    let unit = text("privatelink.service");
    let has = |line: String| assert!(unit.lines().any(|one| one == line), "no line {line}");
    let below = |path: &str, root: &str| path.strip_prefix(root).unwrap().to_owned();
    has(format!("StateDirectory={}", below(Gateway::DEFAULT_STATE_DIR, "/var/lib/")));
    let socket = Path::new(Gateway::DEFAULT_SOCKET).parent().unwrap();
    has(format!("RuntimeDirectory={}", below(socket.to_str().unwrap(), "/run/")));
    has(format!("ReadWritePaths={}", Gateway::DEFAULT_PIN_DIR));
    let configuration = privatelink_user::config::DEFAULT_PATH;
    has(format!("ConfigurationDirectory={}", below(configuration, "/etc/")));
    let directory = format!("d {} 0700 privatelink privatelink -", Gateway::DEFAULT_PIN_DIR);
    assert!(text("privatelink.tmpfiles").lines().any(|line| line == directory));
}
