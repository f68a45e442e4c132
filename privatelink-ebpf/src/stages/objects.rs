//! Cuts the extensions off an ICMP error (RFC 4884).
//!
//! A router appends objects to the packet that it quotes: the address of its interface, its name
//! (RFC 5837), labels of its paths. That is of no use beyond the gateway, and no business of the
//! other network.

use super::sum;
use crate::{
    environment::{Frame, Tables},
    wire::{ETHERNET_LEN, Fresh, Icmp, checksum},
};

/// Cuts off what stands behind the quoted packet, if the error says how long that is; `None` if
/// that does not work.
#[inline(never)]
pub fn cut_off<F: Frame, T: Tables, I: Fresh>(frame: &mut F, tables: &T) -> Option<()> {
    let message = frame.view::<Icmp>(ETHERNET_LEN + I::LEN)?;
    let (kind, rest) = (message.kind, message.rest());
    let shown = I::shown(kind, rest);
    if shown == 0 {
        return Some(());
    }
    let datagram = match &frame.view::<I>(ETHERNET_LEN)?.datagram() {
        Ok(datagram) => *datagram,
        Err(_) => return None,
    };
    let before = datagram.length.wrapping_sub(I::LEN as u32);
    let after = shown + size_of::<Icmp>() as u32;
    let length = if after < before { after } else { before };
    frame.resize(ETHERNET_LEN + I::LEN + (length & LONGEST) as usize)?;
    frame.view::<I>(ETHERNET_LEN)?.set_payload(length);
    let message = frame.view::<Icmp>(ETHERNET_LEN + I::LEN)?;
    message.set_rest(I::without_shown(rest));
    message.set_check(0);
    let sum = sum::over(frame, tables, ETHERNET_LEN + I::LEN, length)?;
    let sum = sum + I::control_sum(datagram.source, datagram.destination, length);
    frame.view::<Icmp>(ETHERNET_LEN + I::LEN)?.set_check(!checksum::fold(sum));
    Some(())
}

/// More than any message has that lies in one buffer; the verifier wants a bound.
const LONGEST: u32 = 0x3fff;
