//! A listener's `map`: ports, each with the target that it leads to.

use serde_json::{Value, json};

use super::{
    address::target_address,
    decode::{Decode, List},
    diagnostic::{Fault, Report},
    source::Located,
    toml_value::TomlValue,
};
use crate::model::{Invalid, PortRange, TargetAddress};

/// Which ports lead to which targets, in the order of the ports.
#[derive(Debug)]
pub(super) struct PortMap(pub List<MappedPorts>);

/// Ports, and where they lead.
#[derive(Debug)]
pub(super) struct MappedPorts {
    /// The ports at the endpoint.
    pub ports: PortRange,
    /// The one target of these ports.
    pub target: Located<TargetAddress>,
    /// The ports at the target; `None` is the same ports.
    pub target_ports: Option<PortRange>,
}

impl Decode for PortMap {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let example = "a table such as `{ 9092 = \"10.0.0.11\", 9093 = \"10.0.0.12:19092\" }`";
        let Some(members) = value.members() else { return value.mistyped(example, report) };
        let mut list = List::new();
        let mut written = 0;
        for Located { value: member, at } in members {
            written += 1;
            let ports = member.key.parse().map_err(|invalid: Invalid| {
                let fault = Fault::new(format!("`{}`: {invalid}", value.key));
                report.push(fault.at(at).help(invalid.help()));
            });
            let Some(text) = member.value.as_str() else {
                member.mistyped::<Self>("a target such as \"10.0.0.11:19092\"", report);
                continue;
            };
            let split = member.accept(split(text), report);
            if let (Ok(ports), Some((target, target_ports))) = (ports, split) {
                let target = Located { value: target, at: member.at };
                list.push(Located { value: MappedPorts { ports, target, target_ports }, at });
            }
        }
        if written == 0 {
            report.push(
                Fault::new(format!("`{}` is empty", value.key))
                    .at(value.at)
                    .help(format!("write {example}, or `port` instead of it")),
            );
        }
        list.sort_by_key(|one| one.value.ports);
        (written > 0 && list.len() == written).then_some(Self(list))
    }

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

    fn kind() -> String {
        "a table of ports and targets".to_owned()
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
