//! Parses addresses and prefixes.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{DnsName, Invalid, TargetAddress};

/// Parses an address, refusing spellings that would make one address look like two.
pub(super) fn address(text: &str) -> Result<IpAddr, Invalid> {
    let address = text.parse().map_err(|_| Invalid::Address(text.into()))?;
    unmapped(address).map(|()| address)
}

fn unmapped(address: IpAddr) -> Result<(), Invalid> {
    if let IpAddr::V6(v6) = address
        && v6.to_ipv4_mapped().is_some()
    {
        return Err(Invalid::MappedAddress(v6));
    }
    Ok(())
}

/// Parses a prefix whose address is the first of its range.
pub(super) fn prefix(text: &str) -> Result<IpNet, Invalid> {
    let prefix: IpNet = text.parse().map_err(|_| Invalid::Prefix(text.into()))?;
    unmapped(prefix.addr())?;
    if prefix == prefix.trunc() { Ok(prefix) } else { Err(Invalid::HostBits(prefix)) }
}

/// Parses the address of a target.
pub(super) fn target_address(text: &str) -> Result<TargetAddress, Invalid> {
    match address(text) {
        // For a mistyped address, advice about names would mislead.
        Err(mistyped @ Invalid::Address(_)) => match with_port(text) {
            Some(with_port) => Err(with_port),
            None => text.parse().map(TargetAddress::Dns).or(Err(mistyped)),
        },
        address => address.map(TargetAddress::Ip),
    }
}

/// Why an address or a name with a port behind it is no target.
fn with_port(text: &str) -> Option<Invalid> {
    let (address, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let plain = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_meant = plain.unwrap_or(address).parse::<IpAddr>().is_ok()
        || !address.contains(':') && address.parse::<DnsName>().is_ok();
    is_meant.then(|| Invalid::AddressWithPort { address: plain.unwrap_or(address).into(), port })
}
