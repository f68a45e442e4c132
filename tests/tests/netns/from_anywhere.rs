//! The API from another host: HTTPS with access keys and client certificates.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use privatelink_tests::lab::{Daemon, Host, Lab, Network, client, tool, wait_until};
use serde_json::Value;

use crate::fixture::{CONFIG, SOON, at, reload};

const SERVER: &str = "10.9.0.1";
const PORT: u16 = 9443;

/// A gateway with the networks of `gateway.toml`, and the desk of an operator beside them.
struct Scene {
    daemon: Daemon,
    lab: Lab,
    files: tempfile::TempDir,
}

impl Scene {
    fn start() -> Self {
        let lab = Lab::builder()
            .network(Network::consumer("acme").gateway(&["10.1.0.1/16", "fd00:1::1/64"]))
            .network(Network::consumer("globex"))
            .network(Network::consumer("initech"))
            .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
            .network(
                Network::new("office").host("desk", &["10.9.0.2/24"]).gateway(&["10.9.0.1/24"]),
            )
            .build()
            .unwrap();
        let files = tempfile::tempdir().unwrap();
        authority(files.path(), "ca");
        authority(files.path(), "vendor-ca");
        signed(files.path(), "ca", "gateway", &format!("subjectAltName=IP:{SERVER}"));
        signed(files.path(), "vendor-ca", "vendor", "extendedKeyUsage=clientAuth");
        let daemon = Daemon::start(lab.gateway(), &config(files.path())).unwrap();
        let scene = Self { daemon, lab, files };
        let desk = scene.desk();
        wait_until(SOON, "HTTPS is served", || {
            desk.run(|| client::connect(at(SERVER, PORT), SOON)).is_ok()
        })
        .unwrap();
        scene
    }

    fn desk(&self) -> &Host {
        self.lab.host("desk")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Makes a key on the gateway, and stores it in a file at the desk.
    fn key(&self, name: &str, words: &[&str]) -> (PathBuf, String) {
        let text = tool::run(self.daemon.cli().args(["key", "create"]).args(words)).unwrap();
        let key = text.split_whitespace().last().unwrap().to_owned();
        let path = self.path(name);
        fs::write(&path, &key).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        (path, key)
    }

    /// The command line at the desk.
    fn remote(&self, key: &Path, words: &[&str]) -> (Option<i32>, String) {
        let mut command = self.desk().command(self.daemon.binary().to_str().unwrap());
        command
            .args(["--server", &format!("https://{SERVER}:{PORT}"), "--key-file"])
            .arg(key)
            .arg("--ca-file")
            .arg(self.path("ca.pem"))
            .args(words);
        let output = command.output().unwrap();
        let both = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&both).into_owned())
    }

    /// Asks with curl; returns the code and what was said.
    fn curl(&self, path: &str, words: &[&str]) -> (u16, String) {
        let mut command = self.desk().command("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
            .arg(self.path("ca.pem"))
            .args(["--write-out", "\n%{http_code}"])
            .args(words)
            .arg(format!("https://{SERVER}:{PORT}{path}"));
        let text = tool::run(&mut command).unwrap();
        let (answer, code) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim()));
        (code.trim().parse().unwrap(), answer.to_owned())
    }

    fn state(&self) -> String {
        let connection = self.daemon.ask(&["connections", "acme-web", "--json"]).unwrap();
        connection["state"].as_str().unwrap().to_owned()
    }

    /// The process that serves HTTPS.
    fn front(&self) -> u32 {
        let daemon = self.daemon.id().unwrap();
        let children = format!("/proc/{daemon}/task/{daemon}/children");
        let mut all = fs::read_to_string(children).unwrap_or_default();
        for task in fs::read_dir(format!("/proc/{daemon}/task")).unwrap() {
            let children = task.unwrap().path().join("children");
            all += &(fs::read_to_string(children).unwrap_or_default() + " ");
        }
        let is_front = |id: &u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("serve-https")
        };
        let mut ids = all.split_whitespace().map(|id| id.parse().unwrap());
        ids.find(is_front).unwrap()
    }
}

fn config(files: &Path) -> String {
    let file = |name: &str| files.join(name).display().to_string();
    let manual = CONFIG.replacen("acceptance = \"automatic\"", "acceptance = \"manual\"", 1);
    format!(
        "{manual}\n[api]\nlisten = \"{SERVER}:{PORT}\"\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [[principal]]\nname = \"vendor\"\nclient_ca = \"{}\"\n",
        file("gateway.pem"),
        file("gateway.key"),
        file("vendor-ca.pem"),
    )
}

fn openssl(words: &str, folder: &Path) {
    let mut command = Command::new("openssl");
    tool::run(command.args(words.split(' ')).current_dir(folder)).unwrap();
}

pub fn authority(folder: &Path, name: &str) {
    openssl(
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name} \
             -keyout {name}.key -out {name}.pem"
        ),
        folder,
    );
}

/// A certificate of an authority, and its key.
pub fn signed(folder: &Path, authority: &str, name: &str, extension: &str) {
    fs::write(folder.join("extension"), extension).unwrap();
    openssl(
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout \
             {name}.key -out {name}.csr"
        ),
        folder,
    );
    openssl(
        &format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial \
             -days 30 -extfile extension -out {name}.pem"
        ),
        folder,
    );
}

#[test]
fn a_key_does_from_another_host_what_its_principal_may() {
    let scene = Scene::start();
    let (vendor, _) = scene.key("vendor-key", &["--principal", "vendor"]);
    let (acme, acme_key) = scene.key("acme-key", &["--principal", "acme", "--expires", "90d"]);
    let (reader, _) = scene.key("reader-key", &["--principal", "vendor", "--read-only"]);
    assert_eq!(scene.state(), "pending-acceptance");

    let (code, said) = scene.remote(&acme, &["accept", "acme-web"]);
    assert!(code == Some(1) && said.contains("only the provider `vendor` may"), "{said}");
    let (code, said) = scene.remote(&reader, &["accept", "acme-web"]);
    assert!(code == Some(1) && said.contains("may only read"), "{said}");
    let (code, said) = scene.remote(&reader, &["connections", "--json"]);
    assert!(code == Some(0) && said.contains("acme-web"), "{said}");
    assert_eq!(scene.state(), "pending-acceptance");
    let (code, said) = scene.remote(&vendor, &["accept", "acme-web"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(scene.state(), "available");

    // Another principal's objects read as unknown, and its keys are not made.
    let (code, said) = scene.remote(&acme, &["connections", "globex-web"]);
    assert!(code == Some(1) && said.contains("there is no endpoint"), "{said}");
    for words in [&["--principal", "vendor"][..], &["--administrator"][..]] {
        let (code, said) = scene.remote(&acme, &[&["key", "create"][..], words].concat());
        assert!(code == Some(1) && said.contains("may not make or revoke keys"), "{said}");
    }
    let forever = ["key", "create", "--principal", "acme"];
    let (code, said) = scene.remote(&acme, &forever);
    assert!(code == Some(1) && said.contains("must not outlive"), "{said}");
    let (code, said) = scene.remote(&acme, &["reload"]);
    assert!(code == Some(1) && said.contains("may not do this"), "{said}");

    // Nothing that is kept or shown has the secret.
    let secret = acme_key.rsplit('_').next().unwrap();
    let listed = tool::run(scene.daemon.cli().args(["key", "list", "--json"])).unwrap();
    assert!(listed.contains("10.9.0.2") && !listed.contains(secret), "{listed}");
    for entry in fs::read_dir(scene.daemon.state_dir()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&content).contains(secret));
    }
    assert!(!scene.daemon.output().contains(secret));
}

#[test]
fn wrong_revoked_and_expired_keys_are_refused_and_wait() {
    let scene = Scene::start();
    let (path, key) = scene.key("key", &["--principal", "acme"]);
    let bearer = |key: &str| format!("authorization: Bearer {key}");
    let altered =
        format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    let begin = Instant::now();
    for wrong in [bearer(&altered), bearer("none"), "x-none: 1".to_owned()] {
        let (code, said) = scene.curl("/v1/status", &["--header", &wrong]);
        assert_eq!(code, 401, "{said}");
    }
    // Half a second, one, and two.
    assert!(begin.elapsed() >= Duration::from_millis(3_500));
    let begin = Instant::now();
    assert_eq!(scene.curl("/v1/status", &["--header", &bearer(&key)]).0, 200);
    assert!(begin.elapsed() < Duration::from_secs(2), "a right key waits for wrong ones");
    assert_eq!(scene.curl("/v1/openapi.json", &[]).0, 401, "strangers see nothing");

    let (brief, _) = scene.key("brief", &["--principal", "acme", "--expires", "1s"]);
    wait_until(SOON, "the key has expired", || {
        let (code, said) = scene.remote(&brief, &["status", "--json"]);
        code == Some(1) && said.contains("has expired")
    })
    .unwrap();

    let id = key.split('_').nth(1).unwrap();
    tool::run(scene.daemon.cli().args(["key", "revoke", id])).unwrap();
    let (code, said) = scene.remote(&path, &["status"]);
    assert!(code == Some(1) && said.contains("no access key of this gateway"), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, said) = scene.remote(&path, &["status"]);
    assert!(code == Some(1) && said.contains("chmod 600"), "{said}");
    let metrics = tool::run(scene.daemon.cli().arg("metrics")).unwrap();
    let refused =
        metrics.lines().find(|line| line.starts_with("privatelink_api_wrong_keys_total "));
    let count: f64 = refused.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(count >= 5.0, "{count}");
}

#[test]
fn a_client_certificate_acts_for_the_principal_of_its_authority() {
    let scene = Scene::start();
    signed(scene.files.path(), "ca", "stranger", "extendedKeyUsage=clientAuth");
    let ask = |name: &str| {
        let cert = scene.path(&format!("{name}.pem")).display().to_string();
        let key = scene.path(&format!("{name}.key")).display().to_string();
        let post = ["--header", "content-type: application/json", "--data", "{}"];
        let words = [&["--cert", &cert, "--key", &key][..], &post[..]].concat();
        let mut command = scene.desk().command("curl");
        command.args(["--silent", "--max-time", "30", "--cacert"]).arg(scene.path("ca.pem"));
        command.args(["--write-out", "\n%{http_code}"]).args(words);
        let url = format!("https://{SERVER}:{PORT}/v1/connections/acme-web/accept");
        let output = command.arg(url).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    // The handshake itself fails for a certificate of no authority.
    assert!(ask("stranger").ends_with("000"), "{}", ask("stranger"));
    assert_eq!(scene.state(), "pending-acceptance");
    let said = ask("vendor");
    assert!(said.ends_with("200"), "{said}");
    assert_eq!(scene.state(), "available");
    let connection = scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap();
    assert!(connection.to_string().contains("of vendor"), "{connection}");

    let without = config(scene.files.path()).replace("client_ca = ", "# ");
    reload(&scene.daemon, &without).unwrap();
    wait_until(SOON, "the authority counts no more", || !ask("vendor").ends_with("200")).unwrap();
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let scene = Scene::start();
    let (key, _) = scene.key("key", &["--principal", "acme"]);
    assert_eq!(scene.remote(&key, &["status", "--json"]).0, Some(0));
    let front = scene.front();
    let subject = || {
        let words = format!("s_client -connect {SERVER}:{PORT}");
        let mut command = scene.desk().command("openssl");
        let output = command.args(words.split(' ')).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    signed(scene.files.path(), "ca", "renewed", &format!("subjectAltName=IP:{SERVER}"));
    fs::rename(scene.path("renewed.key"), scene.path("gateway.key")).unwrap();
    fs::rename(scene.path("renewed.pem"), scene.path("gateway.pem")).unwrap();
    wait_until(SOON, "the new certificate is shown", || {
        let shown = subject();
        shown.contains("CN = renewed") || shown.contains("CN=renewed")
    })
    .unwrap();
    assert_eq!(scene.front(), front, "in the same process");
    assert_eq!(scene.remote(&key, &["status", "--json"]).0, Some(0));
    // A faulty file changes nothing, and is a problem.
    fs::write(scene.path("gateway.pem"), "none").unwrap();
    wait_until(SOON, "the fault is reported", || {
        scene.daemon.ask(&["reload", "--json"]).unwrap();
        scene.daemon.status().unwrap()["problems"].to_string().contains("gateway.pem")
    })
    .unwrap();
    assert_eq!(scene.remote(&key, &["status", "--json"]).0, Some(0));
}

#[test]
fn the_process_has_no_rights_and_is_started_again() {
    let scene = Scene::start();
    let (key, _) = scene.key("key", &["--principal", "acme"]);
    let front = scene.front();
    let status = fs::read_to_string(format!("/proc/{front}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(':').unwrap().1.split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(field("Seccomp:"), ["2"], "{status}");
    assert_eq!(field("NoNewPrivs:"), ["1"], "{status}");
    for set in ["CapEff:", "CapPrm:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(field(set)[0], 16).unwrap(), 0, "{status}");
    }
    assert!(!field("Uid:").contains(&"0"), "{status}");
    let limits = fs::read_to_string(format!("/proc/{front}/limits")).unwrap();
    let processes = limits.lines().find(|line| line.starts_with("Max processes")).unwrap();
    assert!(processes.split_whitespace().nth(2) == Some("0"), "{limits}");

    let id = nix::unistd::Pid::from_raw(i32::try_from(front).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until(SOON, "another process serves", || {
        scene.remote(&key, &["status", "--json"]).0 == Some(0)
    })
    .unwrap();
    assert_ne!(scene.front(), front);
}

#[test]
fn slow_clients_and_large_bodies_hold_nothing_up() {
    let scene = Scene::start();
    let (key, text) = scene.key("key", &["--principal", "acme"]);
    // Some say nothing, others never end their handshake.
    let slow: Vec<_> = (0..24)
        .map(|number| {
            let stream = scene.desk().run(|| client::connect(at(SERVER, PORT), SOON)).unwrap();
            if number % 2 == 0 {
                (&stream).write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
            }
            stream
        })
        .collect();
    let begin = Instant::now();
    assert_eq!(scene.remote(&key, &["status", "--json"]).0, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let body = scene.path("body");
    fs::write(&body, vec![b' '; 65 << 10]).unwrap();
    let bearer = format!("authorization: Bearer {text}");
    let data = format!("@{}", body.display());
    let json = "content-type: application/json";
    let words = ["--header", &bearer, "--header", json, "--data-binary", &data];
    let (code, said) = scene.curl("/v1/keys", &words);
    assert_eq!(code, 413, "{said}");
    let long = format!("x-long: {}", "x".repeat(70 << 10));
    let mut command = scene.desk().command("curl");
    command.args(["--silent", "--cacert"]).arg(scene.path("ca.pem"));
    command.args(["--header", &bearer, "--header", &long, "--write-out", "%{http_code}"]);
    let output = command.arg(format!("https://{SERVER}:{PORT}/v1/status")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.ends_with("200"), "{said}");
    // The slow ones are hung up on.
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < 64);
    }
    let status: Value = scene.daemon.status().unwrap();
    assert_eq!(status["problems"].to_string(), "[]");
}

#[test]
fn changes_and_refusals_are_on_record() {
    let scene = Scene::start();
    let (vendor, key) = scene.key("vendor-key", &["--principal", "vendor"]);
    let (acme, _) = scene.key("acme-key", &["--principal", "acme"]);
    assert_eq!(scene.remote(&vendor, &["accept", "acme-web", "--reason", "ok"]).0, Some(0));
    assert_eq!(scene.remote(&acme, &["accept", "acme-web"]).0, Some(1));
    assert_eq!(scene.curl("/v1/status", &["--header", "authorization: Bearer none"]).0, 401);
    let entries = || {
        let list = scene.daemon.ask(&["audit", "--json"]).unwrap();
        list.as_array().unwrap().clone()
    };
    wait_until(SOON, "the refusal is on record", || {
        entries().iter().any(|one| one["action"] == "GET /v1/status")
    })
    .unwrap();
    let all = entries();
    let accepted = |one: &&Value| one["kind"] == "attempt" && one["action"] == "accept";
    let attempts: Vec<&Value> = all.iter().filter(accepted).collect();
    let [first, second] = attempts.as_slice() else { panic!("{all:?}") };
    let id = key.split('_').nth(1).unwrap();
    assert_eq!((&first["key"], &first["address"]), (&id.into(), &"10.9.0.2".into()));
    assert_eq!(first["old"]["state"], "pending-acceptance");
    assert_eq!(first["new"]["reason"], "ok");
    let result = |number: &Value| all.iter().find(|one| &one["attempt"] == number).unwrap();
    assert_eq!(result(&first["number"])["result"], "done");
    assert_eq!(result(&second["number"])["result"], "refused");
    let secret = key.rsplit('_').next().unwrap();
    assert!(all.iter().all(|one| !one.to_string().contains(secret)));

    // The event refers to the attempt, and a principal sees its own entries.
    let events = scene.daemon.ask(&["events", "--kind", "connection-available", "--json"]).unwrap();
    assert_eq!(events[0]["audit"], first["number"], "{events}");
    let (code, own) = scene.remote(&acme, &["audit", "--json"]);
    assert_eq!(code, Some(0), "{own}");
    let own: Value = serde_json::from_str(&own).unwrap();
    assert!(
        own.as_array().unwrap().iter().all(|one| one["principals"] == serde_json::json!(["acme"]))
    );
    assert_eq!(scene.remote(&acme, &["audit", "--verify"]).0, Some(1));

    let verified = tool::run(scene.daemon.cli().args(["audit", "--verify"])).unwrap();
    assert!(verified.contains("are whole"), "{verified}");
    let folder = scene.daemon.state_dir().join("audit");
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"ok\"", "\"no\"", 1)).unwrap();
    let output = scene.daemon.cli().args(["audit", "--verify"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("was altered"));
}
