//! Encrypted links to other sites.
//!
//! ```text
//!  gateway's namespace            transport namespace             other sites
//!  XDP, tc ─ site-b ══ veth ══ site-b ─ routes ─ wg ═ encrypted ═ wg ─ …
//! ```
//!
//! To the gateway a site is a network, reached by one end of a veth. Its other end is in a network
//! namespace that holds nothing but these ends and a WireGuard interface, whose socket stays in the
//! gateway's namespace: decrypted packets have no other way than to the gateway's programs, and
//! tenants' packets none but through the encryption.
//!
//! A thread of its own reconciles all that, and exchanges reports with the other sites: who is asked
//! for what, and what has become of it.

mod device;
mod engine;
mod exchange;
mod features;
mod generic_netlink;
mod keeper;
mod keys;
mod links;
mod namespace;
mod report;
mod seen;
mod wanted;

pub use keeper::{BackboneKeeper, Rotation};
pub use seen::{LatestOverview, Overview, SiteView};
pub use wanted::Wanted;

use std::io;

use crate::model::Namespace;

/// What does not work.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// A namespace that cannot be made or entered.
    #[error("cannot {what} the network namespace `{name}`; the daemon needs CAP_SYS_ADMIN for it")]
    Namespace {
        /// What was attempted.
        what: &'static str,
        /// Which.
        name: Namespace,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refuses an interface, an address, a route or a rule.
    #[error("cannot {what}")]
    Netlink {
        /// What was attempted.
        what: String,
        /// Why not.
        source: rtnetlink::Error,
    },
    /// The kernel has no WireGuard, and the configuration asks for it.
    #[error("this kernel has no WireGuard; load its module, or write `wireguard = \"userspace\"`")]
    NoKernelWireGuard,
    /// `wireguard-go` cannot be started.
    #[error("cannot run `wireguard-go`; install it, or use a kernel with WireGuard")]
    Start(#[source] io::Error),
    /// An interface that does not appear.
    #[error("the interface {0} does not appear")]
    NoInterface(String),
    /// The WireGuard interface cannot be read or set.
    #[error("cannot {what} the WireGuard interface")]
    Device {
        /// What was attempted.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The keys cannot be read or kept.
    #[error("cannot keep the keys of this site in {path}")]
    Keys {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The socket of the reports.
    #[error("cannot exchange reports with other sites")]
    Exchange(#[source] io::Error),
    /// An offload that the kernel does not switch.
    #[error("cannot switch on GRO at {name}")]
    Features {
        /// The interface.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A setting of the kernel.
    #[error("cannot set {setting} in the transport namespace")]
    Setting {
        /// Which.
        setting: String,
        /// Why not.
        source: io::Error,
    },
}
