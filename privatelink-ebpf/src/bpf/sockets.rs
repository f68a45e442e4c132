//! The host's own sockets.
//!
//! Each protocol has a function of its own, out of line: the verifier does not let one instruction
//! read a socket of two kinds.

use aya_ebpf::{
    bindings::{BPF_F_CURRENT_NETNS, bpf_sock, bpf_sock_tuple},
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use core::ffi::c_void;
use privatelink_ebpf::{
    Socket,
    wire::{Ip, Ipv4, Tcp, Transport as _},
};

/// Both addresses of a packet, then its ports, as the kernel takes them; for IPv4 a shorter part.
type Tuple = [u32; 9];

/// There is no socket.
const NONE: u64 = 0;
/// A socket that talks to the packet's sender.
const CONNECTED: u64 = 1;
/// A socket that talks to anybody.
const OPEN: u64 = 2;

/// States of a socket, as the kernel numbers them.
const ESTABLISHED: u32 = 1;
const CLOSE: u32 = 7;
const LISTEN: u32 = 10;
const NEW_SYN_RECV: u32 = 12;

/// Which socket of the host's own gets a packet with these addresses and ports that came in by this
/// interface.
#[inline(always)]
pub fn socket<I: Ip>(
    context: *mut c_void,
    source: I::Address,
    destination: I::Address,
    ports: u32,
    protocol: u32,
    ingress: u32,
) -> Socket {
    let (tuple, length): (Tuple, u32) = if I::ARRIVES == Ipv4::ARRIVES {
        let (from, to) = (I::to_addr(source).words()[3], I::to_addr(destination).words()[3]);
        ([from, to, ports, 0, 0, 0, 0, 0, 0], 12)
    } else {
        let ([a, b, c, d], [e, f, g, h]) =
            (I::to_addr(source).words(), I::to_addr(destination).words());
        ([a, b, c, d, e, f, g, h, ports], 36)
    };
    let found = if protocol == Tcp::PROTOCOL {
        tcp(context, &tuple, length)
    } else {
        udp(context, &tuple, length)
    };
    match found >> 32 {
        NONE => Socket::None,
        CONNECTED => Socket::Connected,
        // The number of the interface that it is bound to.
        _ if found as u32 == ingress => Socket::Bound,
        _ => Socket::None,
    }
}

/// What kind of socket gets a TCP packet, in the upper half, and the interface that it is bound to.
#[inline(never)]
fn tcp(context: *mut c_void, tuple: &Tuple, length: u32) -> u64 {
    let words = core::ptr::from_ref(tuple).cast_mut().cast::<bpf_sock_tuple>();
    // SAFETY: the context is the kernel's own, and the helper reads `length` bytes of the words.
    let socket = unsafe { bpf_skc_lookup_tcp(context, words, length, NETNS, 0) };
    if socket.is_null() {
        return NONE << 32;
    }
    // SAFETY: the kernel's record of a socket, which stays until it is released.
    let state = unsafe { (*socket).state };
    // SAFETY: as above.
    let interface = unsafe { (*socket).bound_dev_if };
    release(socket);
    let kind = if state == LISTEN || state == NEW_SYN_RECV {
        OPEN
    } else if state == CLOSE {
        NONE
    } else {
        CONNECTED
    };
    kind << 32 | u64::from(interface)
}

/// What kind of socket gets a UDP packet, as above.
#[inline(never)]
fn udp(context: *mut c_void, tuple: &Tuple, length: u32) -> u64 {
    let words = core::ptr::from_ref(tuple).cast_mut().cast::<bpf_sock_tuple>();
    // SAFETY: as above.
    let socket = unsafe { bpf_sk_lookup_udp(context, words, length, NETNS, 0) };
    if socket.is_null() {
        return NONE << 32;
    }
    // SAFETY: the kernel's record of a socket, which stays until it is released.
    let state = unsafe { (*socket).state };
    // SAFETY: as above.
    let interface = unsafe { (*socket).bound_dev_if };
    release(socket);
    let kind = if state == ESTABLISHED { CONNECTED } else { OPEN };
    kind << 32 | u64::from(interface)
}

/// The network namespace of the interface that the packet came in on.
const NETNS: u64 = (BPF_F_CURRENT_NETNS as i64).cast_unsigned();

#[inline(always)]
fn release(socket: *mut bpf_sock) {
    // SAFETY: the helper's own reference, released once and not used again.
    unsafe { bpf_sk_release(socket.cast()) };
}
