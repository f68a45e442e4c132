//! A user without rights who does all that it can to the control socket: many connections, huge
//! bodies, slow ones, and heads without an end.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{net::UnixStream, process::CommandExt as _},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::unistd::User;
use privatelink_tests::lab::{Daemon, Process, wait_until};

use crate::fixture::{CONFIG, SOON, lay};

/// A user that acts for the provider, and one that acts for no principal.
const VENDOR: &str = "games";
const STRANGER: &str = "nobody";

/// Connections of the stranger: each of these threads opens one after another.
const HUGE: usize = 40;
const SLOW: usize = 40;
/// Those that are only held.
const HELD: usize = 920;

/// How much more memory the stranger may cost.
const MOST: u64 = 64 << 20;
/// How long a principal may wait for an answer, and the process that asks for its processor.
const PROMPT: Duration = Duration::from_secs(1);

/// The environment variable that names the socket to the process that attacks it.
const CROWD: &str = "PRIVATELINK_TEST_CROWD";

const HEAD: &str = "POST /v1/plan HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

fn config() -> String {
    CONFIG.to_owned() + &format!("\n[[principal]]\nname = \"vendor\"\nusers = [\"{VENDOR}\"]\n")
}

/// Sends a body of 31 MiB, as far as the daemon takes it, and lingers.
fn huge(socket: &UnixStream) -> std::io::Result<()> {
    let length = 31 << 20;
    write!(&*socket, "{HEAD}content-length: {length}\r\n\r\n{{\"files\": \"")?;
    let block = vec![b'x'; 1 << 20];
    for _ in 0..30 {
        (&*socket).write_all(&block)?;
    }
    // The last byte never comes.
    let _ = (&*socket).read(&mut [0; 1024])?;
    Ok(())
}

/// Sends a byte of a body now and then.
fn slow(socket: &UnixStream) -> std::io::Result<()> {
    write!(&*socket, "{HEAD}content-length: 1000\r\n\r\n")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    loop {
        (&*socket).write_all(b" ")?;
        if (&*socket).read(&mut [0; 1024]).is_ok_and(|count| count == 0) {
            return Ok(());
        }
    }
}

/// Run as a stranger by the test below: occupies the socket until it is killed.
#[test]
fn crowd() {
    let Some(path) = std::env::var_os(CROWD) else { return };
    let connect = move || UnixStream::connect(&path);
    for index in 0..HUGE + SLOW {
        let connect = connect.clone();
        thread::spawn(move || {
            loop {
                let attack = if index < HUGE { huge } else { slow };
                let _ = connect().and_then(|socket| attack(&socket));
            }
        });
    }
    let mut held: Vec<UnixStream> = Vec::new();
    println!("attacking");
    loop {
        // Those that the daemon closed are replaced.
        held.retain(|socket| {
            let _ = socket.set_nonblocking(true);
            !(&*socket).read(&mut [0; 16]).is_ok_and(|count| count == 0)
        });
        while held.len() < HELD {
            let Ok(socket) = connect() else { break };
            let _ = (&socket).write_all(HEAD.as_bytes());
            held.push(socket);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The resident memory of the daemon.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes << 10
}

/// How long the principal's request takes, once its process runs.
fn answer_time(daemon: &Daemon) -> Duration {
    let begin = Instant::now();
    let (code, said) = daemon.request("GET", "/v1/connections", Some(VENDOR)).unwrap();
    assert_eq!(code, 200, "{said}");
    begin.elapsed()
}

#[test]
fn a_stranger_costs_little_memory_and_delays_no_principal() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();
    answer_time(&daemon);
    let before = resident(&daemon);
    let mut crowd = this_program_as(STRANGER, "strangers::crowd");
    crowd.env(CROWD, daemon.socket());
    let crowd = Process::spawn("crowd of strangers", crowd).unwrap();
    wait_until(SOON, "the attack begins", || crowd.output().contains("attacking")).unwrap();
    let (mut most, mut slowest) = (0, Duration::ZERO);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        slowest = slowest.max(answer_time(&daemon));
        most = most.max(resident(&daemon));
    }
    println!("{} KiB more, slowest answer {slowest:?}", most.saturating_sub(before) >> 10);
    assert!(most.saturating_sub(before) <= MOST, "{before} bytes became {most}");
    assert!(slowest < PROMPT, "an answer took {slowest:?}");
    assert!(daemon.status().is_ok());
}

/// This program, which runs one of its tests as another user.
fn this_program_as(user: &str, test: &str) -> Command {
    let user = User::from_name(user).unwrap().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).current_dir("/");
    // The group counts as well: that of root owns the socket.
    command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    command
}

/// The environment variables with socket and head for the process below, and how long it waits for
/// an answer, in seconds.
const ASKER: &str = "PRIVATELINK_TEST_ASKER";
const ASKER_HEAD: &str = "PRIVATELINK_TEST_ASKER_HEAD";
const ASKER_PATIENCE: &str = "PRIVATELINK_TEST_ASKER_PATIENCE";

/// Run as another user by the test below: sends a head and one byte of the body, and prints what
/// comes back.
#[test]
fn asker() {
    let Some(path) = std::env::var_os(ASKER) else { return };
    let patience: u64 = std::env::var(ASKER_PATIENCE).unwrap().parse().unwrap();
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(patience))).unwrap();
    (&socket).write_all(std::env::var(ASKER_HEAD).unwrap().as_bytes()).unwrap();
    let mut answer = [0; 512];
    match (&socket).read(&mut answer) {
        Ok(length) => println!("answer: {}", String::from_utf8_lossy(&answer[..length])),
        Err(error) => println!("no answer: {error}"),
    }
}

/// Sends a request whose head announces a body of this length, and one byte of it; returns the code
/// of the answer, if it came without the rest.
fn code_before_the_body(
    daemon: &Daemon,
    user: &str,
    path: &str,
    length: usize,
    patience: Duration,
) -> Option<String> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{{"
    );
    let mut asker = this_program_as(user, "strangers::asker");
    asker.env(ASKER, daemon.socket()).env(ASKER_HEAD, head);
    let output = asker.env(ASKER_PATIENCE, patience.as_secs().to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("answer: "), "{said}");
    let (_, answer) = said.split_once("answer: HTTP/1.1 ")?;
    Some(answer.get(..3)?.to_owned())
}

#[test]
fn rights_are_judged_by_the_head() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();
    let accept = "/v1/connections/acme-web/accept";
    for (user, path, length, code) in [
        (STRANGER, "/v1/plan", 31 << 20, Some("403")),
        (STRANGER, accept, 100, Some("403")),
        (STRANGER, "/v1/nothing", 100, Some("403")),
        (VENDOR, "/v1/plan", 100, Some("403")),
        (VENDOR, accept, (64 << 10) + 1, Some("413")),
        // The rest of the body is waited for.
        (VENDOR, accept, 64 << 10, None),
        ("root", "/v1/plan", 31 << 20, None),
        ("root", "/v1/plan", 33 << 20, Some("413")),
    ] {
        let patience = if code.is_some() { SOON * 2 } else { Duration::from_secs(2) };
        let found = code_before_the_body(&daemon, user, path, length, patience);
        assert_eq!(found.as_deref(), code, "{user} {path} {length}");
    }
}
