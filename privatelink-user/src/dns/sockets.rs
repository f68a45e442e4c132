//! Sockets for names: each bound to one address on one interface.
//!
//! Networks that overlap have the same addresses behind different interfaces, and a socket that is
//! bound to an interface hears and answers nobody else. Bound to the address as well, it answers
//! from where it was asked, without a word about it in each datagram.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    os::fd::OwnedFd,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::channel::ListenAddress;

/// The port of the DNS.
pub const PORT: u16 = 53;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// Opens a socket of datagrams for each worker, and one that listens.
///
/// # Errors
/// When the address or the interface is gone, or another program serves names there.
pub fn open(at: &ListenAddress, interface: &str, workers: usize) -> io::Result<Vec<OwnedFd>> {
    let mut sockets = Vec::with_capacity(workers + 1);
    for _ in 0..workers {
        let socket = bound(at, interface, Type::DGRAM, Protocol::UDP)?;
        sockets.push(socket.into());
    }
    let socket = bound(at, interface, Type::STREAM, Protocol::TCP)?;
    socket.listen(BACKLOG)?;
    sockets.push(socket.into());
    Ok(sockets)
}

fn bound(
    at: &ListenAddress,
    interface: &str,
    kind: Type,
    protocol: Protocol,
) -> io::Result<Socket> {
    let address = match at.address {
        IpAddr::V4(v4) => SocketAddr::from((v4, PORT)),
        // The index says on which link an address of the link is.
        IpAddr::V6(v6) => SocketAddrV6::new(v6, PORT, 0, at.ifindex).into(),
    };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind_device(Some(interface.as_bytes()))?;
    // A server that takes over binds before the other one leaves.
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
