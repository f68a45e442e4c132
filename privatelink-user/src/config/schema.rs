//! The JSON schema of a configuration, for editors.
//!
//! The decoder's own declarations make it: no key can be in one and not in the other. What a key
//! means is said by the reference page.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::{
    decode::{List, OneOrMore},
    raw,
};
use crate::model::{
    AcceptancePolicy, Destination, DnsName, DnsPattern, DnsUnhealthy, Interface, LogField, Name,
    Number, OnDisallow, OnPending, OnReject, OnUnhealthy, Period, Port, PortRange, Protocol,
    Quantity, StatusCodes, Stickiness, TargetAddress, WebhookUrl,
};

/// The page that describes every key.
const REFERENCE: &str = include_str!("../../../docs/configuration.md");

/// What can be described to an editor.
pub(super) trait Described {
    /// Its schema.
    fn schema() -> Value;
}

/// The schema of one file of a configuration.
pub fn schema() -> Value {
    let mut schema = raw::Document::schema();
    if let Some(root) = schema.as_object_mut() {
        root.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
        root.insert("title".into(), json!("privatelink configuration"));
    }
    schema
}

/// A table with these keys: name, schema, whether it is required.
pub(super) fn table(title: &str, keys: Vec<(&'static str, Value, bool)>) -> Value {
    let required: Vec<_> = keys.iter().filter(|key| key.2).map(|key| key.0).collect();
    let mut properties = Map::new();
    for (key, mut schema, _) in keys {
        if let (Some(meaning), Some(object)) = (meaning(title, key), schema.as_object_mut()) {
            object.insert("description".into(), json!(meaning));
        }
        properties.insert(key.to_owned(), schema);
    }
    let mut table = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty()
        && let Some(object) = table.as_object_mut()
    {
        object.insert("required".into(), json!(required));
    }
    table
}

/// What the reference says of a key: its meaning, and what it is unless it is given.
pub(super) fn meaning(title: &str, key: &str) -> Option<String> {
    let heading = match title {
        raw::RULE_TITLE => "### Security rules",
        raw::LIMITS_TITLE => "### `limits`",
        _ => title,
    };
    let is_heading = |line: &&str| line.starts_with('#') && line.contains(heading);
    let mut lines = REFERENCE.lines().skip_while(|line| !is_heading(line)).skip(1);
    let row = lines
        .by_ref()
        .take_while(|line| !line.starts_with('#'))
        .find_map(|line| line.strip_prefix(&format!("| `{key}` | ")))?;
    let mut cells = row.trim_end_matches(" |").split(" | ").skip(1);
    let (default, meaning) = (cells.next()?, cells.next()?);
    Some(match default {
        "required" => format!("{meaning}."),
        default => format!("{meaning}. Default: {}.", default.replace('`', "")),
    })
}

fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn either(schemas: &[Value]) -> Value {
    json!({ "anyOf": schemas })
}

/// Schemas that depend on nothing.
macro_rules! described {
    ($($type:ty: $schema:expr;)*) => {$(
        impl Described for $type {
            fn schema() -> Value {
                $schema
            }
        }
    )*};
}

described! {
    String: json!({ "type": "string" });
    bool: json!({ "type": "boolean" });
    Name: text("^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$");
    Interface: text("^[^/:\\s]{1,15}$");
    DnsName: text("^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\\.?$");
    DnsPattern: text("^(\\*\\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\\.?$");
    IpAddr: either(&[
        json!({ "type": "string", "format": "ipv4" }),
        json!({ "type": "string", "format": "ipv6" }),
    ]);
    IpNet: text("^[0-9A-Fa-f:.]+/[0-9]{1,3}$");
    raw::Pool: text("^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$");
    SocketAddr: text("^.+:[0-9]{1,5}$");
    PathBuf: text("^/");
    WebhookUrl: text("^https?://[^/@]+(/.*)?$");
    Port: json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX });
    PortRange: either(&[Port::schema(), text("^[0-9]{1,5}(-[0-9]{1,5})?$")]);
    StatusCodes: either(&[
        json!({ "type": "integer", "minimum": 100, "maximum": 599 }),
        text("^\\s*[1-5][0-9]{2}\\s*(-\\s*[1-5][0-9]{2}\\s*)?(,\\s*[1-5][0-9]{2}\\s*(-\\s*[1-5][0-9]{2}\\s*)?)*$"),
    ]);
    Quantity: either(&[
        json!({ "type": "integer", "minimum": 1 }),
        text("^[0-9][0-9_]*[kMGT]?$"),
    ]);
    raw::Routers: either(&[IpAddr::schema(), List::<IpAddr>::schema()]);
    raw::Who: either(&[words(&["*"]), Name::schema()]);
    raw::Addresses: either(&[words(&["auto"]), OneOrMore::<IpAddr>::schema()]);
    TargetAddress: either(&[IpAddr::schema(), DnsName::schema()]);
    Protocol: words(&["tcp", "udp"]);
    AcceptancePolicy: words(&["manual", "automatic"]);
    OnDisallow: words(&["cut", "keep"]);
    DnsUnhealthy: words(&["keep", "withdraw"]);
    OnPending: words(&["reset", "drop"]);
    OnUnhealthy: words(&["reset", "keep"]);
    Stickiness: words(&["none", "client"]);
    OnReject: either(&[words(&["reset", "drop"]), raw::OnRejectDrain::schema()]);
    Destination: text("^(stdout|(unix:)?/.+)$");
    raw::FlowLogFormat: words(&["json", "vpc"]);
    LogField: words(&LogField::ALL.iter().map(|field| field.word()).collect::<Vec<_>>());
    raw::ProbeProtocol: words(&["tcp", "http", "https", "grpc"]);
}

impl<const MIN: u64, const MAX: u64> Described for Period<MIN, MAX> {
    fn schema() -> Value {
        text("^\\s*([0-9]+\\s*[A-Za-z]+\\s*)+$")
    }
}

impl<const MIN: u32, const MAX: u32> Described for Number<MIN, MAX> {
    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<T: Described> Described for List<T> {
    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Described> Described for OneOrMore<T> {
    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema(), "minItems": 1 })
    }
}
