//! 802.1Q tags: removed before a frame is read, added before it leaves.
//!
//! Only the later stages know of tags. The first stage passes on every frame that has one, and
//! every packet that must get one: in the records of a tagged network the largest untagged packet
//! is zero.

use crate::{
    environment::{Frame, Tables},
    stages::verdict::Verdict,
    wire::VlanTag,
};
use privatelink_common::{Scratch, TAGGED_ONLY, TagKey};

/// Removes a frame's tag; returns the network of the VLAN, if there is one.
///
/// A tag of VLAN 0 has nothing but a priority: the host's stack takes such a frame for an untagged
/// one, so it belongs to the `untagged` network.
#[inline(never)]
pub fn take_off<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
    untagged: u32,
) -> Option<u32> {
    let control = frame.tag()?;
    let vlan = control & VlanTag::VLAN;
    let network = if vlan == 0 && untagged != TAGGED_ONLY {
        untagged
    } else {
        tables.tagged(&TagKey { ifindex: frame.ingress(), vlan: vlan.into() })?
    };
    frame.take_tag()?;
    scratch.tag.store(Scratch::TAGGED | u32::from(control));
    // An answer gets the tag of the packet that it answers.
    scratch.leaves.store(Scratch::TAGGED | u32::from(control));
    Some(network)
}

/// Notes the tag of a packet that leaves for a VLAN, or for an untagged network. The priority of
/// the tag that it came with is kept.
#[inline(always)]
pub fn leave_by(scratch: &Scratch, vlan: u16) {
    let priority = scratch.tag.load() & u32::from(VlanTag::PRIORITY);
    let tag = Scratch::TAGGED | priority | u32::from(vlan);
    scratch.leaves.store(if vlan == 0 { 0 } else { tag });
}

/// Adds the tag that a frame needs for its verdict; returns whether that succeeded.
///
/// Out of line, and by reference: the compiler would otherwise take the verdict apart and put it
/// together again with fields that were never written, which the verifier refuses.
#[inline(never)]
pub fn leave<F: Frame, T: Tables>(frame: &mut F, tables: &T, verdict: &Verdict) -> bool {
    let Some(scratch) = tables.scratch() else { return false };
    let tag = match verdict {
        Verdict::Next(_) => return true,
        Verdict::Send { .. } => scratch.leaves.load(),
        Verdict::Pass | Verdict::Drop(_) | Verdict::Reply { .. } => scratch.tag.load(),
    };
    tag == 0 || frame.put_tag(tag as u16).is_some()
}
