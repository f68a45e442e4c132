//! Values as they are written: words that stand for choices, and one shape or another.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::{
    config::{
        address::{address, prefix, target_address},
        decode::{Decode, List, OneOrMore, either, text, words},
        diagnostic::{Fault, Report},
        section::{self, Absence, Key, Section, SectionReader, section},
        source::Located,
        toml_value::TomlValue,
        written::{Written, quoted},
    },
    model::{
        Destination, DnsName, Invalid, Name, OnReject, RejectDrain, Target, TargetAddress, Weight,
        words,
    },
};

/// A prefix, or an address as the prefix of itself.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct PrefixOrAddress(pub IpNet);

impl Decode for PrefixOrAddress {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = value.value.as_str() else {
            return value.mistyped("an address or a prefix in quotes", report);
        };
        let pool = if text.contains('/') { prefix(text) } else { address(text).map(IpNet::from) };
        value.accept(pool, report).map(Self)
    }

    fn schema() -> Value {
        text("^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$")
    }

    fn kind() -> String {
        "prefix or address".to_owned()
    }

    fn kinds() -> String {
        "prefixes or addresses".to_owned()
    }
}

/// The name of a service here, or `SITE/SERVICE`.
#[derive(Debug, Clone)]
pub(in crate::config) struct ServiceName(pub Name);

impl Decode for ServiceName {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let text = value.text("a name in quotes", report)?;
        value.accept(Name::of_service(text), report).map(Self)
    }

    fn schema() -> Value {
        let name = "[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?";
        text(&format!("^({name}/)?{name}$"))
    }

    fn kind() -> String {
        "name of a service".to_owned()
    }
}

/// A network's routers: one, or a list.
#[derive(Debug)]
pub(in crate::config) struct Routers(pub List<IpAddr>);

impl Decode for Routers {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        if value.value.is_array() {
            return List::decode(value, report).map(Self);
        }
        IpAddr::located(value, report).map(|router| Self(vec![router]))
    }

    fn schema() -> Value {
        either(&[IpAddr::schema(), List::<IpAddr>::schema()])
    }

    fn kind() -> String {
        "address, or a list with one per family".to_owned()
    }
}

/// A principal, or all of them.
#[derive(Debug, Clone)]
pub(in crate::config) enum Who {
    Anybody,
    Principal(Name),
}

impl Decode for Who {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        if value.value.as_str() == Some("*") {
            return Some(Self::Anybody);
        }
        Name::decode(value, report).map(Self::Principal)
    }

    fn schema() -> Value {
        either(&[words(&["*"]), Name::schema()])
    }

    fn kind() -> String {
        "principal or `\"*\"`".to_owned()
    }

    fn kinds() -> String {
        "principals, or `[\"*\"]`".to_owned()
    }
}

impl Written for Who {
    fn written(&self) -> String {
        match self {
            Self::Anybody => quoted("*"),
            Self::Principal(name) => quoted(name.as_str()),
        }
    }
}

/// Groups of targets, each with its share of new flows.
#[derive(Debug)]
pub(in crate::config) struct Groups(pub List<(Name, Weight)>);

impl Decode for Groups {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let example = "a group in quotes, or a table such as `{ blue = 90, green = 10 }`";
        let Some(members) = value.members() else {
            let Some(text) = value.value.as_str() else { return value.mistyped(example, report) };
            let group = value.accept(text.parse(), report)?;
            let only = (group, Target::DEFAULT_WEIGHT);
            return Some(Self(vec![Located { value: only, at: value.at }]));
        };
        let (mut groups, mut written) = (List::new(), 0);
        for Located { value: member, at } in members {
            written += 1;
            let group = value.accept(member.key.parse(), report);
            let share = Weight::decode(&member, report);
            groups.extend(group.zip(share).map(|value| Located { value, at }));
        }
        if written == 0
            || groups.iter().all(|one| one.value.1.get() == 0) && groups.len() == written
        {
            report.push(
                Fault::new(format!("`{}` leads to no group", value.key))
                    .at(value.at)
                    .help(format!("write {example}")),
            );
            return None;
        }
        (groups.len() == written).then_some(Self(groups))
    }

    fn schema() -> Value {
        either(&[
            Name::schema(),
            json!({ "type": "object", "additionalProperties": Weight::schema(), "minProperties": 1 }),
        ])
    }

    fn kind() -> String {
        "name of a group, or a table of groups and shares".to_owned()
    }
}

/// An endpoint's addresses: `"auto"` or a list.
#[derive(Debug)]
pub(in crate::config) enum Addresses {
    Auto,
    List(OneOrMore<IpAddr>),
}

impl Decode for Addresses {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        if value.value.is_array() {
            return OneOrMore::decode(value, report).map(Self::List);
        }
        if value.value.as_str() == Some("auto") {
            return Some(Self::Auto);
        }
        value.mistyped_or_unknown("\"auto\" or a list in brackets", report)
    }

    fn schema() -> Value {
        either(&[words(&["auto"]), OneOrMore::<IpAddr>::schema()])
    }

    fn kind() -> String {
        "`\"auto\"`, or a list with one per family".to_owned()
    }
}

impl Decode for TargetAddress {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = value.value.as_str() else {
            return value.mistyped("an IP address or a DNS name in quotes", report);
        };
        value.accept(target_address(text), report)
    }

    fn schema() -> Value {
        either(&[IpAddr::schema(), DnsName::schema()])
    }

    fn kind() -> String {
        "address or DNS name".to_owned()
    }
}

impl Decode for Destination {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = value.value.as_str() else {
            return value.mistyped("a path in quotes, or \"stdout\"", report);
        };
        let (path, socket) = text.strip_prefix("unix:").map_or((text, false), |path| (path, true));
        let to = match (text, path.starts_with('/')) {
            ("stdout", _) => Ok(Self::Stdout),
            (_, true) if socket => Ok(Self::Socket(path.into())),
            (_, true) => Ok(Self::File(path.into())),
            (_, false) => Err(Invalid::Destination(text.into())),
        };
        value.accept(to, report)
    }

    fn schema() -> Value {
        text("^(stdout|(unix:)?/.+)$")
    }

    fn kind() -> String {
        "absolute path, `\"unix:/path\"`, `\"stdout\"`".to_owned()
    }
}

words! {
    /// What flow records look like.
    pub(in crate::config) enum FlowLogFormat {
        Json = "json",
        Vpc = "vpc",
    }

    /// What a health check speaks.
    pub(in crate::config) enum ProbeProtocol {
        Tcp = "tcp",
        Http = "http",
        Https = "https",
        Grpc = "grpc",
    }
}

section! {
    /// `on_reject` with a time to drain.
    OnRejectDrain "on_reject = { drain = … }" {
        /// How long existing flows continue.
        drain: RejectDrain = required r#"drain = "30s""#,
    }
}

impl Decode for OnReject {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        if value.value.is_table() {
            let drain = OnRejectDrain::decode(value, report)?.drain?;
            return Some(Self::Drain(drain.value));
        }
        if value.value.as_str() == Some("drain") {
            report.push(
                Fault::new(format!("`{}` does not say how long to drain", value.key))
                    .at(value.at)
                    .help("write `on_reject = { drain = \"30s\" }`"),
            );
            return None;
        }
        value.choose(&[("reset", Self::Reset), ("drop", Self::Drop)], report)
    }

    fn schema() -> Value {
        either(&[words(&["reset", "drop"]), OnRejectDrain::schema()])
    }

    fn kind() -> String {
        "`\"reset\"`, `\"drop\"`, `{ drain = \"30s\" }`".to_owned()
    }
}

impl Written for OnReject {
    fn written(&self) -> String {
        match self {
            Self::Reset => quoted("reset"),
            Self::Drop => quoted("drop"),
            Self::Drain(time) => format!("`{{ drain = {} }}`", time.written().replace('`', "")),
        }
    }
}

impl Written for Addresses {
    fn written(&self) -> String {
        match self {
            Self::Auto => quoted("auto"),
            Self::List(list) => list.0.written(),
        }
    }
}
