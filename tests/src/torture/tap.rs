//! Captures of all that a host sends and receives, read by the judge itself.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    libc,
    sys::socket::{
        AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
        sockopt::RcvBufForce,
    },
};

use super::scene::Tenant;

/// Room for all that a batch causes.
const BUFFER: usize = 64 << 20;
/// The longest frame of the lab.
const LONGEST: usize = 65_536;

/// A frame, and whether the host sent it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The host sent it.
    pub sent: bool,
    /// From the Ethernet header on.
    pub bytes: &'a [u8],
}

/// The capture of one tenant's device.
#[derive(Debug)]
pub struct Tap {
    /// Index of the tenant in the scene.
    pub tenant: usize,
    ifindex: usize,
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Tap {
    /// Begins to capture.
    ///
    /// # Errors
    /// When not root.
    pub fn open(number: usize, tenant: &Tenant) -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = tenant.host.run(|| {
            let kind = SockType::Raw;
            Ok(socket(AddressFamily::Packet, kind, flags, SockProtocol::EthAll)?)
        })?;
        setsockopt(&socket, RcvBufForce, &BUFFER).context("cannot enlarge a capture's buffer")?;
        let ifindex = tenant.ifindex as usize;
        Ok(Self { tenant: number, ifindex, socket, buffer: vec![0; LONGEST] })
    }

    /// Hands over every frame that is there.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn drain(&mut self, mut see: impl FnMut(Seen<'_>)) -> Result<()> {
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut self.buffer) {
                Ok((length, Some(link))) if link.ifindex() == self.ifindex => {
                    let sent = link.pkttype() == libc::PACKET_OUTGOING;
                    see(Seen { sent, bytes: &self.buffer[..length] });
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error).context("a capture failed"),
            }
        }
    }

    /// Frames that the capture lost.
    ///
    /// # Errors
    /// When the kernel does not count them.
    pub fn lost(&mut self) -> Result<u64> {
        let (mut counts, mut length) = ([0u32; 2], 8);
        // SAFETY: the kernel writes at most `length` bytes, which `counts` has.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error()).context("cannot ask what a capture lost");
        }
        Ok(u64::from(counts[1]))
    }
}

/// Writes frames as a file that `tcpdump -r` reads.
///
/// # Errors
/// When it cannot be written.
pub fn write<'a>(path: &Path, frames: impl Iterator<Item = &'a [u8]>) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut file = BufWriter::new(file);
    let [magic, version, snapshot, ethernet] = [0xa1b2_c3d4u32, 0x0004_0002, 65_535, 1];
    for word in [magic, version, 0, 0, snapshot, ethernet] {
        file.write_all(&word.to_le_bytes())?;
    }
    for (number, frame) in (0u32..).zip(frames) {
        let length = u32::try_from(frame.len())?;
        for word in [number, 0, length, length] {
            file.write_all(&word.to_le_bytes())?;
        }
        file.write_all(frame)?;
    }
    Ok(file.flush()?)
}
