//! The socket of the reports, inside the transport namespace.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::report::{LONGEST, Report};
use crate::model::{Name, PublicKey, report_address};

/// The port at which every site takes reports.
const PORT: u16 = 4_817;
/// Datagrams that are read at a time: a site that sends more loses its own.
const AT_ONCE: usize = 64;

/// Sends and receives reports under one of this site's keys.
#[derive(Debug)]
pub(super) struct Exchange {
    socket: UdpSocket,
    buffer: Vec<u8>,
}

impl Exchange {
    /// Opens the socket at the address that goes with a key; the address must be there already.
    pub fn open(own: &PublicKey) -> io::Result<Self> {
        let address = SocketAddr::from((report_address(own), PORT));
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        // The address is there, but not before its interface is up, which nothing tells.
        socket.set_freebind_v6(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, buffer: vec![0; LONGEST + 1] })
    }

    /// Sends a report to the site that has this key. One that cannot be sent is like one that is lost:
    /// the next follows.
    pub fn send(&self, to: &PublicKey, report: &[u8]) {
        let address = SocketAddr::from((report_address(to), PORT));
        let _ = self.socket.try_send_to(report, address);
    }

    /// Waits until there is something to receive.
    pub async fn ready(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The latest report of each site, by the address that WireGuard has authenticated.
    pub fn receive(&mut self, sites: &BTreeMap<Ipv6Addr, Name>) -> BTreeMap<Name, Report> {
        let mut latest = BTreeMap::new();
        for _ in 0..AT_ONCE {
            let Ok((length, from)) = self.socket.try_recv_from(&mut self.buffer) else { break };
            let IpAddr::V6(from) = from.ip() else { continue };
            let (Some(name), Some(bytes)) = (sites.get(&from), self.buffer.get(..length)) else {
                continue;
            };
            if let Some(report) = Report::decode(bytes) {
                latest.insert(name.clone(), report);
            }
        }
        latest
    }
}
