//! The flow table as the programs see it: mapped into memory, read without a system call.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

use aya::maps::MapData;
use privatelink_common::TICK_SHIFT;
use privatelink_common::flow::{Flow, Slot, word};

/// The slots of a flow table.
#[derive(Debug)]
pub(super) struct FlowTable {
    slots: NonNull<Slot>,
    count: usize,
}

// SAFETY: the mapping belongs to no thread, and a slot is made of atomics only.
unsafe impl Send for FlowTable {}
// SAFETY: as above; nothing is written through it.
unsafe impl Sync for FlowTable {}

impl FlowTable {
    /// Maps the table `map`, of which every value is a [`Slot`], for reading.
    pub(super) fn map(map: &MapData) -> io::Result<Self> {
        let info = map.info().map_err(io::Error::other)?;
        if info.value_size() as usize != size_of::<Slot>() {
            return Err(io::Error::other("its slots have another size"));
        }
        let count = info.max_entries() as usize;
        // SAFETY: a new mapping of its own, so it overlaps nothing.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * size_of::<Slot>(),
                libc::PROT_READ,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let slots = NonNull::new(address.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { slots, count })
    }

    fn slots(&self) -> &[Slot] {
        // SAFETY: mapped with this length until `self` is dropped, aligned to a page, and any
        // bytes are a slot; the programs write to it only what atomics may see change.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr(), self.count) }
    }

    /// Copies of the slots that are in use. One that changes hands meanwhile is left out.
    pub(super) fn live(&self) -> impl Iterator<Item = Flow> {
        self.slots().iter().filter_map(|slot| {
            let flow = slot.load();
            let again = slot.word();
            (flow.is_live() && same_flow(flow.word, again)).then_some(flow)
        })
    }
}

/// Whether two looks at a slot saw the same flow, which may have come further meanwhile.
fn same_flow(before: u32, after: u32) -> bool {
    const WHOSE: u32 = word::LIFE | word::REVERSE | word::PROTOCOL;
    before & WHOSE == after & WHOSE
}

impl Drop for FlowTable {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and every reference into it borrows `self`.
        unsafe { libc::munmap(self.slots.as_ptr().cast(), self.count * size_of::<Slot>()) };
    }
}

/// The time as the programs see it, in ticks: what [`Flow::last_seen`] is compared with.
pub fn now_ticks() -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes the time to where it is told. It cannot fail: the clock exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    let nanos = time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned();
    // Ticks wrap after two years of uptime, in the kernel as here.
    (nanos >> TICK_SHIFT) as u32
}
