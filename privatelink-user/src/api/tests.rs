//! The description of the interface against the interface.

use std::collections::BTreeSet;

use axum::{body::Body, http::StatusCode};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{
    doorkeeper::{Doorkeeper, Limits},
    routes,
};
use crate::{access::Register, audit::Audit, interface::path};

fn described() -> Value {
    serde_json::to_value(routes::document()).unwrap()
}

#[test]
fn every_path_is_described() {
    let document = described();
    let paths: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = include_str!("../interface/path.rs").split("&str = \"").skip(1);
    let expected: BTreeSet<&str> = expected.map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(expected.contains(path::STATUS));
    for path in expected {
        assert!(path == path::OPENAPI || paths.contains(path), "{path} is not described");
    }
}

#[test]
fn references_lead_somewhere_and_every_operation_is_described() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = described();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 8, "{found:?}");
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "nothing is at {reference}");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("200"), "{method} {path}");
            // What it does, and who may use it: the page about the API shows both.
            for key in ["summary", "description"] {
                assert!(operation[key].as_str().unwrap().len() > 10, "{method} {path}: {key}");
            }
            // OpenAPI requires it (section "Response Object").
            for (code, response) in responses {
                let description = response["description"].as_str().unwrap_or_default();
                assert!(description.len() > 5, "{method} {path}: {code}");
                assert_ne!(description, "See the body", "{method} {path}: {code}");
            }
            let problem = "#/components/schemas/Problem";
            let schema = &responses["503"]["content"]["application/json"]["schema"];
            assert_eq!(schema["$ref"], problem, "{method} {path}");
        }
    }
}

/// Handlers cannot ask the daemon without saying who asks; this finds those that answer without
/// asking it.
#[tokio::test]
async fn no_path_answers_an_unknown_caller() {
    let (requests, _asked) = mpsc::channel(1);
    let (_register, followed) = watch::channel(Register::of_this_user());
    let directory = tempfile::tempdir().unwrap();
    let audit = Audit::new(directory.path());
    let doorkeeper = Doorkeeper::new(Limits::DEFAULT, followed, audit);
    let router = TowerToHyperService::new(routes::router(requests, doorkeeper));
    let document = serde_json::to_value(routes::document()).unwrap();
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let request = axum::http::Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(path.replace(['{', '}'], "x"))
                .header("host", "x")
                .header("content-type", "application/json")
                .body(Body::from("{}"))
                .unwrap();
            let answer = router.call(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {path}");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen} operations");
    assert!(document["paths"].get(path::OPENAPI).is_none(), "the one that is everybody's");
}
