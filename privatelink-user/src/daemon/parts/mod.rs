//! The parts of a gateway, one file each.
//!
//! A part owns the state of one concern. It gets what it needs as arguments, and returns events to
//! publish and problems to report. It never sees the gateway or the fields of another part: only
//! [`gateway`](super::gateway) connects them.

pub(super) mod acceptance;
mod announcements;
mod attachments;
pub(super) mod audit;
mod backbone;
pub(super) mod capacity;
mod conflicts;
mod connections;
mod deadlines;
mod discovery;
mod frames;
mod health;
mod host_guard;
mod keeping;
pub(super) mod keys;
pub(super) mod listeners;
mod maps;
mod modes;
mod passes;
mod publisher;
mod readiness;
mod records;
pub(super) mod sharing;
mod surroundings;
mod sweep;
mod targets;
mod trials;

pub(super) use acceptance::Undecided;
pub(super) use announcements::Announcements;
pub(super) use attachments::Attachments;
pub(super) use backbone::Backbone;
pub(super) use conflicts::Conflicts;
pub(super) use connections::Connections;
pub(super) use deadlines::Deadlines;
pub(super) use discovery::TargetDiscovery;
pub(super) use frames::Frames;
pub(super) use health::TargetHealth;
pub(super) use host_guard::HostGuard;
pub(super) use keeping::Keeping;
pub(super) use keys::AccessKeys;
pub(super) use maps::Maps;
pub(super) use publisher::Publisher;
pub(super) use readiness::{Pending, Readiness};
pub(super) use records::Records;
pub(super) use sharing::Sharing;
pub(super) use surroundings::Surroundings;
pub(super) use sweep::{FIRST_TURN, Sweep, SweepScope, TURN};
pub(super) use targets::Targets;
pub(super) use trials::Trials;
