//! Asks the kernel which XDP program an interface has.
//!
//! A BPF link reports its interface but not its mode; netlink reports that, also for programs that
//! an earlier daemon or another program attached.

use std::{io, os::fd::AsRawFd};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached},
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use super::mode::Mode;

/// Room for the answer about one interface; the kernel's is a few KiB long.
const ANSWER: usize = 64 * 1024;

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Occupant {
    /// Where it runs, if one does.
    pub mode: Option<Mode>,
    /// Id of the program.
    pub program: Option<u32>,
}

/// Looks at one interface of the calling thread's network namespace.
pub(super) fn occupant(ifindex: u32) -> io::Result<Occupant> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let mut question = LinkMessage::default();
    question.header.index = ifindex;
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(question));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    send(socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
    let mut answer = vec![0; ANSWER];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    if let NetlinkPayload::Error(error) = &answer.payload {
        return Err(error.to_io());
    }
    if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = answer.payload {
        return Ok(of(&link));
    }
    Err(io::Error::other("unexpected answer to a request for an interface"))
}

fn of(link: &LinkMessage) -> Occupant {
    let mut occupant = Occupant::default();
    let attributes = link.attributes.iter().filter_map(|attribute| {
        if let LinkAttribute::Xdp(attributes) = attribute { Some(attributes) } else { None }
    });
    for attribute in attributes.flatten() {
        if let LinkXdp::Attached(attached) = attribute {
            occupant.mode = mode(*attached);
        } else if let LinkXdp::ProgId(id) = attribute {
            occupant.program = Some(*id).filter(|id| *id != 0);
        }
    }
    occupant
}

fn mode(attached: XdpAttached) -> Option<Mode> {
    if attached == XdpAttached::None {
        None
    } else if attached == XdpAttached::SocketBuffer {
        Some(Mode::Generic)
    } else {
        Some(Mode::Native)
    }
}
