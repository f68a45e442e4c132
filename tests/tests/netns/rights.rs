//! Every operation of the API against every kind of caller: a table that is declared here, and that
//! the gateway must agree with in every cell.

use std::collections::BTreeSet;

use privatelink_tests::lab::Daemon;
use serde_json::{Value, json};

use crate::fixture::{CONFIG, lay};

/// Who asks: root, the provider of `web`, the consumer of `acme-web`, a third tenant, and a user
/// without any rights.
const CALLERS: [Option<&str>; 5] =
    [None, Some("games"), Some("mail"), Some("news"), Some("nobody")];

/// The code that each caller gets, in the order of [`CALLERS`].
type Row = (&'static str, &'static str, Option<fn() -> Value>, [u16; 5]);

fn service() -> Value {
    json!({
        "network": "vendor", "principal": "vendor", "allow": ["acme"],
        "source_addresses": ["10.0.0.232/30"], "target": [{ "address": "10.0.0.12" }],
        "listener": [{ "protocol": "tcp", "port": 443 }],
    })
}

fn endpoint() -> Value {
    json!({ "service": "pay", "network": "acme" })
}

fn both() -> Value {
    let (mut service, mut endpoint) = (service(), endpoint());
    service["name"] = "pay".into();
    endpoint["name"] = "acme-pay".into();
    json!({ "service": [service], "endpoint": [endpoint] })
}

/// A key for the consumer.
fn key() -> Value {
    json!({ "principal": "acme" })
}

fn nothing() -> Value {
    json!({})
}

/// Operations on what the API has made: `pay` of the vendor and `acme-pay` of acme; and on what the
/// file declares: `web` and `acme-web`. All writes are dry runs, so that each cell finds the same.
const ROWS: &[Row] = &[
    ("GET", "/v1/status", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/networks", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/networks/acme", None, [200, 404, 200, 404, 403]),
    ("GET", "/v1/networks/none", None, [404, 404, 404, 404, 403]),
    ("GET", "/v1/networks/acme/names", None, [409, 404, 409, 404, 403]),
    ("GET", "/v1/services", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/services/pay", None, [200, 200, 404, 404, 403]),
    ("GET", "/v1/services/none", None, [404, 404, 404, 404, 403]),
    // A name that is taken is all that others learn.
    ("PUT", "/v1/services/pay?dry_run=1", Some(service), [200, 200, 409, 409, 403]),
    ("PUT", "/v1/services/new?dry_run=1", Some(service), [200, 200, 403, 403, 403]),
    ("PUT", "/v1/services/web?dry_run=1", Some(service), [409, 409, 409, 409, 403]),
    // An endpoint leads to it.
    ("DELETE", "/v1/services/pay?dry_run=1", None, [409, 409, 404, 404, 403]),
    ("DELETE", "/v1/services/web?dry_run=1", None, [409, 409, 404, 404, 403]),
    ("DELETE", "/v1/services/none?dry_run=1", None, [404, 404, 404, 404, 403]),
    (
        "PUT",
        "/v1/services/pay/targets/10.0.0.9?dry_run=1",
        Some(nothing),
        [200, 200, 404, 404, 403],
    ),
    (
        "PUT",
        "/v1/services/web/targets/10.0.0.9?dry_run=1",
        Some(nothing),
        [409, 409, 404, 404, 403],
    ),
    (
        "PUT",
        "/v1/services/none/targets/10.0.0.9?dry_run=1",
        Some(nothing),
        [404, 404, 404, 404, 403],
    ),
    ("DELETE", "/v1/services/pay/targets/10.0.0.9?dry_run=1", None, [404, 404, 404, 404, 403]),
    ("DELETE", "/v1/services/pay/targets/10.0.0.13?dry_run=1", None, [200, 200, 404, 404, 403]),
    // The provider is not offered its own service.
    ("GET", "/v1/catalogue", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/catalogue/pay", None, [200, 404, 200, 404, 403]),
    ("GET", "/v1/catalogue/none", None, [404, 404, 404, 404, 403]),
    ("GET", "/v1/endpoints", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/endpoints/acme-pay", None, [200, 404, 200, 404, 403]),
    ("GET", "/v1/endpoints/none", None, [404, 404, 404, 404, 403]),
    // Both parties test, each sees its own side; only the consumer chooses a client.
    ("POST", "/v1/endpoints/acme-pay/test", Some(nothing), [200, 200, 200, 404, 403]),
    ("POST", "/v1/endpoints/acme-pay/test?from=10.1.0.2", Some(nothing), [200, 403, 200, 404, 403]),
    ("POST", "/v1/endpoints/acme-pay/test?from=10.0.0.2", Some(nothing), [409, 403, 409, 404, 403]),
    ("POST", "/v1/endpoints/none/test", Some(nothing), [404, 404, 404, 404, 403]),
    ("PUT", "/v1/endpoints/acme-pay?dry_run=1", Some(endpoint), [200, 409, 200, 409, 403]),
    // To all others, neither the network nor the service is there.
    ("PUT", "/v1/endpoints/new?dry_run=1", Some(endpoint), [200, 422, 200, 422, 403]),
    ("PUT", "/v1/endpoints/acme-web?dry_run=1", Some(endpoint), [409, 409, 409, 409, 403]),
    ("DELETE", "/v1/endpoints/acme-pay?dry_run=1", None, [200, 404, 200, 404, 403]),
    ("DELETE", "/v1/endpoints/acme-web?dry_run=1", None, [409, 404, 409, 404, 403]),
    ("DELETE", "/v1/endpoints/none?dry_run=1", None, [404, 404, 404, 404, 403]),
    ("GET", "/v1/objects", None, [200, 200, 200, 200, 403]),
    ("POST", "/v1/objects?dry_run=1", Some(both), [200, 409, 409, 409, 403]),
    ("POST", "/v1/objects?dry_run=1", Some(nothing), [200, 200, 200, 200, 403]),
    ("GET", "/v1/targets", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/targets?service=web", None, [200, 200, 404, 404, 403]),
    ("GET", "/v1/flows", None, [200, 403, 403, 403, 403]),
    ("GET", "/v1/whois?source=10.0.0.240:5", None, [200, 200, 200, 200, 403]),
    // The gateway of this test shares its state with no other.
    ("GET", "/v1/fleet", None, [409, 403, 403, 403, 403]),
    ("GET", "/v1/connections", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/connections/acme-pay", None, [200, 200, 200, 404, 403]),
    ("GET", "/v1/connections/none", None, [404, 404, 404, 404, 403]),
    // It waits, and is accepted again and again; the consumer sees it, but does not decide.
    ("POST", "/v1/connections/acme-pay/accept", Some(nothing), [200, 200, 403, 404, 403]),
    ("POST", "/v1/connections/acme-pay/reject", Some(nothing), [200, 200, 403, 404, 403]),
    ("POST", "/v1/connections/acme-pay/request", Some(nothing), [409, 403, 409, 404, 403]),
    ("GET", "/v1/events", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/metrics", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/keys", None, [200, 200, 200, 200, 403]),
    ("POST", "/v1/keys", Some(key), [200, 403, 200, 403, 403]),
    ("DELETE", "/v1/keys/0123456789ab", None, [404, 404, 404, 404, 403]),
    // Without a backbone there is nothing to show or to change, even to administrators.
    ("GET", "/v1/sites", None, [409, 403, 403, 403, 403]),
    ("POST", "/v1/sites/rotate-key", Some(nothing), [409, 403, 403, 403, 403]),
    ("GET", "/v1/audit", None, [200, 200, 200, 200, 403]),
    ("GET", "/v1/audit/check", None, [200, 403, 403, 403, 403]),
    ("POST", "/v1/plan", Some(nothing), [200, 403, 403, 403, 403]),
    ("POST", "/v1/reload", Some(nothing), [200, 403, 403, 403, 403]),
    ("POST", "/v1/grow", Some(nothing), [200, 403, 403, 403, 403]),
];

/// What is tested elsewhere: one never ends, the other ends the daemon.
const ELSEWHERE: [(&str, &str); 2] = [("GET", "/v1/events/follow"), ("POST", "/v1/down")];

/// The file of the other tests, with a user for each principal.
fn config() -> String {
    let principal = |name: &str, user: &str| {
        format!("[[principal]]\nname = \"{name}\"\nusers = [\"{user}\"]\n")
    };
    CONFIG.to_owned()
        + &principal("vendor", "games")
        + &principal("acme", "mail")
        + &principal("globex", "news")
}

/// Whether a request belongs to an operation of the document.
fn is_of(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    let parts = template.iter().zip(&path);
    template.len() == path.len()
        && parts.into_iter().all(|(part, given)| part.starts_with('{') || part == given)
}

/// Whether an answer is the audit log's, and holds only what the third tenant did.
fn is_own_record(path: &str, said: &str) -> bool {
    let entries: Vec<Value> = serde_json::from_str(said).unwrap_or_default();
    path == "/v1/audit" && !entries.is_empty() && entries.iter().all(|one| one["by"] == "news")
}

#[test]
fn every_caller_gets_what_the_table_says_from_every_operation() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();
    let mut made = both();
    made["service"][0]["target"] = json!([{ "address": "10.0.0.12" }, { "address": "10.0.0.13" }]);
    let (code, said) = daemon.send("POST", "/v1/objects", None, &made).unwrap();
    assert_eq!(code, 200, "{said}");
    let mut wrong = Vec::new();
    for (method, path, body, codes) in ROWS {
        let body = body.map_or_else(nothing, |body| body());
        for (user, expected) in CALLERS.iter().zip(codes) {
            let (code, said) = daemon.send(method, path, *user, &body).unwrap();
            if code != *expected {
                let user = user.unwrap_or("root");
                wrong.push(format!("{method} {path} by {user}: {code}, not {expected}: {said}"));
            }
            // A third tenant learns nothing of what is between the two; of the audit log, its own
            // words.
            let names = ["acme-pay", "\"pay\"", "10.0.0.12", "10.0.0.13"];
            let own = path.contains("pay") || is_own_record(path, &said);
            let seen = names.iter().find(|name| said.contains(*name) && !own);
            if user == &Some("news")
                && let Some(seen) = seen
            {
                wrong.push(format!("{method} {path} shows {seen} to a third tenant: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
    // And the table has all of them.
    let (_, document) = daemon.request("GET", "/v1/openapi.json", None).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut missing = BTreeSet::new();
    for (template, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let is_here = |(known, path): (&str, &str)| known == method && is_of(template, path);
            let rows = ROWS.iter().map(|(method, path, ..)| (*method, *path));
            if !rows.chain(ELSEWHERE).any(is_here) {
                missing.insert(format!("{method} {template}"));
            }
        }
    }
    assert!(missing.is_empty(), "no row for {missing:?}");
    assert_eq!(daemon.status().unwrap()["ready"], true);
}
