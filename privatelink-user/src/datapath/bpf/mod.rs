//! The BPF object in the kernel: loading, pinning, attaching, reading.
//!
//! Everything that outlives the daemon is pinned, and nothing pinned is used unchecked: the
//! loader library takes whatever map it finds under a name, and a map of another size would be
//! written past the end of a value. All unsafe code of this crate is below here.

mod attach;
mod batch;
mod carry;
mod claims;
mod error;
mod fdinfo;
mod flows;
mod forget;
mod former;
mod frames;
mod loaded;
mod mapping;
mod maps;
mod mode;
mod netlink;
mod open;
mod pins;
mod port_blocks;
mod predecessor;
mod read;
mod rehearsal;
mod run;
mod settings;
mod store;
mod sys;
mod turns;
mod watch;

pub use attach::Attached;
pub use claims::{Claim, ClaimListener};
pub use error::Error;
pub use frames::FrameSender;
pub use loaded::{BPF_OBJECT, Datapath};
pub use mode::Mode;
pub use pins::{Removed, is_own_pin, is_pinned, pinned_interfaces};
pub use read::Reader;
pub use rehearsal::{Account, Rehearsal, Ruling};
pub use settings::Adoption;
pub use store::Kernel;
pub use sys::quiesce;
pub use turns::tick_after;
pub use watch::TimerCounts;
