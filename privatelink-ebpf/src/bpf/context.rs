//! The frame behind an XDP context.

use crate::sockets;
use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_md,
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, generated::bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use core::mem::offset_of;
use privatelink_ebpf::{
    Frame, Socket,
    wire::{Ip, Wire},
};

/// A frame in the driver's buffer.
pub struct XdpFrame {
    context: XdpContext,
}

impl XdpFrame {
    /// The frame that the program was called for.
    #[inline(always)]
    pub fn new(context: XdpContext) -> Self {
        Self { context }
    }

    /// The kernel's context.
    #[inline(always)]
    pub fn context(&self) -> &XdpContext {
        &self.context
    }

    /// Where the first buffer begins and ends.
    ///
    /// The kernel puts addresses into 32-bit fields when it loads the program. The compiler must
    /// not know how narrow they look, or it spills half an address.
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
                context = in(reg) self.context.ctx,
                at_start = const offset_of!(xdp_md, data),
                at_end = const offset_of!(xdp_md, data_end),
                options(nostack, readonly, pure),
            );
        }
        (start, end)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the context is the kernel's own, for as long as the program runs.
        let length = unsafe { bpf_xdp_get_buff_len(self.context.as_ptr().cast()) };
        length as usize
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn view<H: Wire>(&mut self, offset: usize) -> Option<&mut H> {
        let (start, end) = self.bounds();
        let start = start + offset;
        if start + size_of::<H>() > end {
            return None;
        }
        // SAFETY: a packet is nowhere near address zero.
        unsafe { core::hint::assert_unchecked(start != 0) };
        // SAFETY: the bytes lie within the frame (the verifier checks the comparison above), any
        // bytes at any address are an `H`, and the exclusive borrow of the frame lasts as long.
        Some(unsafe { &mut *(start as *mut H) })
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        // Most frames lie in one buffer; the helper knows about the others.
        let (start, end) = self.bounds();
        start + length <= end || self.length() >= length
    }

    #[inline(always)]
    fn resize(&mut self, length: usize) -> Option<()> {
        let by = length as i32 - self.length() as i32;
        // SAFETY: the context is the kernel's own; no reference into the frame is alive, because
        // `self` is borrowed exclusively.
        let result = unsafe { bpf_xdp_adjust_tail(self.context.ctx, by) };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn shift(&mut self, by: i32) -> Option<()> {
        // SAFETY: as in `resize`.
        let result = unsafe { bpf_xdp_adjust_head(self.context.ctx, by) };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.context.ingress_ifindex() as u32
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
