//! Offloads of an interface, by the kernel's ethtool family: see
//! `include/uapi/linux/ethtool_netlink.h`.

use std::{ffi::CString, io};

use super::generic_netlink::{ACKNOWLEDGE, GenericNetlink, NESTED, put};

/// The name of the family, and the request.
const FAMILY: &str = "ethtool";
const SET_FEATURES: u8 = 12;
/// Attributes of the request, of its header, and of a set of bits.
const HEADER: u16 = 1;
const WANTED: u16 = 3;
const DEVICE_NAME: u16 = 2;
const BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// Makes this end of a pair poll: the other end takes frames that XDP sends to it only then.
pub(super) fn poll(interface: &str) -> io::Result<()> {
    let netlink = GenericNetlink::open(FAMILY)?;
    netlink.request(SET_FEATURES, ACKNOWLEDGE, &request(interface, "rx-gro")?).map(drop)
}

/// Switches a feature on.
fn request(interface: &str, feature: &str) -> io::Result<Vec<u8>> {
    let nest = |kind, value: &[u8]| {
        let mut nested = Vec::new();
        put(&mut nested, kind | NESTED, value);
        nested
    };
    let mut header = Vec::new();
    put(&mut header, DEVICE_NAME, CString::new(interface)?.as_bytes_with_nul());
    let mut bit = Vec::new();
    put(&mut bit, BIT_NAME, CString::new(feature)?.as_bytes_with_nul());
    put(&mut bit, BIT_VALUE, &[]);
    let bits = nest(BITS, &nest(BIT, &bit));
    Ok([nest(HEADER, &header), nest(WANTED, &bits)].concat())
}
