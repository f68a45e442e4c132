//! Generic netlink: requests to a family of the kernel, and attributes.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
        sockopt::ReceiveTimeout,
    },
    time::TimeVal,
};

/// The controller's own family, its request for another, and its attributes.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// Message types and flags of netlink.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
/// Asks for an answer that ends with an outcome.
pub(super) const ACKNOWLEDGE: u16 = 4;
/// Asks for everything.
pub(super) const DUMP: u16 = 0x300;
/// Marks an attribute that holds attributes.
pub(super) const NESTED: u16 = 0x8000;
/// The bits of an attribute's type.
const TYPE: u16 = 0x3fff;

/// Length of the headers of netlink and of generic netlink.
const NETLINK: usize = 16;
pub(super) const HEADERS: usize = NETLINK + 4;
/// The kernel writes no longer message.
const ROOM: usize = 64 * 1024;
/// How many seconds an answer may take.
const PATIENCE: i64 = 2;

/// Appends an attribute; what is longer than an attribute can be is cut, which the kernel refuses.
pub(super) fn put(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The attributes of a message, or of an attribute.
pub(super) struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?) & TYPE;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The kernel has said something else than its headers say.
pub(super) fn unexpected() -> io::Error {
    io::Error::other("unexpected answer of generic netlink")
}

/// A socket of generic netlink, in the network namespace of the thread that opens it.
pub(super) struct GenericNetlink {
    socket: OwnedFd,
    family: u16,
}

impl GenericNetlink {
    /// Opens a socket for a family; fails if the kernel does not know it.
    pub fn open(family: &str) -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkGeneric,
        )?;
        let patience = TimeVal::new(PATIENCE, 0);
        setsockopt(&socket, ReceiveTimeout, &patience)?;
        let mut netlink = Self { socket, family: CONTROLLER };
        netlink.family = netlink.find(family)?;
        Ok(netlink)
    }

    /// The number of a family, which loading its module gives it.
    fn find(&self, family: &str) -> io::Result<u16> {
        let mut body = Vec::new();
        put(&mut body, FAMILY_NAME, CString::new(family)?.as_bytes_with_nul());
        let answers = self.request(GET_FAMILY, ACKNOWLEDGE, &body)?;
        let attributes = answers.first().and_then(|answer| answer.get(HEADERS..));
        let id = attributes.and_then(|all| Attributes(all).find(|(kind, _)| *kind == FAMILY_ID));
        let id = id.and_then(|(_, value)| value.first_chunk());
        Ok(u16::from_ne_bytes(*id.ok_or_else(unexpected)?))
    }

    /// Sends a request, and returns the messages of its answer.
    pub fn request(&self, command: u8, flags: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let length = u32::try_from(HEADERS + body.len()).map_err(io::Error::other)?;
        let mut request = length.to_ne_bytes().to_vec();
        request.extend(self.family.to_ne_bytes());
        request.extend((REQUEST | flags).to_ne_bytes());
        // Sequence number and port: one socket has one request.
        request.extend([0; 8]);
        request.extend([command, 1, 0, 0]);
        request.extend(body);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut messages = Vec::new();
        loop {
            let mut answer = vec![0; ROOM];
            let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            answer.truncate(length);
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                let length = rest.first_chunk().ok_or_else(unexpected)?;
                let length =
                    usize::try_from(u32::from_ne_bytes(*length)).map_err(io::Error::other)?;
                let message = rest.get(..length.max(NETLINK)).ok_or_else(unexpected)?;
                let kind = message.get(4..).and_then(|bytes| bytes.first_chunk());
                match u16::from_ne_bytes(*kind.ok_or_else(unexpected)?) {
                    ERROR | DONE => return outcome(message).map(|()| messages),
                    _ => messages.push(message.to_vec()),
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// What a message says that ends an answer.
fn outcome(message: &[u8]) -> io::Result<()> {
    let code = message.get(NETLINK..).and_then(|bytes| bytes.first_chunk());
    match code.map(|code| i32::from_ne_bytes(*code)) {
        None | Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}
