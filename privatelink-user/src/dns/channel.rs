//! What daemon and server say to each other, over a unix socket: frames of JSON behind their
//! length, and sockets beside them.

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

/// The most sockets that go with one frame.
pub const MOST_SOCKETS: usize = 16;
/// The longest frame: the names of a network with more endpoints than a gateway can have.
const LONGEST: usize = 256 << 20;

/// Why a claim is not proven of whose owner nothing is known yet.
pub const NOT_ASKED: &str = "not asked yet";

/// Where names can be asked for: an address of the gateway on an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListenAddress {
    /// The network whose names they are.
    pub network: String,
    /// The interface's index.
    pub ifindex: u32,
    /// The address.
    pub address: IpAddr,
}

/// What the daemon tells the server to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Serve these names in a network, instead of those before.
    Serve {
        /// The network.
        network: String,
        /// All that can be asked there.
        names: ServedNames,
    },
    /// Serve at this place: behind the frame come a socket of datagrams for each worker, and one
    /// that listens.
    Listen {
        /// The address.
        #[serde(rename = "place")]
        at: ListenAddress,
        /// How many sockets there are.
        sockets: usize,
    },
    /// Serve here no more.
    Close {
        /// The address.
        #[serde(rename = "place")]
        at: ListenAddress,
    },
    /// Forget the names of a network.
    Forget {
        /// The network.
        network: String,
    },
    /// Say what is not served for want of a proof, and what was counted: a [`ServerReport`].
    Report,
    /// End: names are not served any more, or by another.
    Leave,
}

/// What the server says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Its release.
    pub version: String,
    /// How many workers it has.
    pub workers: usize,
    /// Where it serves, from what it was told before.
    #[serde(rename = "places")]
    pub listen_addresses: Vec<ListenAddress>,
    /// Whose names it has.
    pub networks: Vec<String>,
}

/// What the server says when it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerReport {
    /// The claims that are not proven, and why.
    pub unproven: Vec<(NameClaim, String)>,
    /// What it has counted, by network.
    pub networks: BTreeMap<String, NetworkCounters>,
}

/// Writes a frame, and passes sockets with it.
///
/// # Errors
/// When the other end is gone, or does not read in time.
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
        return Err(io::Error::other("more sockets than go with one frame"));
    }
    let sent =
        rustix::net::sendmsg(stream, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)?;
    stream.write_all(frame.get(sent..).unwrap_or_default())
}

/// Reads frames, and keeps the sockets that came with them.
#[derive(Debug)]
pub struct FrameReader {
    stream: UnixStream,
    sockets: VecDeque<OwnedFd>,
}

impl FrameReader {
    /// Reads from this stream.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, sockets: VecDeque::new() }
    }

    /// The stream.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Waits for the next frame; `None` if the other end has gone.
    ///
    /// # Errors
    /// When the stream breaks, or what comes is no frame.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut length = [0; 4];
        match self.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
        if length > LONGEST {
            return Err(io::Error::other("a frame is too long"));
        }
        let mut body = vec![0; length];
        self.read_exact(&mut body)?;
        Ok(Some(serde_json::from_slice(&body)?))
    }

    /// Takes the next `count` sockets that came.
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
