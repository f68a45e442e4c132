//! A listener's `map`: ports, each with the target that it leads to.

use serde_json::{Value, json};

use super::{
    decode::{Decode, Entry, List},
    diagnostic::{Fault, Report},
    raw::target_address,
    schema::Described,
    source::Located,
};
use crate::model::{Invalid, PortRange, TargetAddress};

/// Which ports lead to which targets, in the order of the ports.
#[derive(Debug)]
pub(super) struct PortMap(pub List<Mapped>);

/// Ports, and where they lead.
#[derive(Debug)]
pub(super) struct Mapped {
    /// The ports at the endpoint.
    pub ports: PortRange,
    /// The target.
    pub target: Located<TargetAddress>,
    /// Its ports; the same ones if nothing is said.
    pub target_ports: Option<PortRange>,
}

impl Decode for PortMap {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let example = "a table such as `{ 9092 = \"10.0.0.11\", 9093 = \"10.0.0.12:19092\" }`";
        let Some(members) = entry.members() else { return entry.mistyped(example, report) };
        let mut list = List::new();
        let mut written = 0;
        for (at, member) in members {
            written += 1;
            let ports = member.key.parse().map_err(|invalid: Invalid| {
                let fault = Fault::new(format!("`{}`: {invalid}", entry.key));
                report.push(fault.at(at).help(invalid.help()));
            });
            let Some(text) = member.value.as_str() else {
                member.mistyped::<Self>("a target such as \"10.0.0.11:19092\"", report);
                continue;
            };
            let split = member.accept(split(text), report);
            if let (Ok(ports), Some((target, target_ports))) = (ports, split) {
                let target = Located { value: target, at: member.at };
                list.push(Located { value: Mapped { ports, target, target_ports }, at });
            }
        }
        if written == 0 {
            report.push(
                Fault::new(format!("`{}` is empty", entry.key))
                    .at(entry.at)
                    .help(format!("write {example}, or `port` instead of it")),
            );
        }
        list.sort_by_key(|one| one.value.ports);
        (written > 0 && list.len() == written).then_some(Self(list))
    }
}

impl Described for PortMap {
    fn schema() -> Value {
        json!({
            "type": "object",
            "patternProperties": {
                "^[0-9]{1,5}(-[0-9]{1,5})?$": { "type": "string", "minLength": 1 },
            },
            "additionalProperties": false,
            "minProperties": 1,
        })
    }
}

/// A target and its ports: `10.0.0.11`, `10.0.0.11:19092`, `fd00::11`, `[fd00::11]:19092`,
/// `broker.internal:19092-19094`.
fn split(text: &str) -> Result<(TargetAddress, Option<PortRange>), Invalid> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok((target_address(text)?, None));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (address, ports) = match bracketed {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((address, ports)) => (address, Some(ports)),
            None => (text, None),
        },
    };
    Ok((target_address(address)?, ports.map(str::parse).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_with_and_without_ports() {
        for (text, address, ports) in [
            ("10.0.0.11", "10.0.0.11", None),
            ("10.0.0.11:19092", "10.0.0.11", Some("19092")),
            ("fd00::11", "fd00::11", None),
            ("[fd00::11]", "fd00::11", None),
            ("[fd00::11]:19092", "fd00::11", Some("19092")),
            ("broker.internal", "broker.internal", None),
            ("broker.internal:1-3", "broker.internal", Some("1-3")),
        ] {
            let (target, found) = split(text).unwrap();
            let found = found.map(|ports| ports.to_string());
            assert_eq!((target.to_string().as_str(), found.as_deref()), (address, ports), "{text}");
        }
        for bad in ["", ":80", "10.0.0.11:", "10.0.0.11:0", "10.0.0.300:80", "[fd00::1", "a b"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
