//! The frame behind a tc context: a buffer of the kernel's stack.
//!
//! It may stand for many packets that the kernel cuts later, its tag may lie beside it, and the
//! checksum of its transport may be half done. Only its first bytes are where a program can see
//! them.

use crate::sockets;
use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR,
        bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::{
        bpf_l4_csum_replace, bpf_skb_adjust_room, bpf_skb_change_proto, bpf_skb_change_tail,
        bpf_skb_pull_data, bpf_skb_vlan_pop, bpf_skb_vlan_push,
    },
    programs::TcContext,
};
use core::mem::offset_of;
use privatelink_ebpf::{
    Frame, Segments, Socket,
    wire::{ETHERNET_LEN, EtherType, Ethernet, Gains, Ip, Ipv6, Transport, Udp, VlanTag, Wire},
};

/// Bytes of the headers of an established flow's packet, without options.
const PLAIN: usize = ETHERNET_LEN + Ipv6::LEN + 20;
/// Bytes of all headers that the later stages read: extension headers and a transport's options
/// included, or a quoted packet.
const ALL: usize = ETHERNET_LEN + Ipv6::LEN + 256 + 64;

/// A frame in a buffer of the kernel's stack.
pub struct BufferFrame {
    context: TcContext,
}

/// A field of the kernel's context. The compiler must not join or narrow these loads: the kernel
/// replaces each instruction.
macro_rules! field {
    ($frame:expr, $field:ident) => {{
        let value: u64;
        // SAFETY: loads a field of the kernel's context.
        unsafe {
            core::arch::asm!(
                "{value} = *(u32 *)({context} + {at})",
                value = out(reg) value,
                context = in(reg) $frame.context.skb.skb,
                at = const offset_of!(__sk_buff, $field),
                options(nostack, readonly, pure),
            );
        }
        value
    }};
}

impl BufferFrame {
    /// The frame that the first program was called for.
    #[inline(always)]
    pub fn first(context: TcContext) -> Self {
        Self::seen(context, PLAIN)
    }

    /// The frame that a later program was called for.
    #[inline(always)]
    pub fn later(context: TcContext) -> Self {
        Self::seen(context, ALL)
    }

    #[inline(always)]
    fn seen(context: TcContext, length: usize) -> Self {
        let mut frame = Self { context };
        frame.gather(length);
        frame
    }

    /// The kernel's context.
    #[inline(always)]
    pub fn context(&self) -> &TcContext {
        &self.context
    }

    /// Whether it has a tag that is not 802.1Q's, or two.
    #[inline(always)]
    pub fn has_foreign_tag(&self) -> bool {
        if field!(self, vlan_present) == 0 {
            return false;
        }
        let within = field!(self, protocol) as u16;
        field!(self, vlan_proto) as u16 != EtherType::TAGGED
            || within == EtherType::TAGGED
            || within == EtherType::SERVICE_TAGGED
    }

    /// Whether the tag lies beside the frame.
    #[inline(always)]
    pub fn is_tagged_beside(&self) -> bool {
        field!(self, vlan_present) != 0
    }

    /// Where the bytes begin and end that are visible; addresses, as in `XdpFrame`.
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        let (start, end): (usize, usize);
        // SAFETY: loads two fields of the kernel's context.
        unsafe {
            core::arch::asm!(
                "{start} = *(u32 *)({context} + {at_start})",
                "{end} = *(u32 *)({context} + {at_end})",
                start = out(reg) start,
                end = lateout(reg) end,
                context = in(reg) self.context.skb.skb,
                at_start = const offset_of!(__sk_buff, data),
                at_end = const offset_of!(__sk_buff, data_end),
                options(nostack, readonly, pure),
            );
        }
        (start, end)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        field!(self, len) as usize
    }

    /// Adds bytes between the Ethernet header and what follows, or removes some.
    #[inline(always)]
    fn make_room(&mut self, by: i32) -> Option<()> {
        if by == 0 {
            return Some(());
        }
        let flags = u64::from(BPF_F_ADJ_ROOM_FIXED_GSO);
        // SAFETY: the context is the kernel's own; no reference into the frame is alive, because
        // `self` is borrowed exclusively.
        let result =
            unsafe { bpf_skb_adjust_room(self.context.skb.skb, by, BPF_ADJ_ROOM_MAC, flags) };
        (result == 0).then_some(())
    }

    /// Changes a checksum by a difference, in the way that its state asks for.
    #[inline(always)]
    fn replace(&mut self, at: usize, gain: u16, flags: u64) -> Option<()> {
        // SAFETY: as above.
        let result = unsafe {
            bpf_l4_csum_replace(self.context.skb.skb, at as u32, 0, u64::from(gain), flags)
        };
        (result == 0).then_some(())
    }
}

/// Changes a checksum by what a rewrite has changed; the kernel sees whether it is half done.
///
/// Out of line: some stages have no stack to spare.
#[inline(never)]
fn amend(skb: *mut __sk_buff, at: u32, gains: Gains, flags: u32) -> bool {
    // A sum of zero changes nothing, in either of its forms.
    let changes = |gain: u16| gain != 0 && gain != 0xffff;
    let replace = |gain: u16, flags: u32| {
        // SAFETY: the context is the kernel's own, and no reference into the frame is alive.
        let result = unsafe { bpf_l4_csum_replace(skb, at, 0, u64::from(gain), u64::from(flags)) };
        result == 0
    };
    (!changes(gains.pseudo) || replace(gains.pseudo, flags | BPF_F_PSEUDO_HDR))
        && (!changes(gains.rest()) || replace(gains.rest(), flags))
}

impl Frame for BufferFrame {
    const DEFERS_CHECKSUMS: bool = true;

    #[inline(always)]
    fn view<H: Wire>(&mut self, offset: usize) -> Option<&mut H> {
        let (start, end) = self.bounds();
        let start = start + offset;
        if start + size_of::<H>() > end {
            return None;
        }
        // SAFETY: a packet is nowhere near address zero.
        unsafe { core::hint::assert_unchecked(start != 0) };
        // SAFETY: the bytes lie within the visible part (the verifier checks the comparison above),
        // any bytes at any address are an `H`, and the exclusive borrow of the frame lasts as long.
        Some(unsafe { &mut *(start as *mut H) })
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        self.length() >= length
    }

    #[inline(always)]
    fn resize(&mut self, length: usize) -> Option<()> {
        // The helper also ends that the kernel will cut the frame, whatever the length.
        if self.length() == length && field!(self, gso_size) == 0 {
            return Some(());
        }
        // SAFETY: as in `make_room`.
        let result = unsafe { bpf_skb_change_tail(self.context.skb.skb, length as u32, 0) };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn shift(&mut self, by: i32) -> Option<()> {
        self.make_room(-by)
    }

    #[inline(always)]
    fn change_family(&mut self, ethertype: u16, by: i32) -> Option<()> {
        // How much the helper adds by itself.
        let added = if ethertype == EtherType::IPV6 { 20 } else { -20 };
        // SAFETY: as in `make_room`.
        let result = unsafe { bpf_skb_change_proto(self.context.skb.skb, ethertype, 0) };
        if result != 0 {
            return None;
        }
        self.make_room(-by - added)
    }

    #[inline(always)]
    fn gather(&mut self, length: usize) {
        let (start, end) = self.bounds();
        if start + length <= end {
            return;
        }
        let all = self.length();
        let length = if length < all { length } else { all };
        // Where it fails, `view` finds nothing.
        // SAFETY: as in `make_room`.
        unsafe { bpf_skb_pull_data(self.context.skb.skb, length as u32) };
    }

    #[inline(always)]
    fn segments(&self) -> Segments {
        Segments::of(field!(self, gso_size) as u32, field!(self, gso_segs) as u32)
    }

    #[inline(always)]
    fn is_tagged(&mut self) -> bool {
        self.is_tagged_beside()
            || self
                .view::<Ethernet>(0)
                .is_some_and(|ethernet| ethernet.ethertype() == EtherType::TAGGED)
    }

    #[inline(always)]
    fn tag(&mut self) -> Option<u16> {
        if self.is_tagged_beside() {
            return Some(field!(self, vlan_tci) as u16);
        }
        Some(u16::from_be(self.view::<VlanTag>(ETHERNET_LEN)?.control()))
    }

    #[inline(always)]
    fn take_tag(&mut self) -> Option<()> {
        // SAFETY: as in `make_room`.
        let result = unsafe { bpf_skb_vlan_pop(self.context.skb.skb) };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn put_tag(&mut self, control: u16) -> Option<()> {
        let skb = self.context.skb.skb;
        // SAFETY: as in `make_room`.
        let result = unsafe { bpf_skb_vlan_push(skb, EtherType::TAGGED, control) };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn amend<L: Transport>(&mut self, at: usize, gains: Gains) -> Option<()> {
        let at = (at + L::CHECK) as u32;
        let zero = if L::PROTOCOL == Udp::PROTOCOL { BPF_F_MARK_MANGLED_0 } else { 0 };
        amend(self.context.skb.skb, at, gains, zero).then_some(())
    }

    #[inline(always)]
    fn is_unfinished<L: Transport>(&mut self, at: usize) -> bool {
        let at = at + L::CHECK;
        let Some(before) = self.view::<[u8; 2]>(at).copied() else { return false };
        // A checksum that has yet to be completed does not change with the payload.
        if self.replace(at, 1, 0).is_none() {
            return false;
        }
        let Some(check) = self.view::<[u8; 2]>(at) else { return false };
        let is_unfinished = *check == before;
        *check = before;
        is_unfinished
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        field!(self, ifindex) as u32
    }

    #[inline(always)]
    fn socket<I: Ip>(
        &self,
        source: I::Address,
        destination: I::Address,
        ports: u32,
        protocol: u32,
    ) -> Socket {
        let context = self.context.as_ptr().cast();
        sockets::socket::<I>(context, source, destination, ports, protocol, self.ingress())
    }
}
