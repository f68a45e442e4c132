//! Sockets for frames in which hosts say what their addresses are.
//!
//! The datapath lets those through that claim an address of the gateway. The kernel does nothing
//! about them, since the addresses are not its own.

use std::{
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use privatelink_common::Mac;

/// The most frames that are looked at in one go.
const MOST: usize = 1_024;
/// As much of a frame as is looked at.
const LENGTH: usize = 128;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// What a host says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The interface of the host's stack that the frame came in on.
    pub ifindex: u32,
    /// The address.
    pub address: IpAddr,
    /// The Ethernet address of whoever says that it is its own.
    pub mac: Mac,
}

/// Sockets for ARP and neighbour advertisements on every interface.
#[derive(Debug)]
pub struct ClaimListener([OwnedFd; 2]);

impl ClaimListener {
    /// Opens the sockets in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the process lacks CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        Ok(Self([socket(ARP)?, socket(IPV6)?]))
    }

    /// The claims since the last call; beyond a number that many floods reach, they are lost.
    pub fn claims(&self) -> Vec<Claim> {
        let frames = self.0.iter().flat_map(|socket| {
            (0..MOST).map_while(move |_| {
                let mut frame = [0; LENGTH];
                receive(socket, &mut frame).map(|(ifindex, length)| (ifindex, length, frame))
            })
        });
        frames.filter_map(|(ifindex, length, frame)| claim(ifindex, frame.get(..length)?)).collect()
    }
}

/// A socket for the frames of a kind; of IPv6, for neighbour advertisements only.
fn socket(kind: u16) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes numbers only.
    let fd = unsafe { libc::socket(libc::AF_PACKET, flags, i32::from(kind.to_be())) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned it, so nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    if kind == IPV6 {
        filter(&socket)?;
    }
    Ok(socket)
}

/// Keeps all that are no neighbour advertisements from a socket.
fn filter(socket: &OwnedFd) -> io::Result<()> {
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD_BYTE, 0, 0, 20),
        step(EQUAL, 0, 3, 58),
        step(LOAD_BYTE, 0, 0, 54),
        step(EQUAL, 0, 1, 136),
        step(RETURN, 0, 0, LENGTH as u32),
        step(RETURN, 0, 0, 0),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the program is live for the call, and its length is its own.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            mem::size_of::<libc::sock_fprog>() as u32,
        )
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The interface and the length of the next frame; `None` if there is none.
fn receive(socket: &OwnedFd, frame: &mut [u8; LENGTH]) -> Option<(u32, usize)> {
    // SAFETY: all bytes zero are a valid value of this plain structure.
    let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut size = mem::size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: frame and address are live for the call, and their lengths are theirs.
    let length = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            frame.as_mut_ptr().cast(),
            LENGTH,
            libc::MSG_DONTWAIT,
            (&raw mut from).cast(),
            &raw mut size,
        )
    };
    let length = usize::try_from(length).ok()?;
    Some((u32::try_from(from.sll_ifindex).ok()?, length))
}

/// What a frame claims.
fn claim(ifindex: u32, frame: &[u8]) -> Option<Claim> {
    let mac = |at: usize| frame.get(at..)?.first_chunk::<6>().copied();
    let number = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    if number(12)? == ARP {
        let is_ipv4 = frame.get(14..20)? == [0, 1, 8, 0, 6, 4];
        let address = Ipv4Addr::from(*frame.get(28..)?.first_chunk::<4>()?);
        let claims = is_ipv4 && !address.is_unspecified();
        return claims.then_some(Claim { ifindex, address: address.into(), mac: mac(22)? });
    }
    let is_advertisement = number(12)? == IPV6
        && frame.get(20) == Some(&58)
        && frame.get(21) == Some(&255)
        && frame.get(54) == Some(&136);
    let address = Ipv6Addr::from(*frame.get(62..)?.first_chunk::<16>()?);
    is_advertisement.then_some(Claim { ifindex, address: address.into(), mac: mac(6)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::frames::announce;

    const OTHER: Mac = [2, 0, 0, 0, 0, 9];

    #[test]
    fn announcements_claim_and_probes_do_not() {
        for text in ["10.1.0.50", "fd00:1::50"] {
            let address: IpAddr = text.parse().unwrap();
            let expected = Claim { ifindex: 7, address, mac: OTHER };
            assert_eq!(claim(7, &announce::frame(OTHER, 0, address)), Some(expected));
            assert_eq!(claim(7, &announce::probe(OTHER, 0, address)), None, "{text}");
            assert_eq!(claim(7, &announce::frame(OTHER, 0, address)[..20]), None);
        }
    }
}
