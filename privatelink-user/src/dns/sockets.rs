//! Sockets of the name server, each bound to one address on one interface.
//!
//! Overlapping networks have the same addresses behind different interfaces; a socket that is bound
//! to an interface exchanges packets with that network only. It is bound to the address as well, so
//! that answers have the right source without control messages in each datagram.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    os::fd::OwnedFd,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::channel::ListenAddress;

/// The port of DNS.
pub const PORT: u16 = 53;
/// Backlog of connections.
const BACKLOG: i32 = 64;

/// Opens a UDP socket for each worker, and one TCP listener.
///
/// # Errors
/// When the address or the interface does not exist, or another program uses the port.
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
        // A link-local address needs the interface's index.
        IpAddr::V6(v6) => SocketAddrV6::new(v6, PORT, 0, at.ifindex).into(),
    };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind_device(Some(interface.as_bytes()))?;
    // A new server binds before the previous one closes its sockets.
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
