//! The later stages of the packet path, each of which is a program of its own in the kernel, and
//! what they share.

pub mod answer;
pub mod carry;
mod chain;
pub mod clamp;
pub mod egress;
pub mod fragment;
pub mod host;
pub mod icmp;
pub mod icmp_error;
mod neighbour;
mod objects;
pub mod open;
mod options;
pub mod packet;
mod path_mtu;
mod ports;
pub mod room;
mod sender;
pub mod sent;
pub mod slow;
mod stop;
mod sum;
pub mod translate;
pub mod translate_error;
pub mod verdict;
pub mod vlan;
