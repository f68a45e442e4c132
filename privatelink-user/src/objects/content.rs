//! The few keys of an object that are looked at, or written, before it is lowered.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::{model::DnsName, state::objects::Content};

/// The text under a key, if it is text.
pub(super) fn text<'a>(content: &'a Content, key: &str) -> Option<&'a str> {
    content.get(key)?.as_str()
}

/// Makes a target of a service, or gives it another weight. `false` if the service has a list of
/// targets that is none.
pub(super) fn register(content: &mut Content, address: &str, keys: &Map<String, Value>) -> bool {
    let list = content.entry("target").or_insert_with(|| Value::Array(Vec::new()));
    let Some(list) = list.as_array_mut() else { return false };
    let mut target = keys.clone();
    target.insert("address".into(), address.into());
    match list.iter_mut().find(|one| is_at(one, address)) {
        Some(one) => *one = Value::Object(target),
        None => list.push(Value::Object(target)),
    }
    true
}

/// Removes a target of a service. `false` if there is none.
pub(super) fn deregister(content: &mut Content, address: &str) -> bool {
    let Some(list) = content.get_mut("target").and_then(Value::as_array_mut) else { return false };
    let before = list.len();
    list.retain(|one| !is_at(one, address));
    let removed = list.len() < before;
    if list.is_empty() {
        content.remove("target");
    }
    removed
}

fn is_at(target: &Value, address: &str) -> bool {
    let own = target.get("address").and_then(Value::as_str);
    own.is_some_and(|own| canonical(own) == canonical(address))
}

/// One text for each address and each name.
fn canonical(address: &str) -> String {
    if let Ok(address) = address.parse::<IpAddr>() {
        return address.to_string();
    }
    address.parse::<DnsName>().map_or_else(|_| address.to_owned(), |name| name.as_str().to_owned())
}
