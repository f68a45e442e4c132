//! Addresses that attacks come from and go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Generator, PROVIDER};
use crate::torture::scene::{CLIENT, ENDPOINT, OWN, SERVER, SOURCES};

impl Generator {
    /// The tenant's own host.
    pub(super) fn client(&self, tenant: usize, v6: bool) -> IpAddr {
        address(if tenant == PROVIDER { &SERVER } else { &CLIENT }, v6)
    }

    /// Any host of a consumer's network.
    pub(super) fn any_client(&mut self, v6: bool) -> IpAddr {
        let low = 256 + self.noise.below(65_000) as u16;
        if v6 {
            Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 1, low).into()
        } else {
            let [high, low] = low.to_be_bytes();
            Ipv4Addr::new(10, 1, high, low).into()
        }
    }

    /// Any address of any network.
    pub(super) fn elsewhere(&mut self, v6: bool) -> IpAddr {
        let random: IpAddr = if v6 {
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, self.noise.port()).into()
        } else {
            Ipv4Addr::new(10, 0, self.noise.below(256) as u8, self.noise.below(256) as u8).into()
        };
        let all = [SERVER, CLIENT, SOURCES, ENDPOINT, OWN[0], OWN[1]].map(|one| address(&one, v6));
        if self.noise.below(8) == 0 { random } else { self.noise.one(&all) }
    }

    pub(super) fn own(&mut self, v6: bool) -> IpAddr {
        let own = self.noise.one(&OWN);
        address(&own, v6)
    }

    pub(super) fn impossible(&mut self, v6: bool) -> IpAddr {
        let all: &[&str] = if v6 {
            &[
                "::",
                "::1",
                "ff02::1",
                "ff0e::1",
                "2001:db8::8",
                "fd00::10",
                "fd00:1::50",
                "fd00:1::",
                "fe80::1",
            ]
        } else {
            &[
                "0.0.0.0",
                "127.0.0.1",
                "224.0.0.1",
                "255.255.255.255",
                "8.8.8.8",
                "10.0.0.10",
                "10.1.0.50",
                "10.1.0.0",
                "10.1.255.255",
                "240.0.0.1",
                "169.254.1.1",
            ]
        };
        self.noise.one(all).parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// The address of one family, of an IPv4 and an IPv6 one as text.
pub(super) fn address(of: &[&str; 2], v6: bool) -> IpAddr {
    of[usize::from(v6)].parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
