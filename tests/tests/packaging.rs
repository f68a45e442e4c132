//! The packaged units, users and directories, checked by systemd's tools. No privilege, but
//! systemd, which does not have to run.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use privatelink_user::model::Gateway;

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

/// The units, and their highest exposure on systemd's scale from 0 to 10.
const UNITS: [(&str, f32); 2] = [("privatelink.service", 2.5), ("privatelink-dns.service", 1.5)];

#[test]
fn the_units_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    for unit in ["privatelink.service", "privatelink-dns.service", "privatelink-dns.socket"] {
        // Neither the daemon nor its manual page has to be installed here.
        let text = text(unit).replace("/usr/bin/privatelink", "/bin/true");
        fs::write(folder.path().join(unit), text).unwrap();
    }
    let verify = |unit: &Path| {
        let mut analyze = Command::new("systemd-analyze");
        run(analyze.args(["verify", "--man=no"]).arg(unit))
    };
    for unit in ["privatelink.service", "privatelink-dns.service"] {
        let unit = folder.path().join(unit);
        let (output, said) = verify(&unit);
        assert!(output.status.success() && said.is_empty(), "{said}");
        // The tool does detect an error.
        let wrong = fs::read_to_string(&unit).unwrap().replace("UMask=0", "UMusk=0");
        fs::write(&unit, wrong).unwrap();
        let (_, said) = verify(&unit);
        assert!(said.contains("UMusk"), "{said}");
    }
}

#[test]
fn the_units_expose_little() {
    for (unit, most) in UNITS {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager"]);
        let (_, said) = run(analyze.arg(packaging(unit)));
        let line = said.lines().find(|line| line.contains("Overall exposure level"));
        let level =
            line.and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.parse::<f32>().ok());
        let level = level.unwrap_or_else(|| panic!("no level in {said}"));
        println!("{unit}: exposure {level}");
        assert!(level <= most, "{said}");
    }
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
    for user in ["privatelink:", "privatelink-dns:"] {
        assert!(users.lines().any(|line| line.starts_with(user)), "{users}");
    }
    // Only root can set modes and owners: here the file only has to be valid.
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
    // Parts of @privileged, which is refused: without them the daemon can neither make its socket
    // nor load programs.
    let filters: Vec<_> =
        unit.lines().filter(|line| line.starts_with("SystemCallFilter")).collect();
    let position = |text: &str| filters.iter().position(|line| line.contains(text));
    for needed in ["bpf", "@chown"] {
        assert!(position(needed) > position("~@privileged"), "{filters:?}");
    }
    has(format!("ReadWritePaths={}", Gateway::DEFAULT_PIN_DIR));
    let listens = format!("ListenStream={}.dns", Gateway::DEFAULT_SOCKET);
    assert!(text("privatelink-dns.socket").lines().any(|line| line == listens), "no {listens}");
    let configuration = privatelink_user::config::DEFAULT_PATH;
    has(format!("ConfigurationDirectory={}", below(configuration, "/etc/")));
    let directory = format!("d {} 0700 privatelink privatelink -", Gateway::DEFAULT_PIN_DIR);
    assert!(text("privatelink.tmpfiles").lines().any(|line| line == directory));
}
