//! What can go wrong between the daemon and the kernel's BPF.

use std::{
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::datapath::store::StoreError;

/// A failure to load, pin, attach or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The pin directory is on another file system.
    #[error(
        "{path} is not on a BPF file system: mount one with `mount -t bpf bpf /sys/fs/bpf`, \
         or set gateway.pin_dir to a directory on one"
    )]
    NotBpffs {
        /// Path of the pin directory.
        path: PathBuf,
    },
    /// The pin directory holds an object of another program.
    #[error(
        "{path} is not privatelink's ({what}): remove it, or set gateway.pin_dir to a directory \
         of its own"
    )]
    Foreign {
        /// Path of that object.
        path: PathBuf,
        /// Kind of that object.
        what: &'static str,
    },
    /// A file or directory below the pin directory cannot be used.
    #[error("cannot {action} {path}{}", needs(.source))]
    Path {
        /// What was tried, as the verb of the message.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        source: io::Error,
    },
    /// The release before cannot go on with what is pinned.
    #[error(
        "{path} has no flow table that the release before understands: if one is being replaced, \
         start this release once, until `privatelink status` shows no problem; else start the \
         release before without this command, which ends all flows"
    )]
    NoDowngrade {
        /// Path of the pin directory.
        path: PathBuf,
    },
    /// Another process works on the same pins.
    #[error(
        "another privatelink uses {path}: stop it, or give this one a gateway.pin_dir of its own"
    )]
    InUse {
        /// Path of the pin directory.
        path: PathBuf,
    },
    /// The embedded object is not what the daemon was built for.
    #[error("the BPF object is damaged ({what}): build privatelink again")]
    Object {
        /// The defect.
        what: String,
    },
    /// The kernel refuses the object.
    #[error("the kernel refuses the BPF {what}{}", needs(.source.as_ref()))]
    Load {
        /// Which part of the object.
        what: &'static str,
        /// The kernel's error; with the verifier's log if the verifier refused.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The maps cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another program is attached to the interface.
    #[error(
        "interface {interface} has {} that is not privatelink's: look at it with \
         `bpftool prog show`, and detach it with `ip link set dev {interface} xdp off` or the \
         tool that attached it",
        occupant(*.program)
    )]
    Occupied {
        /// Name of the interface.
        interface: String,
        /// Id of that program, if the kernel reports it.
        program: Option<u32>,
    },
    /// The program cannot be attached.
    #[error("cannot attach to interface {interface}: {}", attach_advice(.source, .interface))]
    Attach {
        /// Name of the interface.
        interface: String,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The kernel has no tcx.
    #[error(
        "the kernel cannot attach to interface {interface} by tc, which needs Linux 6.6: set \
         mode = \"native\" or \"generic\" for the network, and run `ethtool -K DEVICE tx off` at \
         senders on this host"
    )]
    NoTc {
        /// Name of the interface.
        interface: String,
    },
    /// The program cannot be attached by XDP in place of tc.
    #[error(
        "cannot attach by XDP to the interface with index {ifindex}, which the release before would \
         do{}",
        needs(.source)
    )]
    LeaveTc {
        /// Index of the interface.
        ifindex: u32,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The program cannot be detached from an interface.
    #[error("cannot detach from the interface with index {ifindex}{}", needs(.source))]
    Detach {
        /// Index of the interface.
        ifindex: u32,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The kernel does not report which program an interface has.
    #[error("cannot ask the kernel about the interface with index {ifindex}")]
    Netlink {
        /// Index of the interface.
        ifindex: u32,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The flow table or the counters cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// Which of them.
        what: &'static str,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The program cannot be run on a packet.
    #[error("cannot run the program on a packet of {bytes} bytes")]
    TestRun {
        /// Length of the packet.
        bytes: usize,
        /// The kernel's error.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
}

impl Error {
    /// Whether the interface or the kernel lacks what the mode needs.
    pub(super) fn is_unsupported(&self) -> bool {
        if let Self::Attach { source, .. } = self {
            return source.raw_os_error() == Some(libc::EOPNOTSUPP);
        }
        matches!(self, Self::NoTc { .. })
    }

    pub(super) fn path(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Path { action, path, source }
    }

    pub(super) fn load<E: StdError + Send + Sync + 'static>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Load { what, source: Box::new(source) }
    }
}

/// What to do about a refusal. The error number may be anywhere in the chain of causes.
fn needs(error: &(dyn StdError + 'static)) -> &'static str {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        match code {
            Some(libc::EPERM | libc::EACCES) => {
                return ": run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON and a pin \
                        directory of that user";
            }
            Some(libc::ENOMEM | libc::E2BIG) => {
                return ": there is not enough memory; lower gateway.max_flows, or raise the \
                        memory limit (LimitMEMLOCK before Linux 5.11)";
            }
            Some(_) | None => cause = error.source(),
        }
    }
    ""
}

fn occupant(id: Option<u32>) -> String {
    id.map_or_else(|| "an XDP program".to_owned(), |id| format!("XDP program {id}"))
}

fn attach_advice(error: &io::Error, interface: &str) -> String {
    match error.raw_os_error() {
        Some(libc::ERANGE) => format!(
            "its MTU is larger than the driver's XDP supports; lower it with \
             `ip link set dev {interface} mtu 3498`"
        ),
        Some(libc::ENOSPC) => format!(
            "it has fewer receive queues than its peer has transmit queues; give it more with \
             `ethtool -L {interface} rx N`, or the peer fewer with `ethtool -L PEER tx N`"
        ),
        Some(libc::ENODEV) => "there is no such interface in this network namespace".to_owned(),
        Some(libc::EPERM | libc::EACCES) => {
            "this needs CAP_BPF and CAP_NET_ADMIN; run as root".to_owned()
        }
        Some(libc::EINVAL) => {
            "the kernel does not support XDP here; it must be Linux 5.18 or newer, \
                               and the interface must not be a member of a bond or a team"
                .to_owned()
        }
        Some(libc::EOPNOTSUPP) => "neither the driver nor the kernel can run XDP on it".to_owned(),
        _ => "the kernel refuses".to_owned(),
    }
}
