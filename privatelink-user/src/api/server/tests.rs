use std::{
    io::{Read as _, Write as _},
    time::Instant,
};

use super::*;
use crate::api::{
    front::keeper::way_to_server,
    request::{Refused, Request},
};

const TIGHT: Patience =
    Patience { head: Duration::from_millis(300), unread: Duration::from_millis(300) };
const FEW: Limits = Limits { of_owners: 2, ..Limits::DEFAULT };
const LONG: Duration = Duration::from_secs(20);

/// A server whose daemon answers nothing but lists of endpoints.
struct Served {
    _runtime: tokio::runtime::Runtime,
    _end: oneshot::Sender<()>,
    _register: watch::Sender<Register>,
    directory: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (requests, mut asked) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        let (register, followed) = watch::channel(Register::of_this_user());
        runtime.block_on(async {
            let listener = listen(&directory.path().join("s"), &Door::default()).unwrap();
            let doorkeeper = Doorkeeper::new(FEW, followed, Audit::new(directory.path()));
            let remotes = way_to_server().1;
            tokio::spawn(serve_within(TIGHT, doorkeeper, (listener, remotes), requests, ended));
        });
        runtime.spawn(async move {
            while let Some(question) = asked.recv().await {
                if let Request::Endpoints(reply) = question.request {
                    reply.send(Ok(Vec::new()));
                } else if let Request::Endpoint(name, reply) = question.request {
                    reply.send(Err(Refused::Unknown(format!("there is no endpoint `{name}`"))));
                }
            }
        });
        Self { _runtime: runtime, _end: end, _register: register, directory }
    }

    fn connect(&self) -> unix::net::UnixStream {
        let client = unix::net::UnixStream::connect(self.directory.path().join("s")).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client
    }

    /// Sends something and returns all that comes back.
    fn say(&self, text: &str) -> String {
        let mut client = self.connect();
        // A server that has heard enough hangs up.
        let _ = client.write_all(text.as_bytes());
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        answer
    }
}

const ASK: &str = "GET /v1/endpoints HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[test]
fn a_client_that_says_nothing_is_left() {
    let served = Served::start();
    let begin = Instant::now();
    for beginning in ["", "GET /v1/endpoints HTTP/1.1\r\nhost: x\r\n"] {
        assert!(!served.say(beginning).contains("200 OK"));
    }
    // One that has asked once is not kept for ever, either.
    let asked = served.say("GET /v1/endpoints HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(asked.starts_with("HTTP/1.1 200 OK"), "{asked}");
    assert!(begin.elapsed() < LONG);
}

#[test]
fn a_request_without_one_host_is_refused() {
    let served = Served::start();
    for head in ["", "host: x\r\nhost: x\r\n", "host: a b\r\n"] {
        let answer =
            served.say(&format!("GET /v1/endpoints HTTP/1.1\r\n{head}connection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert!(answer.contains(r#"{"error":""#), "{head:?}: {answer}");
    }
    let old = served.say("GET /v1/endpoints HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.0 200 OK"), "{old}");
}

#[test]
fn silent_clients_do_not_keep_others_out() {
    let served = Served::start();
    let _silent: Vec<_> = (0..8).map(|_| served.connect()).collect();
    let answer = served.say(ASK);
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("[]"), "{answer}");
}

#[test]
fn what_is_too_large_is_refused_without_being_read() {
    let served = Served::start();
    let head = "POST /v1/plan HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 99999999999\r\nconnection: close\r\n\r\n{";
    let answer = served.say(head);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains(r#"{"error":"#), "{answer}");
    let long = "x".repeat(1 << 20);
    let answer = served.say(&format!("GET /v1/endpoints HTTP/1.1\r\nhost: {long}\r\n\r\n"));
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[test]
fn a_refusal_by_the_head_ends_the_connection() {
    let served = Served::start();
    for (line, code) in [("PATCH /v1/endpoints", 405), ("POST /v1/objects?dry_run=x", 400)] {
        let head = "host: x\r\ncontent-type: application/json\r\ncontent-length: 2";
        let answer = served.say(&format!("{line} HTTP/1.1\r\n{head}\r\n\r\n{{}}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{line}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{line}: {answer}");
    }
}

#[test]
fn every_refusal_says_why() {
    let served = Served::start();
    for (line, code) in [
        ("GET /v1/nothing", 404),
        ("DELETE /v1/endpoints", 405),
        ("GET /v1/endpoints/acme", 404),
        ("GET /v1/endpoints/%ff", 400),
        ("GET /v1/flows?limit=0", 400),
        ("GET /v1/flows?limit=x", 400),
        ("GET /v1/flows?color=red", 400),
        ("POST /v1/plan", 415),
    ] {
        let answer =
            served.say(&format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{line}: {answer}");
        assert!(answer.contains(r#"{"error":""#), "{line}: {answer}");
    }
    let body = |body: &str| {
        let length = body.len();
        format!(
            "POST /v1/plan HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    for wrong in ["{", "[]", r#"{"files": 3}"#, r#"{"file": []}"#] {
        let answer = served.say(&body(wrong));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{wrong}: {answer}");
    }
}
