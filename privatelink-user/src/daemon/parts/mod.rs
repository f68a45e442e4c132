//! The parts of a gateway, one file each.

pub(super) mod acceptance;
pub(super) mod announcements;
pub(super) mod attachments;
pub(super) mod discovery;
pub(super) mod health;
pub(super) mod publisher;
pub(super) mod records;
pub(super) mod sweep;
pub(super) mod targets;
