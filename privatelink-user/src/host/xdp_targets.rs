//! Which interfaces take frames that XDP sends to them, as the kernel reports it.
//!
//! Drivers say so by generic netlink, in the family `netdev` (Linux 6.3). A veth changes its mind: it
//! takes frames while its peer polls, which GRO or a program of the peer's makes it do.

use std::{io, os::fd::AsRawFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// The controller's own family, and its request for the number of another.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
/// Attributes of the controller.
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// The request for an interface, and its attributes.
const GET_DEVICE: u8 = 1;
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
/// Whether the interface takes frames, among the features.
const NDO_XMIT: u64 = 4;

const REQUEST: u16 = 1;
/// Length of the headers of netlink and of generic netlink.
const NETLINK: usize = 16;
const HEADERS: usize = NETLINK + 4;
/// Type of a message that reports an error.
const ERROR: u16 = 2;
const ROOM: usize = 16 * 1024;

/// Whether an interface of the calling thread's network namespace takes frames that XDP sends to it.
/// `None` if the kernel does not tell.
pub fn takes_frames(ifindex: u32) -> Option<bool> {
    ask(ifindex).ok().map(|features| features & NDO_XMIT != 0)
}

fn ask(ifindex: u32) -> io::Result<u64> {
    let name = b"netdev\0";
    let answer = exchange(CONTROLLER, GET_FAMILY, FAMILY_NAME, name)?;
    let family = attribute(&answer, FAMILY_ID).and_then(|value| value.first_chunk());
    let family = u16::from_ne_bytes(*family.ok_or_else(unexpected)?);
    let answer = exchange(family, GET_DEVICE, IFINDEX, &ifindex.to_ne_bytes())?;
    let features = attribute(&answer, XDP_FEATURES).and_then(|value| value.first_chunk());
    Ok(u64::from_ne_bytes(*features.ok_or_else(unexpected)?))
}

fn unexpected() -> io::Error {
    io::Error::other("unexpected answer of generic netlink")
}

/// Sends a request with one attribute, and returns the answer.
fn exchange(family: u16, command: u8, kind: u16, value: &[u8]) -> io::Result<Vec<u8>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )?;
    let request = request(family, command, kind, value);
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut answer = vec![0; ROOM];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    let kind = answer.get(4..6).and_then(|bytes| bytes.first_chunk()).ok_or_else(unexpected)?;
    if u16::from_ne_bytes(*kind) == ERROR {
        return Err(unexpected());
    }
    Ok(answer)
}

fn request(family: u16, command: u8, kind: u16, value: &[u8]) -> Vec<u8> {
    let padded = value.len().next_multiple_of(4);
    let length = HEADERS + 4 + padded;
    let mut request = Vec::with_capacity(length);
    request.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    request.extend(family.to_ne_bytes());
    request.extend(REQUEST.to_ne_bytes());
    // Sequence number and port, which nothing here looks at.
    request.extend([0; 8]);
    request.extend([command, 1, 0, 0]);
    request.extend(u16::try_from(4 + value.len()).unwrap_or(0).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(value);
    request.resize(length, 0);
    request
}

/// The value of an attribute of an answer.
fn attribute(answer: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = answer.get(HEADERS..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let found = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_found_behind_others() {
        // A request looks like an answer with one attribute.
        let mut message = request(0x14, GET_DEVICE, IFINDEX, &7_u32.to_ne_bytes());
        assert_eq!(attribute(&message, IFINDEX), Some(&7_u32.to_ne_bytes()[..]));
        assert_eq!(attribute(&message, XDP_FEATURES), None);
        message.extend([6_u16, 2].map(u16::to_ne_bytes).as_flattened());
        message.extend([1, 2, 0, 0]);
        message.extend([12_u16, XDP_FEATURES].map(u16::to_ne_bytes).as_flattened());
        message.extend(0x67_u64.to_ne_bytes());
        assert_eq!(attribute(&message, XDP_FEATURES), Some(&0x67_u64.to_ne_bytes()[..]));
        message.truncate(HEADERS + 3);
        assert_eq!(attribute(&message, IFINDEX), None, "cut short");
    }
}
