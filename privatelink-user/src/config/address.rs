//! How addresses and prefixes are written.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::Invalid;

/// Reads an address, refusing spellings that would make one address look like two.
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

/// Reads a prefix whose address is the first of its range.
pub(super) fn prefix(text: &str) -> Result<IpNet, Invalid> {
    let prefix: IpNet = text.parse().map_err(|_| Invalid::Prefix(text.into()))?;
    unmapped(prefix.addr())?;
    if prefix == prefix.trunc() { Ok(prefix) } else { Err(Invalid::HostBits(prefix)) }
}
