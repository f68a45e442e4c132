//! Frames that the daemon itself sends.

pub mod announce;
pub mod challenge_acks;
