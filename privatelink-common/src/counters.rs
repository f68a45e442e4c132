//! What the datapath counts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What went through an endpoint, counted per CPU.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct EndpointCounters {
    /// Packets of flows from consumers, forwarded.
    pub packets_in: u64,
    /// Their IP bytes.
    pub bytes_in: u64,
    /// Packets of flows to consumers, forwarded.
    pub packets_out: u64,
    /// Their IP bytes.
    pub bytes_out: u64,
    /// Flows opened from consumers.
    pub new_flows: u64,
    /// TCP resets from consumers, forwarded.
    pub resets_in: u64,
    /// TCP resets from targets, forwarded.
    pub resets_out: u64,
    /// Refused packets whose sender was notified, by a TCP reset or an ICMP error.
    pub answers: u64,
    /// ICMP errors about packets of flows, translated. They belong to no flow's packets and bytes.
    pub errors: u64,
}

/// What happened at a target, counted per CPU. Packets are those of flows that have ended, so no
/// packet is counted a second time while it is carried.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct TargetCounters {
    /// Flows opened to it.
    pub opened: u64,
    /// TCP flows that it has answered with SYN-ACK.
    pub answered: u64,
    /// TCP flows that it has reset without having answered.
    pub refused: u64,
    /// Resets that it has sent, those among them.
    pub resets: u64,
    /// ICMP errors that say that it cannot be reached.
    pub unreachable: u64,
    /// Flows to it that have ended.
    pub ended: u64,
    /// Packets to it.
    pub packets_in: u64,
    /// Their IP bytes, as they came from the clients.
    pub bytes_in: u64,
    /// Packets from it.
    pub packets_out: u64,
    /// Their IP bytes, as they came from the target.
    pub bytes_out: u64,
}

/// Which drops are counted together: those of an endpoint for one reason.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct DropKey {
    /// Index of the endpoint.
    pub endpoint: u32,
    /// Number of the [`Reason`](crate::Reason).
    pub reason: u32,
}

impl EndpointCounters {
    /// Counts forwarded packets, from a consumer or to one.
    #[inline(always)]
    pub fn add(&mut self, from_consumer: bool, packets: u32, bytes: u32) {
        let (count, all) = if from_consumer {
            (&mut self.packets_in, &mut self.bytes_in)
        } else {
            (&mut self.packets_out, &mut self.bytes_out)
        };
        *count = count.wrapping_add(u64::from(packets));
        *all = all.wrapping_add(u64::from(bytes));
    }
}

/// Sums counters of several CPUs.
macro_rules! sums {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl core::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(counters: I) -> Self {
                counters.fold(Self::default(), |sum, cpu| Self {
                    $($field: sum.$field.wrapping_add(cpu.$field),)+
                })
            }
        }
    };
}

sums!(EndpointCounters {
    packets_in,
    bytes_in,
    packets_out,
    bytes_out,
    new_flows,
    resets_in,
    resets_out,
    answers,
    errors,
});
sums!(TargetCounters {
    opened,
    answered,
    refused,
    resets,
    unreachable,
    ended,
    packets_in,
    bytes_in,
    packets_out,
    bytes_out,
});
