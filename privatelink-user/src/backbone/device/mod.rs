//! The WireGuard interface: who its peers are, and how their links are.

mod kernel;
mod state;
mod uapi;

use std::io;

pub(super) use kernel::KernelDevice;
pub(super) use state::{DeviceChange, DeviceState, PeerChange};
pub(super) use uapi::UserspaceDevice;

/// One WireGuard interface.
#[derive(Debug)]
pub(super) enum Device {
    /// The kernel's.
    Kernel(KernelDevice),
    /// That of `wireguard-go`.
    Userspace(UserspaceDevice),
}

impl Device {
    /// What implements it, for people.
    pub fn implementation(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "kernel",
            Self::Userspace(_) => "userspace (wireguard-go)",
        }
    }

    /// Reads its state.
    pub fn read(&self) -> io::Result<DeviceState> {
        match self {
            Self::Kernel(device) => device.read(),
            Self::Userspace(device) => device.read(),
        }
    }

    /// Changes it.
    pub fn apply(&self, change: &DeviceChange<'_>) -> io::Result<()> {
        match self {
            Self::Kernel(device) => device.apply(change),
            Self::Userspace(device) => device.apply(change),
        }
    }
}
