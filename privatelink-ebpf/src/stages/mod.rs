//! The later stages of the packet path, each of which is a program of its own in the kernel, and
//! what they share.

pub mod answer;
pub mod carry;
pub mod chain;
pub mod clamp;
pub mod egress;
pub mod fragment;
pub mod icmp;
pub mod icmp_error;
pub mod neighbour;
pub mod open;
pub mod packet;
pub mod sent;
pub mod slow;
pub mod stop;
mod sum;
pub mod translate;
pub mod translate_error;
pub mod verdict;
pub mod vlan;
