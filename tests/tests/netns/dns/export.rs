//! Exports for other resolvers, checked by those resolvers.

use std::{fs, path::Path, process::Command};

use privatelink_tests::lab::{Process, tool, wait_until};
use tempfile::TempDir;

use super::{NAME, Scene, config};
use crate::fixture::SOON;

const OWN: &str = "acme-web.web.privatelink.internal";

/// Writes what `privatelink dns export` prints into a file.
fn export(scene: &Scene, file: &Path, words: &[&str]) -> String {
    let mut command = scene.daemon.cli();
    let text = tool::run(command.args(["dns", "export", "acme", "--format"]).args(words)).unwrap();
    fs::write(file, &text).unwrap();
    text
}

#[test]
fn other_resolvers_understand_what_is_exported() {
    let scene = Scene::start(&config());
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("exported");

    let text = export(&scene, &file, &["zone"]);
    let check = |zone: &str| tool::run(Command::new("named-checkzone").arg(zone).arg(&file));
    let said = check("privatelink.internal").unwrap();
    assert!(said.trim_end().ends_with("OK"), "{said}\n{text}");
    export(&scene, &file, &["zone", "--zone", NAME]);
    check(NAME).unwrap();
    check("elsewhere.example").unwrap_err();

    let text = export(&scene, &file, &["dnsmasq"]);
    let test = format!("--conf-file={}", file.display());
    tool::run(Command::new("dnsmasq").args(["--test", &test])).unwrap();
    // dnsmasq answers as configured.
    let acme = scene.lab.host("acme");
    let mut dnsmasq = acme.command("dnsmasq");
    dnsmasq.args(["--no-daemon", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=", &test]);
    dnsmasq.args(["--stop-dns-rebind", "--listen-address=127.0.0.1", "--bind-interfaces"]);
    let _dnsmasq = Process::spawn("dnsmasq", dnsmasq).unwrap();
    for (words, answer) in [
        (&[NAME][..], "10.1.0.50"),
        (&[OWN], "10.1.0.50"),
        (&["-x", "fd00:1::50"], "acme-web.web.privatelink.internal."),
    ] {
        let words = [&["@127.0.0.1", "+short", "+tries=1", "+timeout=1"], words].concat();
        wait_until(SOON, "dnsmasq asks the gateway", || super::dig(acme, &words) == [answer])
            .unwrap_or_else(|error| panic!("{error:#}\n{text}"));
    }

    let text = export(&scene, &file, &["unbound"]);
    let whole = folder.path().join("unbound.conf");
    let own = folder.path().display();
    let include = format!("include: {}\n", file.display());
    let server =
        format!("server:\n    directory: \"{own}\"\n    chroot: \"\"\n    username: \"\"\n");
    fs::write(&whole, server + &include).unwrap();
    // Not every machine has `unbound-checkconf`: its package starts a resolver. Without it, the
    // test still requires the lines that unbound needs.
    if let Ok(output) = Command::new("unbound-checkconf").arg(&whole).output() {
        assert!(output.status.success(), "{output:?}\n{text}");
    }
    for line in ["name: \"privatelink.internal.\"", "stub-addr: 10.1.0.1"] {
        assert!(text.lines().any(|one| one.trim() == line), "no `{line}`:\n{text}");
    }
    for format in ["coredns", "systemd-resolved"] {
        assert!(export(&scene, &file, &[format]).contains("10.1.0.1"), "{format}");
    }
    let names = scene.daemon.ask(&["dns", "export", "acme", "--json"]).unwrap();
    assert_eq!(names["addresses"], serde_json::json!(["10.1.0.1", "fd00:1::1"]));
    let error = tool::run(scene.daemon.cli().args(["dns", "export", "vendor"])).unwrap_err();
    assert!(error.to_string().contains("`dns = true`"), "{error}");
}
