//! Reading whole maps with few system calls.

use std::io;

use aya::Pod;
use aya::maps::MapData;
use zerocopy::FromBytes;

use super::{mapping, sys};

/// Entries of the first call; a hash with a larger bucket asks for more.
const ENTRIES: usize = 8_192;

/// Calls `visit` for each entry of an array.
pub(crate) fn for_each_index<V: Pod + FromBytes>(
    map: &MapData,
    mut visit: impl FnMut(u32, V),
) -> io::Result<()> {
    if mapping::for_each(map, &mut visit)? { Ok(()) } else { for_each(map, visit) }
}

/// Calls `visit` for each entry of an array or a hash.
pub(crate) fn for_each<K: Pod + FromBytes, V: Pod + FromBytes>(
    map: &MapData,
    mut visit: impl FnMut(K, V),
) -> io::Result<()> {
    let mut position = None;
    let mut keys = vec![K::new_zeroed(); ENTRIES];
    let mut values = vec![V::new_zeroed(); ENTRIES];
    loop {
        match sys::lookup_batch(map, &mut position, &mut keys, &mut values) {
            Ok((count, more)) => {
                for (key, value) in keys.iter().zip(&values).take(count) {
                    visit(*key, *value);
                }
                if !more {
                    return Ok(());
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                let entries = keys.len() * 2;
                keys.resize(entries, K::new_zeroed());
                values.resize(entries, V::new_zeroed());
            }
            Err(error) => return Err(error),
        }
    }
}
