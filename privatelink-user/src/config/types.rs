//! The types that keys of several tables share.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{
    address::{address, prefix},
    decode::{Decode, either, text, words},
    diagnostic::Report,
    toml_value::TomlValue,
    written::{bound, quoted},
};
use crate::{
    etcd::Endpoint,
    model::{
        DnsName, DnsPattern, Interface, Invalid, Line, Name, Namespace, Number, Period, Port,
        PortRange, PublicKey, Quantity, StatusCodes, WebhookUrl, Words,
    },
};

/// One label of a DNS name, as a regular expression.
const LABEL: &str = "[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?";

/// The schema of DNS names, each of which begins as `prefix` says.
fn dns_name(prefix: &str) -> Value {
    text(&format!("^{prefix}{LABEL}(\\.{LABEL})*\\.?$"))
}

/// Types that are written as a string: what a message expects, how the text is parsed, the type
/// and its plural in the reference, the schema.
macro_rules! from_text {
    ($($type:ty: $expected:literal, $parse:expr, $kind:literal $kinds:literal, $schema:expr;)*) => {$(
        impl Decode for $type {
            fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
                let text = value.text($expected, report)?;
                value.accept($parse(text), report)
            }

            fn schema() -> Value {
                $schema
            }

            fn kind() -> String {
                $kind.to_owned()
            }

            fn kinds() -> String {
                $kinds.to_owned()
            }
        }
    )*};
}

from_text! {
    String: "a string", |text: &str| Ok(text.to_owned()),
        "text" "text", json!({ "type": "string" });
    Line: "a line of text in quotes", Line::from_str,
        "line of text, at most 500 bytes" "lines of text",
        json!({ "type": "string", "minLength": 1, "maxLength": Line::LONGEST });
    Name: "a name in quotes", Name::from_str,
        "name" "names", text("^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$");
    Interface: "an interface name in quotes", Interface::from_str,
        "interface name, 1 to 15 characters" "interface names", text("^[^/:\\s]{1,15}$");
    Namespace: "the name of a network namespace in quotes", Namespace::from_str,
        "name of a network namespace" "names of network namespaces",
        text("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$");
    PublicKey: "a public key in quotes", PublicKey::from_str,
        "public key" "public keys", text("^[A-Za-z0-9+/]{43}=$");
    DnsName: "a DNS name in quotes", DnsName::from_str,
        "DNS name" "DNS names", dns_name("");
    DnsPattern: "a DNS name in quotes", DnsPattern::from_str,
        "DNS name, or `*.` and a name" "DNS names, or `*.` and a name", dns_name("(\\*\\.)?");
    IpAddr: "an IP address in quotes", address,
        "address" "addresses", either(&[
            json!({ "type": "string", "format": "ipv4" }),
            json!({ "type": "string", "format": "ipv6" }),
        ]);
    IpNet: "an address prefix in quotes", prefix,
        "prefix" "prefixes", text("^[0-9A-Fa-f:.]+/[0-9]{1,3}$");
    SocketAddr: "an address and port in quotes",
        |text: &str| text.parse().map_err(|_| Invalid::SocketAddress(text.into())),
        "address:port" "addresses with ports", text("^.+:[0-9]{1,5}$");
    WebhookUrl: "an http or https address in quotes", WebhookUrl::from_str,
        "http or https address" "http or https addresses", text("^https?://[^/@]+(/.*)?$");
    Endpoint: "an address in quotes",
        |text: &str| text.parse().map_err(|why| Invalid::Etcd(text.into(), why)),
        "https address with a port" "https addresses with ports",
        text("^https?://[^/@]+/?$");
    PathBuf: "a path in quotes",
        |text: &str| {
            let path = text.starts_with('/').then(|| text.into());
            path.ok_or_else(|| Invalid::RelativePath(text.into()))
        },
        "absolute path" "absolute paths", text("^/");
}

impl Decode for bool {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        value.value.as_bool().or_else(|| value.mistyped("true or false", report))
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }

    fn kind() -> String {
        "true or false".to_owned()
    }
}

impl<T: Words> Decode for T {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let choices: Vec<_> = T::ALL.iter().map(|one| (one.word(), *one)).collect();
        value.choose(&choices, report)
    }

    fn schema() -> Value {
        words(&T::ALL.iter().map(|one| one.word()).collect::<Vec<_>>())
    }

    fn kind() -> String {
        T::ALL.iter().map(|one| quoted(one.word())).collect::<Vec<_>>().join(", ")
    }
}

impl<const MIN: u64, const MAX: u64> Decode for Period<MIN, MAX> {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let text = value.text("a duration such as \"30s\"", report)?;
        value.accept(text.parse(), report)
    }

    fn schema() -> Value {
        text("^\\s*([0-9]+\\s*[A-Za-z]+\\s*)+$")
    }

    fn kind() -> String {
        format!("duration, {} to {}", bound(MIN), bound(MAX))
    }
}

impl<const MIN: u32, const MAX: u32> Decode for Number<MIN, MAX> {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let number = value.integer(report)?;
        value.accept(number.try_into(), report)
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }

    fn kind() -> String {
        format!("{MIN} to {MAX}")
    }
}

impl Decode for Port {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let number = value.integer(report)?;
        value.accept(number.try_into(), report)
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX })
    }

    fn kind() -> String {
        format!("1 to {}", u16::MAX)
    }
}

/// Types that are written as a number or as a string.
macro_rules! from_number_or_text {
    ($($type:ty: $expected:literal, $kind:literal $kinds:literal, $schema:expr;)*) => {$(
        impl Decode for $type {
            fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
                if value.value.is_integer() {
                    let number = value.integer(report)?;
                    return value.accept(number.try_into(), report);
                }
                let text = value.text($expected, report)?;
                value.accept(text.parse(), report)
            }

            fn schema() -> Value {
                either(&$schema)
            }

            fn kind() -> String {
                $kind.to_owned()
            }

            fn kinds() -> String {
                $kinds.to_owned()
            }
        }
    )*};
}

from_number_or_text! {
    PortRange: "a port or a range such as \"9092-9099\"", "ports" "ports",
        [Port::schema(), text("^[0-9]{1,5}(-[0-9]{1,5})?$")];
    Quantity: "a number, or one with a unit such as \"10G\"", "amount" "amounts",
        [json!({ "type": "integer", "minimum": 1 }), text("^[0-9][0-9_]*[kMGT]?$")];
    StatusCodes: "a status code or several such as \"200-399\"", "status codes" "status codes",
        [
            json!({ "type": "integer", "minimum": 100, "maximum": 599 }),
            text(&format!("^\\s*{CODES}(,\\s*{CODES})*$")),
        ];
}

/// One status code or a range of them, as a regular expression.
const CODES: &str = "[1-5][0-9]{2}\\s*(-\\s*[1-5][0-9]{2}\\s*)?";
