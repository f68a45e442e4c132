//! Reading whole maps with few system calls.

use std::{io, iter::Sum};

use aya::{Pod, maps::MapData};
use zerocopy::FromBytes;

use super::{mapping, sys};

/// Entries of the first call; doubled if a bucket of a hash holds more.
const ENTRIES: usize = 8_192;
/// The same where each entry has a value for every CPU, of which there may be hundreds.
const PER_CPU_ENTRIES: usize = 1_024;

/// Calls `visit` for each entry of an array.
pub(super) fn for_each_index<V: Pod + FromBytes>(
    map: &MapData,
    mut visit: impl FnMut(u32, V),
) -> io::Result<()> {
    if mapping::for_each(map, &mut visit)? { Ok(()) } else { for_each(map, visit) }
}

/// Calls `visit` for each entry of an array or a hash.
pub(super) fn for_each<K: Pod + FromBytes, V: Pod + FromBytes>(
    map: &MapData,
    mut visit: impl FnMut(K, V),
) -> io::Result<()> {
    for_each_of(map, ENTRIES, |key, values: &[V]| {
        values.iter().for_each(|value| visit(key, *value));
    })
}

/// Calls `visit` for each entry of a per-CPU map, with the sum over all CPUs.
pub(super) fn for_each_sum<K: Pod + FromBytes, V: Pod + FromBytes + Sum>(
    map: &MapData,
    mut visit: impl FnMut(K, V),
) -> io::Result<()> {
    for_each_of(map, PER_CPU_ENTRIES, |key, cpus: &[V]| visit(key, cpus.iter().copied().sum()))
}

/// Calls `visit` for each entry of a map, with its one value, or those of all CPUs.
pub(super) fn for_each_of<K: Pod + FromBytes, V: Pod + FromBytes>(
    map: &MapData,
    entries: usize,
    mut visit: impl FnMut(K, &[V]),
) -> io::Result<()> {
    let each = sys::values_per_key(map)?;
    let mut position = None;
    let mut keys = vec![K::new_zeroed(); entries];
    let mut values = vec![V::new_zeroed(); entries * each];
    loop {
        match sys::lookup_batch(map, &mut position, &mut keys, &mut values) {
            Ok((count, more)) => {
                for (key, values) in keys.iter().zip(values.chunks(each)).take(count) {
                    visit(*key, values);
                }
                if !more {
                    return Ok(());
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                let entries = keys.len() * 2;
                keys.resize(entries, K::new_zeroed());
                values.resize(entries * each, V::new_zeroed());
            }
            Err(error) => return Err(error),
        }
    }
}

/// The sums over all CPUs of the values at these indices of a per-CPU array, in their order.
pub(super) fn sums<V: Pod + FromBytes + Sum>(map: &MapData, indices: &[u32]) -> io::Result<Vec<V>> {
    let each = sys::values_per_key(map)?;
    let mut wanted: Vec<(u32, usize)> = indices.iter().copied().zip(0..).collect();
    wanted.sort_unstable();
    let mut sums = vec![V::new_zeroed(); indices.len()];
    let mut keys = vec![0u32; PER_CPU_ENTRIES];
    let mut values = vec![V::new_zeroed(); PER_CPU_ENTRIES * each];
    let mut rest = wanted.as_slice();
    while let Some((first, _)) = rest.first().copied() {
        let window = first..first.saturating_add(PER_CPU_ENTRIES as u32);
        let (near, far) = rest.split_at(rest.partition_point(|(index, _)| window.contains(index)));
        let last = near.last().map_or(first, |(index, _)| *index);
        let count = (last - first) as usize + 1;
        // The kernel continues after the position.
        let mut position = first.checked_sub(1);
        let (keys, values) = (&mut keys[..count], &mut values[..count * each]);
        let (read, _) = sys::lookup_batch(map, &mut position, keys, values)?;
        for (index, place) in near {
            let number = (index - first) as usize;
            if number >= read || keys.get(number) != Some(index) {
                return Err(io::Error::other(format!("it has no entry {index}")));
            }
            sums[*place] = values[number * each..][..each].iter().copied().sum();
        }
        rest = far;
    }
    Ok(sums)
}
