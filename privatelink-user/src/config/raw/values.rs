//! Values as they are written: words that stand for choices, and one shape or another.

use std::net::IpAddr;

use ipnet::IpNet;

use super::OnRejectDrain;
use crate::{
    config::{
        address::{address, prefix},
        decode::{Decode, Entry, List, OneOrMore},
        diagnostic::{Fault, Report},
    },
    model::{
        AcceptancePolicy, Destination, DnsUnhealthy, Invalid, LogField, Name, OnDisallow,
        OnPending, OnReject, OnUnhealthy, Protocol, Stickiness, TargetAddress,
    },
};

/// A prefix, or an address as the prefix of itself.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Pool(pub IpNet);

impl Decode for Pool {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = entry.value.as_str() else {
            return entry.mistyped("an address or a prefix in quotes", report);
        };
        let pool = if text.contains('/') { prefix(text) } else { address(text).map(IpNet::from) };
        entry.accept(pool, report).map(Self)
    }
}

/// A network's routers: one, or a list.
#[derive(Debug)]
pub(in crate::config) struct Routers(pub List<IpAddr>);

impl Decode for Routers {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        if entry.value.is_array() {
            return List::decode(entry, report).map(Self);
        }
        entry.located(report).map(|router| Self(vec![router]))
    }
}

/// A principal, or all of them.
#[derive(Debug, Clone)]
pub(in crate::config) enum Who {
    Anybody,
    Principal(Name),
}

impl Decode for Who {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        if entry.value.as_str() == Some("*") {
            return Some(Self::Anybody);
        }
        Name::decode(entry, report).map(Self::Principal)
    }
}

/// An endpoint's addresses: `"auto"` or a list.
#[derive(Debug)]
pub(in crate::config) enum Addresses {
    Auto,
    List(OneOrMore<IpAddr>),
}

impl Decode for Addresses {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        if entry.value.is_array() {
            return OneOrMore::decode(entry, report).map(Self::List);
        }
        if entry.value.as_str() == Some("auto") {
            return Some(Self::Auto);
        }
        entry.mistyped_or_unknown("\"auto\" or a list in brackets", report)
    }
}

impl Entry<'_> {
    /// Reports a value that is neither the one word nor the other shape that the key takes.
    fn mistyped_or_unknown<T>(&self, expected: &str, report: &mut Report) -> Option<T> {
        let Some(text) = self.value.as_str() else { return self.mistyped(expected, report) };
        report.push(
            Fault::new(format!("`{}` cannot be `{text}`", self.key))
                .at(self.at)
                .help(format!("use {expected}")),
        );
        None
    }
}

impl Decode for TargetAddress {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = entry.value.as_str() else {
            return entry.mistyped("an IP address or a DNS name in quotes", report);
        };
        entry.accept(target_address(text), report)
    }
}

/// Where a target is.
pub(in crate::config) fn target_address(text: &str) -> Result<TargetAddress, Invalid> {
    match address(text) {
        // Whoever mistypes an address is not helped by the rules for names.
        Err(mistyped @ Invalid::Address(_)) => {
            text.parse().map(TargetAddress::Dns).or(Err(mistyped))
        }
        address => address.map(TargetAddress::Ip),
    }
}

impl Decode for Destination {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = entry.value.as_str() else {
            return entry.mistyped("a path in quotes, or \"stdout\"", report);
        };
        let (path, socket) = text.strip_prefix("unix:").map_or((text, false), |path| (path, true));
        let to = match (text, path.starts_with('/')) {
            ("stdout", _) => Ok(Self::Stdout),
            (_, true) if socket => Ok(Self::Socket(path.into())),
            (_, true) => Ok(Self::File(path.into())),
            (_, false) => Err(Invalid::Destination(text.into())),
        };
        entry.accept(to, report)
    }
}

/// What records of flows look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum FlowLogFormat {
    Json,
    Vpc,
}

impl Decode for FlowLogFormat {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("json", Self::Json), ("vpc", Self::Vpc)], report)
    }
}

impl Decode for LogField {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let words: Vec<_> = Self::ALL.iter().map(|field| (field.word(), *field)).collect();
        entry.choose(&words, report)
    }
}

impl Decode for Protocol {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("tcp", Self::Tcp), ("udp", Self::Udp)], report)
    }
}

impl Decode for AcceptancePolicy {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("manual", Self::Manual), ("automatic", Self::Automatic)], report)
    }
}

impl Decode for OnDisallow {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("cut", Self::Cut), ("keep", Self::Keep)], report)
    }
}

impl Decode for DnsUnhealthy {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("keep", Self::Keep), ("withdraw", Self::Withdraw)], report)
    }
}

impl Decode for OnUnhealthy {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("reset", Self::Reset), ("keep", Self::Keep)], report)
    }
}

impl Decode for Stickiness {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("none", Self::None), ("client", Self::Client)], report)
    }
}

impl Decode for OnPending {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("reset", Self::Reset), ("drop", Self::Drop)], report)
    }
}

impl Decode for OnReject {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        if entry.value.is_table() {
            let drain = OnRejectDrain::decode(entry, report)?.drain?;
            return Some(Self::Drain(drain.value));
        }
        if entry.value.as_str() == Some("drain") {
            report.push(
                Fault::new(format!("`{}` drains, but does not say how long", entry.key))
                    .at(entry.at)
                    .help("write `on_reject = { drain = \"30s\" }`"),
            );
            return None;
        }
        entry.choose(&[("reset", Self::Reset), ("drop", Self::Drop)], report)
    }
}

/// What a health check speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum ProbeProtocol {
    Tcp,
    Http,
    Https,
    Grpc,
}

impl Decode for ProbeProtocol {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let choices = [
            ("tcp", Self::Tcp),
            ("http", Self::Http),
            ("https", Self::Https),
            ("grpc", Self::Grpc),
        ];
        entry.choose(&choices, report)
    }
}
