//! The protocol between daemon and name server over a unix socket: length-prefixed JSON frames, and
//! file descriptors of sockets.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, IoSlice, IoSliceMut, Read, Write as _},
    mem::MaybeUninit,
    net::IpAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    record::{NameClaim, ServedNames},
    status::NetworkCounters,
};

/// Maximum number of sockets passed with one frame.
pub const MOST_SOCKETS: usize = 16;
/// Maximum length of a frame. The names of all endpoints that a gateway can have fit into it.
const LONGEST: usize = 256 << 20;

/// The reason of a claim that has not been checked yet.
pub const NOT_ASKED: &str = "not asked yet";

/// An address of the gateway on an interface, where the name server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListenAddress {
    /// The network whose names are served there.
    pub network: String,
    /// The interface's index.
    pub ifindex: u32,
    /// The IP address.
    pub address: IpAddr,
}

/// A request from the daemon to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Serve these names in a network, instead of the previous ones.
    Serve {
        /// The network.
        network: String,
        /// The names.
        names: ServedNames,
    },
    /// Listen on this address. The frame passes a UDP socket for each worker and one TCP listener.
    Listen {
        /// The address.
        #[serde(rename = "place")]
        at: ListenAddress,
        /// Number of sockets.
        sockets: usize,
    },
    /// Stop listening on this address.
    Close {
        /// The address.
        #[serde(rename = "place")]
        at: ListenAddress,
    },
    /// Remove the names of a network.
    Forget {
        /// The network.
        network: String,
    },
    /// Send a [`ServerReport`].
    Report,
    /// Exit.
    Leave,
}

/// The server's first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The server's release.
    pub version: String,
    /// Number of workers.
    pub workers: usize,
    /// The addresses that it listens on.
    #[serde(rename = "places")]
    pub listen_addresses: Vec<ListenAddress>,
    /// The networks whose names it has.
    pub networks: Vec<String>,
}

/// The server's response to [`Order::Report`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerReport {
    /// Unproven claims, each with the reason.
    pub unproven: Vec<(NameClaim, String)>,
    /// Counters by network.
    pub networks: BTreeMap<String, NetworkCounters>,
}

/// Writes a frame and passes sockets with it.
///
/// # Errors
/// When the other end has closed the stream or does not read in time.
pub fn send(
    mut stream: &UnixStream,
    message: &impl Serialize,
    sockets: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_be_bytes();
    let frame = [&length[..], &body].concat();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::other("too many sockets for one frame"));
    }
    let sent =
        rustix::net::sendmsg(stream, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)?;
    stream.write_all(frame.get(sent..).unwrap_or_default())
}

/// Reads frames, and keeps the sockets passed with them.
#[derive(Debug)]
pub struct FrameReader {
    stream: UnixStream,
    sockets: VecDeque<OwnedFd>,
}

impl FrameReader {
    /// Creates a reader of this stream.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, sockets: VecDeque::new() }
    }

    /// The stream, to write to.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Waits for the next frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// When the stream fails or a frame is invalid.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut length = [0; 4];
        match self.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
        if length > LONGEST {
            return Err(io::Error::other("frame is too long"));
        }
        let mut body = vec![0; length];
        self.read_exact(&mut body)?;
        Ok(Some(serde_json::from_slice(&body)?))
    }

    /// Takes the next `count` sockets in order of arrival.
    pub fn sockets(&mut self, count: usize) -> Vec<OwnedFd> {
        self.sockets.drain(..count.min(self.sockets.len())).collect()
    }
}

impl Read for FrameReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let mut buffers = [IoSliceMut::new(buffer)];
        let received =
            rustix::net::recvmsg(self.stream.as_fd(), &mut buffers, &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                self.sockets.extend(sockets);
            }
        }
        Ok(received.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn frames_and_sockets_arrive_in_order() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut receiver = FrameReader::new(far);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = |last| ListenAddress {
            network: "acme".into(),
            ifindex: 3,
            address: [10, 1, 0, last].into(),
        };
        for last in 1..4 {
            let order = Order::Listen { at: at(last), sockets: 2 };
            send(&near, &order, &[socket.as_fd(), socket.as_fd()]).unwrap();
            send(&near, &Order::Close { at: at(last) }, &[]).unwrap();
        }
        drop(near);
        for last in 1..4 {
            let order: Order = receiver.receive().unwrap().unwrap();
            assert_eq!(order, Order::Listen { at: at(last), sockets: 2 });
            let sockets = receiver.sockets(2);
            assert_eq!(sockets.len(), 2);
            let same = UdpSocket::from(sockets.into_iter().next().unwrap());
            assert_eq!(same.local_addr().unwrap(), socket.local_addr().unwrap());
            let order: Order = receiver.receive().unwrap().unwrap();
            assert_eq!(order, Order::Close { at: at(last) });
        }
        assert_eq!(receiver.receive::<Order>().unwrap(), None);
        assert!(receiver.sockets(9).is_empty());
    }
}
