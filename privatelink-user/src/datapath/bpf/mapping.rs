//! Arrays of the kernel in this process's memory, so that reading an entry needs no system call.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    ptr::NonNull,
};

use aya::{Pod, maps::MapData};
use aya_obj::generated::BPF_F_MMAPABLE;
use zerocopy::FromBytes;

/// The kernel aligns each value of an array to this.
const ALIGNMENT: usize = 8;

/// The values of an array, mapped for reading.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    stride: usize,
    count: usize,
}

// SAFETY: the memory belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing is written through it.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the array, of which every value has the size of `V`.
    pub(super) fn of<V>(map: &MapData) -> io::Result<Self> {
        let info = map.info().map_err(io::Error::other)?;
        if info.value_size() as usize != size_of::<V>() {
            return Err(io::Error::other("its values have another size"));
        }
        let (stride, count) =
            (size_of::<V>().next_multiple_of(ALIGNMENT), info.max_entries() as usize);
        // SAFETY: a new mapping of its own, so it overlaps nothing.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                stride * count,
                libc::PROT_READ,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(address.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { base, stride, count })
    }

    /// Where the first value lies, and how many follow each other, up to a page's alignment.
    pub(super) fn values(&self) -> (NonNull<u8>, usize) {
        (self.base, self.count)
    }

    /// A copy of one value, if there is one at this index.
    pub(super) fn value<V: Pod + FromBytes>(&self, index: u32) -> Option<V> {
        const { assert!(align_of::<V>() <= ALIGNMENT) };
        let index = index as usize;
        (index < self.count).then(|| self.copy(index))
    }

    /// Copies of all values.
    pub(super) fn iter<V: Pod + FromBytes>(&self) -> impl Iterator<Item = V> {
        const { assert!(align_of::<V>() <= ALIGNMENT) };
        (0..self.count).map(|index| self.copy(index))
    }

    /// A copy of one value.
    fn copy<V: Pod + FromBytes>(&self, index: usize) -> V {
        assert!(index < self.count && size_of::<V>() <= self.stride);
        // SAFETY: within the mapping, as was just checked.
        let place = unsafe { self.base.add(index * self.stride) }.cast::<V>();
        // SAFETY: readable as long as `self` lives, aligned since the stride is, any bytes are
        // valid. Volatile, since the kernel may write to it.
        unsafe { place.read_volatile() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and every reference into it borrows `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.stride * self.count) };
    }
}

/// Calls `visit` for each entry of an array, if it can be mapped; else returns `false`.
pub(super) fn for_each<V: Pod + FromBytes>(
    map: &MapData,
    mut visit: impl FnMut(u32, V),
) -> io::Result<bool> {
    const { assert!(align_of::<V>() <= ALIGNMENT) };
    let flags = map.info().map_err(io::Error::other)?.map_flags();
    if flags & BPF_F_MMAPABLE == 0 {
        return Ok(false);
    }
    let mapping = Mapping::of::<V>(map)?;
    for (number, index) in (0..mapping.count).zip(0..) {
        visit(index, mapping.copy(number));
    }
    Ok(true)
}
