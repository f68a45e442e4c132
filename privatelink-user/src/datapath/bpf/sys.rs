//! The calls of bpf(2) that the loader library lacks or makes in another way.
//!
//! When the kernel answers EINVAL, the library falls back to attaching by netlink, which leaves a
//! program on the interface that cannot be pinned; it has neither batches nor a forced detach.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

use aya::{
    Pod,
    maps::{MapData, MapError, MapType},
    util::nr_cpus,
};
use aya_obj::generated::{
    BPF_F_BEFORE, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, bpf_attach_type, bpf_cmd,
};
use zerocopy::{FromBytes, IntoBytes};

use super::mode::Mode;

#[derive(IntoBytes, FromBytes)]
#[repr(C)]
struct PathArguments {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[derive(IntoBytes, FromBytes)]
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    /// Of tc: the program beside which this one goes, none, and the expected revision, any.
    relative: u32,
    reserved: u32,
    revision: u64,
}

#[derive(IntoBytes, FromBytes)]
#[repr(C)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

#[derive(IntoBytes, FromBytes)]
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

#[derive(IntoBytes, FromBytes)]
#[repr(C)]
struct LookupBatch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The kernel rounds the size of each CPU's value up to a multiple of this.
const PER_CPU_ALIGNMENT: usize = 8;

/// Waits until every program that is running now, on any CPU, has finished with its packet.
///
/// A program runs within an RCU read-side section, and this kind of membarrier waits for a grace
/// period of RCU. So no program can use afterwards what it read from a map before the call.
pub fn quiesce() {
    // SAFETY: the call takes two numbers and a third that this command ignores.
    let waited = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if waited != 0 {
        // A kernel with tickless CPUs (nohz_full) refuses. Programs finish within microseconds, so
        // a fixed wait is long enough there.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Opens the map, program or link that is pinned at `path`.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut arguments = PathArguments { pathname: name.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the path is a string that lives until the call returns.
    let fd = unsafe { call(bpf_cmd::BPF_OBJ_GET, &mut arguments) }?;
    owned(fd)
}

/// Pins `object` at `path`, which keeps it alive.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut arguments =
        PathArguments { pathname: name.as_ptr() as u64, bpf_fd: number(object), file_flags: 0 };
    // SAFETY: the path is a string that lives until the call returns.
    unsafe { call(bpf_cmd::BPF_OBJ_PIN, &mut arguments) }.map(drop)
}

/// Attaches a program to an interface: before all others, where there may be several.
pub(super) fn create_link(
    program: BorrowedFd<'_>,
    ifindex: u32,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let mut arguments = LinkCreate {
        prog_fd: number(program),
        target_ifindex: ifindex,
        attach_type: match mode {
            Mode::Native | Mode::Generic => bpf_attach_type::BPF_XDP,
            Mode::Tc => bpf_attach_type::BPF_TCX_INGRESS,
        } as u32,
        flags: match mode {
            Mode::Native => XDP_FLAGS_DRV_MODE,
            Mode::Generic => XDP_FLAGS_SKB_MODE,
            Mode::Tc => BPF_F_BEFORE,
        },
        relative: 0,
        reserved: 0,
        revision: 0,
    };
    // SAFETY: these arguments hold no address.
    let fd = unsafe { call(bpf_cmd::BPF_LINK_CREATE, &mut arguments) }?;
    owned(fd)
}

/// Replaces the program of a link; no packet passes without one.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut arguments = LinkUpdate {
        link_fd: number(link),
        new_prog_fd: number(program),
        flags: 0,
        old_prog_fd: 0,
    };
    // SAFETY: these arguments hold no address.
    unsafe { call(bpf_cmd::BPF_LINK_UPDATE, &mut arguments) }.map(drop)
}

/// Detaches a link from its interface at once, even if other descriptors or pins hold it.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut arguments = LinkDetach { link_fd: number(link) };
    // SAFETY: these arguments hold no address.
    unsafe { call(bpf_cmd::BPF_LINK_DETACH, &mut arguments) }.map(drop)
}

/// How many values each key of a map has: one, or one for each CPU.
pub(super) fn values_per_key(map: &MapData) -> io::Result<usize> {
    let per_cpu = matches!(
        map.info().and_then(|info| info.map_type()).map_err(as_io)?,
        MapType::PerCpuArray | MapType::PerCpuHash
    );
    if per_cpu { nr_cpus().map_err(|(_, error)| error) } else { Ok(1) }
}

/// Reads the next entries of a map into the two slices, from where `position` says.
///
/// Returns how many keys were read, and whether there are more. The error `ENOSPC` means that the
/// slices are too short for the next bucket of a hash.
pub(super) fn lookup_batch<K: Pod + FromBytes, V: Pod + FromBytes>(
    map: &MapData,
    position: &mut Option<u32>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<(usize, bool)> {
    use std::os::fd::AsFd;
    let shape = map.info().map_err(as_io)?;
    if shape.key_size() as usize != size_of::<K>() || shape.value_size() as usize != size_of::<V>()
    {
        return Err(io::Error::other("the map's entries have another size"));
    }
    let each = values_per_key(map)?;
    if each > 1 && !size_of::<V>().is_multiple_of(PER_CPU_ALIGNMENT) {
        return Err(io::Error::other("the kernel rounds the size of its values up"));
    }
    let before = *position;
    let mut after = 0u32;
    let mut arguments = LookupBatch {
        in_batch: before.as_ref().map_or(0, |from| std::ptr::from_ref(from) as u64),
        out_batch: std::ptr::from_mut(&mut after) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(keys.len().min(values.len() / each)).unwrap_or(u32::MAX),
        map_fd: number(map.fd().as_fd()),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the slices hold `count` entries of the sizes that were checked above, with as many
    // values as the kernel writes for each, any bytes are valid in them, and the positions are the
    // four bytes that arrays and hashes use.
    let done = unsafe { call(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut arguments) };
    let more = match done {
        Ok(_) => true,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => false,
        Err(error) => return Err(error),
    };
    *position = Some(after);
    Ok((arguments.count as usize, more))
}

/// Calls bpf(2).
///
/// # Safety
/// Every address in the arguments is valid for what the command does with it.
unsafe fn call<A: IntoBytes + FromBytes>(
    command: bpf_cmd,
    arguments: &mut A,
) -> io::Result<libc::c_long> {
    let address = std::ptr::from_mut(arguments);
    // SAFETY: the kernel reads and writes no more than the size given; the rest is the caller's.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, address, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call has just returned it, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor as bpf(2) expects it.
fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn as_io(error: MapError) -> io::Error {
    if let MapError::SyscallError(call) = error { call.io_error } else { io::Error::other(error) }
}
