//! 802.1Q tags: taken off before a frame is looked at, put on before it leaves.
//!
//! Only the later stages know of tags. The first carries none, and leaves what would have to get
//! one: the records of a tagged way say that nothing leaves by it untagged.

use crate::{
    environment::{Frame, Tables},
    stages::verdict::Verdict,
    wire::{ETHERNET_LEN, EtherType, Ethernet, VlanTag},
};
use privatelink_common::{Scratch, TagKey};

/// Takes a frame's tag off; the network that it stands for, if it is one of ours.
#[inline(never)]
pub fn take_off<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &Scratch) -> Option<u32> {
    let control = u16::from_be(frame.view::<VlanTag>(ETHERNET_LEN)?.control());
    let vlan = control & VlanTag::VLAN;
    let network = tables.tagged(&TagKey { ifindex: frame.ingress(), vlan: vlan.into() })?;
    let ethernet = frame.view::<Ethernet>(0)?;
    let (to, from) = (ethernet.to(), ethernet.from());
    frame.shift(size_of::<VlanTag>() as i32)?;
    // The payload's ethertype lies where the header has it now.
    frame.view::<Ethernet>(0)?.readdress(from, to);
    scratch.tag.store(Scratch::TAGGED | u32::from(control));
    // What answers goes back as it came.
    scratch.leaves.store(Scratch::TAGGED | u32::from(control));
    Some(network)
}

/// The tag of a packet that goes on to a VLAN, or to none: its priority stays.
#[inline(always)]
pub fn leave_by(scratch: &Scratch, vlan: u16) {
    let priority = scratch.tag.load() & u32::from(VlanTag::PRIORITY);
    let tag = Scratch::TAGGED | priority | u32::from(vlan);
    scratch.leaves.store(if vlan == 0 { 0 } else { tag });
}

/// Puts the tag on a frame that it has to have for what becomes of it; whether that could be done.
///
/// Out of line, and by reference: a verdict that were taken apart for this would be put together
/// again with what the verifier takes for uninitialised.
#[inline(never)]
pub fn leave<F: Frame, T: Tables>(frame: &mut F, tables: &T, verdict: &Verdict) -> bool {
    let Some(scratch) = tables.scratch() else { return false };
    let tag = match verdict {
        Verdict::Next(_) => return true,
        Verdict::Send { .. } => scratch.leaves.load(),
        Verdict::Pass | Verdict::Drop(_) | Verdict::Reply { .. } => scratch.tag.load(),
    };
    tag == 0 || insert(frame, tag as u16).is_some()
}

#[inline(always)]
fn insert<F: Frame>(frame: &mut F, control: u16) -> Option<()> {
    let ethernet = frame.view::<Ethernet>(0)?;
    let (to, from) = (ethernet.to(), ethernet.from());
    frame.shift(-(size_of::<VlanTag>() as i32))?;
    let ethernet = frame.view::<Ethernet>(0)?;
    ethernet.readdress(from, to);
    ethernet.set_ethertype(EtherType::TAGGED);
    frame.view::<VlanTag>(ETHERNET_LEN)?.set_control(control.to_be());
    Some(())
}
