//! A consumer's clients: fetch a page, and exchange bytes with an echo. Call these inside a host.

use std::{
    hash::{DefaultHasher, Hasher},
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::provider::SEEN_FROM;

/// Repeats what a signal of the test's own process interrupts: with a timeout, the kernel does not.
///
/// # Errors
/// Any other error.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// A page as it was fetched.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The peer that the provider says it saw.
    pub seen_from: Option<SocketAddr>,
    /// The page itself.
    pub body: String,
}

/// Fetches `/` over one TCP connection.
///
/// # Errors
/// When there is no answer within `timeout`, or one that is not HTTP.
pub fn http_get(server: SocketAddr, timeout: Duration) -> Result<Page> {
    let mut stream = connect(server, timeout)?;
    // One write: a formatted write to a socket sends a packet for each argument.
    let request = format!("GET / HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .with_context(|| format!("no whole page from {server} within {timeout:?}"))?;
    page(&answer).with_context(|| format!("{server} answered something that is not HTTP"))
}

fn page(answer: &str) -> Option<Page> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let seen_from = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case(SEEN_FROM).then(|| value.parse().ok())?
    });
    Some(Page { status, seen_from, body: body.to_owned() })
}

/// Sends one datagram and returns once the same datagram comes back.
///
/// # Errors
/// When nothing, or something else, comes back within `timeout`.
pub fn udp_echo(server: SocketAddr, payload: &[u8], timeout: Duration) -> Result<()> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server).with_context(|| format!("cannot reach {server}"))?;
    udp_exchange(&socket, payload, timeout)
}

/// Exchanges one datagram over a connected socket.
///
/// # Errors
/// As [`udp_echo`].
pub fn udp_exchange(socket: &UdpSocket, payload: &[u8], timeout: Duration) -> Result<()> {
    let server = socket.peer_addr()?;
    socket.set_read_timeout(Some(timeout))?;
    socket.send(payload).with_context(|| format!("cannot send to {server}"))?;
    let mut buffer = vec![0; 65536];
    let length = uninterrupted(|| socket.recv(&mut buffer))
        .with_context(|| format!("no datagram from {server} within {timeout:?}"))?;
    ensure!(buffer.get(..length) == Some(payload), "{server} answered with another datagram");
    Ok(())
}

/// Opens a TCP connection whose reads and writes also give up after `timeout`.
///
/// # Errors
/// When it is refused, or not answered in time.
pub fn connect(server: SocketAddr, timeout: Duration) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, timeout)
        .with_context(|| format!("cannot connect to {server}"))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// What was echoed over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echoed {
    /// How many bytes came back.
    pub bytes: u64,
    /// The hash of what was sent, and of what came back.
    pub hash: u64,
}

/// Exchanges `bytes` bytes, made from `seed`, with an echo over a new connection.
///
/// # Errors
/// When the connection fails, or what comes back differs.
pub fn tcp_echo(server: SocketAddr, bytes: u64, seed: u64, timeout: Duration) -> Result<Echoed> {
    let stream = connect(server, timeout)?;
    let echoed = tcp_exchange(&stream, bytes, seed)?;
    stream.shutdown(Shutdown::Write)?;
    let rest = uninterrupted(|| (&stream).read(&mut [0; 1]));
    let rest = rest.context("the echo did not close its side")?;
    ensure!(rest == 0, "{server} sent more than it was sent");
    Ok(echoed)
}

/// Exchanges `bytes` bytes, made from `seed`, with an echo over a connection, which stays open.
///
/// # Errors
/// As [`tcp_echo`].
pub fn tcp_exchange(stream: &TcpStream, bytes: u64, seed: u64) -> Result<Echoed> {
    // Both directions at once: an echo that cannot write back stops reading.
    let (sent, received) = thread::scope(|scope| {
        let sender = scope.spawn(|| send(stream, bytes, seed));
        let received = receive(stream, bytes);
        let sent = sender.join();
        (sent, received)
    });
    let received = received?;
    let Ok(sent) = sent else { bail!("the sending side panicked") };
    ensure!(sent? == received, "what came back is not what was sent");
    Ok(Echoed { bytes, hash: received })
}

fn send(mut stream: &TcpStream, bytes: u64, seed: u64) -> Result<u64> {
    let mut noise = Noise::new(seed);
    let mut hasher = DefaultHasher::new();
    let mut chunk = [0; 65_536];
    let mut left = bytes;
    while left > 0 {
        let length = chunk.len().min(usize::try_from(left)?);
        let part = chunk.get_mut(..length).unwrap_or_default();
        noise.fill(part);
        hasher.write(part);
        stream.write_all(part).context("cannot send")?;
        left -= u64::try_from(length)?;
    }
    Ok(hasher.finish())
}

fn receive(mut stream: &TcpStream, bytes: u64) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut chunk = [0; 65_536];
    let mut left = bytes;
    while left > 0 {
        let length = chunk.len().min(usize::try_from(left)?);
        let part = chunk.get_mut(..length).unwrap_or_default();
        stream
            .read_exact(part)
            .with_context(|| format!("{left} of {bytes} bytes did not come back"))?;
        hasher.write(part);
        left -= u64::try_from(length)?;
    }
    Ok(hasher.finish())
}

/// Reproducible bytes: data of another connection is recognized by its seed.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        // Zero is the one state that a xorshift generator never leaves.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Fills a part of the stream whose length, but for the last part, is a multiple of eight.
    fn fill(&mut self, part: &mut [u8]) {
        for word in part.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let bytes = self.0.to_be_bytes();
            word.copy_from_slice(bytes.get(..word.len()).unwrap_or_default());
        }
    }
}
