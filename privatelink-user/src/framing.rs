//! Frames between the daemon and a process of its own, over a unix socket: length-prefixed JSON, and
//! file descriptors of sockets.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut, Read, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Serialize, de::DeserializeOwned};

/// Maximum number of sockets passed with one frame.
pub const MOST_SOCKETS: usize = 16;
/// Maximum length of a frame, unless the reader sets a lower one. The names of all endpoints that a
/// gateway can have fit into it.
const LONGEST: usize = 256 << 20;

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
    longest: usize,
    sockets: VecDeque<OwnedFd>,
}

impl FrameReader {
    /// Creates a reader of this stream.
    pub fn new(stream: UnixStream) -> Self {
        Self::limited(stream, LONGEST)
    }

    /// Creates a reader of this stream that refuses longer frames than this.
    pub fn limited(stream: UnixStream, longest: usize) -> Self {
        Self { stream, longest, sockets: VecDeque::new() }
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
        if length > self.longest {
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
                // More than belong to a frame are closed: the other end must not fill this table.
                let room = MOST_SOCKETS.saturating_sub(self.sockets.len());
                self.sockets.extend(sockets.take(room));
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
        for number in 0..3 {
            send(&near, &("open", number), &[socket.as_fd(), socket.as_fd()]).unwrap();
            send(&near, &("close", number), &[]).unwrap();
        }
        drop(near);
        for number in 0..3 {
            let frame: (String, i32) = receiver.receive().unwrap().unwrap();
            assert_eq!(frame, ("open".into(), number));
            let sockets = receiver.sockets(2);
            assert_eq!(sockets.len(), 2);
            let same = UdpSocket::from(sockets.into_iter().next().unwrap());
            assert_eq!(same.local_addr().unwrap(), socket.local_addr().unwrap());
            let frame: (String, i32) = receiver.receive().unwrap().unwrap();
            assert_eq!(frame, ("close".into(), number));
        }
        assert_eq!(receiver.receive::<(String, i32)>().unwrap(), None);
        assert!(receiver.sockets(9).is_empty());
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_before_it_is_read() {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(&1_000_u32.to_be_bytes()).unwrap();
        let error = FrameReader::limited(far, 999).receive::<String>().unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
