//! The datapath's unit of time.

/// One tick of the datapath's clock is 2^24 ns (16.8 ms): no division in the kernel, and a
/// `u32` of ticks wraps only after two years. The clock counts the kernel's jiffies, which costs
/// a packet nothing; user space asks the datapath for the time.
pub const TICK_SHIFT: u32 = 24;

/// Converts a duration in milliseconds to ticks, rounded up.
pub const fn ticks_from_millis(millis: u64) -> u32 {
    let ticks = (millis * 1_000_000).div_ceil(1 << TICK_SHIFT);
    if ticks > u32::MAX as u64 { u32::MAX } else { ticks as u32 }
}
