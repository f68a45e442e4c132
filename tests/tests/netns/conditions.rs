//! Requests that say what they expect, and requests that are sent twice, against a running daemon: by
//! curl, which knows nothing of this project.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::process::Command;

use privatelink_tests::lab::{Daemon, wait_until};
use serde_json::{Value, json};

use crate::fixture::{CONFIG, SOON, lay};

/// An answer: code, `ETag` and body.
struct Answer {
    code: u16,
    tag: Option<String>,
    body: Value,
}

/// Sends a request as root, with these headers.
fn send(daemon: &Daemon, method: &str, path: &str, headers: &[&str], body: &Value) -> Answer {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--request", method]);
    command.args(["--header", "content-type: application/json", "--data", &body.to_string()]);
    for header in headers {
        command.args(["--header", header]);
    }
    command.args(["--write-out", "\n%{http_code} %header{etag}", "--unix-socket"]);
    command.arg(daemon.socket()).arg(format!("http://privatelink{path}"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, last) = text.rsplit_once('\n').unwrap();
    let (code, tag) = last.split_once(' ').unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    let tag = Some(tag.to_owned()).filter(|tag| !tag.is_empty());
    Answer { code: code.parse().unwrap(), tag, body }
}

const PATH: &str = "/v1/endpoints/extra";

fn keys(rest: &Value) -> Value {
    let mut all = json!({ "service": "web", "network": "acme" });
    all.as_object_mut().unwrap().extend(rest.as_object().cloned().unwrap());
    all
}

/// How many events tell of a change by the API.
fn writes(daemon: &Daemon) -> usize {
    let events = daemon.ask(&["events", "--json"]).unwrap();
    let all = events.as_array().unwrap();
    all.iter().filter(|event| event.to_string().contains("through the API")).count()
}

#[test]
fn a_request_is_carried_out_once_and_only_over_what_it_expects() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    let put = |headers: &[&str], body: &Value| send(&daemon, "PUT", PATH, headers, body);
    // Nobody has it yet: a condition on a content fails, one on absence holds.
    assert_eq!(put(&["if-match: \"0\""], &keys(&json!({}))).code, 412);
    let made = put(&["if-none-match: *"], &keys(&json!({})));
    assert_eq!(made.code, 200, "{}", made.body);
    let first = made.tag.unwrap();
    assert_eq!(put(&["if-none-match: *"], &keys(&json!({}))).code, 412);
    // Of two who read the same content and write another, the second is told.
    let read = send(&daemon, "GET", PATH, &[], &json!({}));
    assert_eq!(read.tag.as_deref(), Some(first.as_str()));
    let expected = format!("if-match: {first}");
    let one = put(&[&expected], &keys(&json!({ "description": "one" })));
    assert_eq!(one.code, 200, "{}", one.body);
    let other = put(&[&expected], &keys(&json!({ "description": "other" })));
    assert_eq!(other.code, 412, "{}", other.body);
    let now = send(&daemon, "GET", PATH, &[], &json!({}));
    assert_eq!((now.tag, &now.body["definition"]["description"]), (one.tag, &json!("one")));
    assert_eq!(send(&daemon, "DELETE", PATH, &[&expected], &json!({})).code, 412);
}

#[test]
fn a_request_that_is_sent_again_is_answered_again_after_a_kill_as_well() {
    let lab = lay().unwrap();
    let mut daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    let key = ["idempotency-key: one-of-a-kind"];
    let body = keys(&json!({ "addresses": ["10.1.0.77"] }));
    let first = send(&daemon, "PUT", PATH, &key, &body);
    assert_eq!((first.code, &first.body["repeated"]), (200, &json!(false)), "{}", first.body);
    let told = writes(&daemon);
    daemon.kill();
    daemon.run().unwrap();
    wait_until(SOON, "the daemon answers", || daemon.status().is_ok()).unwrap();
    let again = send(&daemon, "PUT", PATH, &key, &body);
    assert_eq!((again.code, &again.body["repeated"]), (200, &json!(true)), "{}", again.body);
    assert_eq!(again.body["objects"], first.body["objects"]);
    assert_eq!(again.body["difference"], first.body["difference"]);
    assert_eq!(writes(&daemon), told, "it was not carried out again");
    // The same key for something else is a mistake of the client's.
    let wrong = send(&daemon, "PUT", PATH, &key, &keys(&json!({ "addresses": ["10.1.0.78"] })));
    assert_eq!(wrong.code, 409, "{}", wrong.body);
    let address = daemon.ask(&["endpoints", "extra", "--json"]).unwrap()["addresses"][0].clone();
    assert_eq!(address, "10.1.0.77");
}
