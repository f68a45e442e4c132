//! Addresses as the maps hold them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An IP address of either family in 16 bytes, IPv4 as `::ffff:a.b.c.d`: one map serves both.
#[repr(C, align(4))]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Addr(pub [u8; 16]);

impl Addr {
    /// The IPv4-mapped form of four address bytes.
    #[inline(always)]
    pub const fn v4(b: [u8; 4]) -> Self {
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, b[0], b[1], b[2], b[3]])
    }

    /// The IPv4-mapped form of four address bytes in one machine word.
    #[inline(always)]
    pub fn from_v4_word(word: u32) -> Self {
        Self::from_words([0, 0, 0xffff_u32.to_be(), word])
    }

    /// The address from four machine words of its bytes.
    #[inline(always)]
    pub fn from_words(words: [u32; 4]) -> Self {
        zerocopy::transmute!(words)
    }

    /// The address as four machine words of its bytes.
    #[inline(always)]
    pub fn words(&self) -> [u32; 4] {
        zerocopy::transmute!(*self)
    }

    /// Whether this is an IPv4-mapped address.
    pub fn is_v4(&self) -> bool {
        self.0[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
    }

    /// The address in the standard library's type, IPv4-mapped ones as IPv4.
    pub fn to_ip(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self(v6.octets()),
        }
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(ip: Ipv4Addr) -> Self {
        Self::v4(ip.octets())
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(ip: Ipv6Addr) -> Self {
        Self(ip.octets())
    }
}

/// An Ethernet address.
pub type Mac = [u8; 6];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_form_of_the_maps() {
        for text in ["0.0.0.0", "10.1.0.50", "255.255.255.255", "::", "fd00:1::50"] {
            let ip: IpAddr = text.parse().unwrap();
            let address = Addr::from(ip);
            assert_eq!(address.to_ip(), ip);
            assert_eq!(address.is_v4(), ip.is_ipv4());
            assert_eq!(Addr::from_words(address.words()), address);
        }
    }

    #[test]
    fn an_ipv4_address_is_its_last_word() {
        let address = Addr::v4([10, 1, 0, 50]);
        assert_eq!(Addr::from_v4_word(address.words()[3]), address);
        assert_eq!(address.words()[3].to_ne_bytes(), [10, 1, 0, 50]);
    }
}
