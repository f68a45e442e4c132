//! Access to a packet.

use super::segments::Segments;
use crate::wire::{ETHERNET_LEN, EtherType, Ethernet, Gains, Ip, Transport, VlanTag, Wire};

/// A frame as it arrived on an interface.
///
/// A change of its size invalidates the references that `view` returned; the exclusive borrow
/// rules that out.
///
/// What has a body here is right for frames as they are on a wire: one packet each, with its tag
/// and a whole checksum. The kernel's own frames differ: it cuts them, tags them and completes
/// their checksums where they leave the host.
pub trait Frame {
    /// Whether the checksum of a transport must be changed by [`Frame::amend`] alone.
    const DEFERS_CHECKSUMS: bool = false;

    /// The header at an offset, if the frame reaches so far.
    fn view<H: Wire>(&mut self, offset: usize) -> Option<&mut H>;
    /// Whether the frame has at least this many bytes, in its first buffer or in later ones.
    fn holds(&self, length: usize) -> bool;
    /// Makes the frame this long; new bytes at its end are zero.
    fn resize(&mut self, length: usize) -> Option<()>;
    /// Moves the frame's beginning by this many bytes: forward, or backward if negative.
    ///
    /// Bytes that become part of the frame hold data of other packets until they are written. The
    /// caller must write all of them, or that data leaks.
    fn shift(&mut self, by: i32) -> Option<()>;
    /// [`Frame::shift`] for a packet that becomes one of the other family, with this ethertype.
    #[inline(always)]
    fn change_family(&mut self, _ethertype: u16, by: i32) -> Option<()> {
        self.shift(by)
    }
    /// Lets `view` see this many bytes from the beginning, if the frame has so many.
    #[inline(always)]
    fn gather(&mut self, _length: usize) {}
    /// The packets that it stands for.
    #[inline(always)]
    fn segments(&self) -> Segments {
        Segments::ONE
    }

    /// Whether it has an 802.1Q tag.
    #[inline(always)]
    fn is_tagged(&mut self) -> bool {
        self.view::<Ethernet>(0).is_some_and(|ethernet| ethernet.ethertype() == EtherType::TAGGED)
    }
    /// Priority and VLAN of its tag.
    #[inline(always)]
    fn tag(&mut self) -> Option<u16> {
        Some(u16::from_be(self.view::<VlanTag>(ETHERNET_LEN)?.control()))
    }
    /// Removes its tag.
    #[inline(always)]
    fn take_tag(&mut self) -> Option<()> {
        let ethernet = self.view::<Ethernet>(0)?;
        let (to, from) = (ethernet.to(), ethernet.from());
        self.shift(size_of::<VlanTag>() as i32)?;
        // The payload's ethertype lies where the header has it now.
        self.view::<Ethernet>(0)?.readdress(from, to);
        Some(())
    }
    /// Adds a tag.
    #[inline(always)]
    fn put_tag(&mut self, control: u16) -> Option<()> {
        let ethernet = self.view::<Ethernet>(0)?;
        let (to, from) = (ethernet.to(), ethernet.from());
        self.shift(-(size_of::<VlanTag>() as i32))?;
        let ethernet = self.view::<Ethernet>(0)?;
        ethernet.readdress(from, to);
        ethernet.set_ethertype(EtherType::TAGGED);
        self.view::<VlanTag>(ETHERNET_LEN)?.set_control(control.to_be());
        Some(())
    }

    /// Changes the checksum of the transport header at an offset, whose packet changes.
    #[inline(always)]
    fn amend<L: Transport>(&mut self, at: usize, gains: Gains) -> Option<()> {
        self.view::<L>(at)?.amend(gains.whole);
        Some(())
    }
    /// Whether the kernel has yet to complete the checksum of the transport header at an offset,
    /// which is the sum of the pseudo header until then.
    #[inline(always)]
    fn is_unfinished<L: Transport>(&mut self, _at: usize) -> bool {
        false
    }

    /// Index of the interface that it came in on.
    fn ingress(&self) -> u32;
    /// Which socket of the host's own gets a packet with these addresses and ports, if it comes
    /// without a tag.
    fn socket<I: Ip>(
        &self,
        source: I::Address,
        destination: I::Address,
        ports: u32,
        protocol: u32,
    ) -> Socket;
}

/// A socket of the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Socket {
    /// There is none, or one that takes packets of anybody by any interface.
    None = 0,
    /// It talks to this sender.
    Connected = 1,
    /// It takes packets of anybody by this interface.
    Bound = 2,
}
