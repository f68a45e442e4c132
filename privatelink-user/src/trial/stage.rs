//! Where frames are judged: the rehearsal, which is loaded when it is first needed.

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use privatelink_common::{Mac, Reason};

use super::{
    frame::{self, Part, Wire},
    subject::Subject,
    walk::Walk,
};
use crate::datapath::bpf::{Error, Rehearsal, Ruling};

/// The Ethernet address of a client that is nobody's: administered locally.
const CLIENT_MAC: Mac = [2, 0x70, 0x6c, 0, 0, 1];
/// The largest packet that the kernel takes for a test run, with room to spare.
const LARGEST: u16 = 3_000;
/// What a packet grows by that becomes one of IPv6: its header is longer, and may need one more.
const GROWTH: u16 = 28;
/// How often a packet is tried, each time from another port, so that each target's turn comes.
const TURNS: u16 = 16;

/// The rehearsal, once it is loaded.
pub struct RehearsalStage {
    pin_dir: PathBuf,
    max_flows: u32,
    loaded: Mutex<Option<Rehearsal>>,
}

/// What became of a packet that would open a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The packet.
    pub walk: Walk,
    /// What became of it.
    pub fate: Fate,
}

/// What becomes of a packet and of the answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is refused.
    Refused(Reason),
    /// The programs do not know the endpoint.
    Foreign,
    /// It is forwarded.
    Forwarded {
        /// From this source address and port.
        source: SocketAddr,
        /// To this target.
        target: SocketAddr,
        /// The largest segments that the two ends are told of: the target, and the client.
        segments: [Option<u16>; 2],
        /// What becomes of the target's answer.
        answer: Answer,
        /// The size of a packet that should pass, and does not, in either direction.
        stuck: Option<(u16, Reason)>,
    },
}

/// What becomes of a target's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It comes to the client, from the endpoint's address.
    Arrives,
    /// It is refused.
    Refused(Reason),
    /// It comes from elsewhere, to elsewhere, or nowhere.
    Astray,
}

impl fmt::Debug for RehearsalStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RehearsalStage").field("pin_dir", &self.pin_dir).finish_non_exhaustive()
    }
}

impl RehearsalStage {
    /// For the maps that are pinned in this directory, whose table is for so many flows.
    pub fn new(pin_dir: PathBuf, max_flows: u32) -> Self {
        Self { pin_dir, max_flows, loaded: Mutex::default() }
    }

    /// Has packets judged, one after the other. Takes a second the first time.
    ///
    /// # Errors
    /// When the programs cannot be loaded or run.
    pub fn rehearse(&self, subject: &Subject, walks: &[Walk]) -> Result<Vec<Judged>, Error> {
        let Some(account) = &subject.account else { return Ok(Vec::new()) };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        // What has failed is loaded anew the next time.
        let mut rehearsal = match loaded.take() {
            Some(rehearsal) => rehearsal,
            None => Rehearsal::load(&self.pin_dir, self.max_flows)?,
        };
        rehearsal.follow(account)?;
        let mut judged = Vec::new();
        for walk in walks {
            let fate = fate(&mut rehearsal, subject, walk)?;
            judged.push(Judged { walk: walk.clone(), fate });
        }
        *loaded = Some(rehearsal);
        Ok(judged)
    }
}

/// The worst that becomes of a packet from any of some ports.
fn fate(rehearsal: &mut Rehearsal, subject: &Subject, walk: &Walk) -> Result<Fate, Error> {
    let mut worst = None;
    for turn in 0..TURNS {
        let mut walk = walk.clone();
        walk.client.set_port(walk.client.port() + turn);
        rehearsal.begin_anew()?;
        let fate = one(rehearsal, subject, &walk)?;
        let is_good = matches!(fate, Fate::Forwarded { answer: Answer::Arrives, stuck: None, .. });
        if worst.is_none() || !is_good {
            worst = Some(fate);
        }
        if !is_good {
            break;
        }
    }
    Ok(worst.unwrap_or(Fate::Foreign))
}

fn one(rehearsal: &mut Rehearsal, subject: &Subject, walk: &Walk) -> Result<Fate, Error> {
    let link = &subject.consumer_link;
    let Some(ifindex) = link.ifindex else { return Ok(Fate::Foreign) };
    let wire = Wire { macs: [CLIENT_MAC, link.mac], vlan: link.vlan };
    let ends = [walk.client, walk.address];
    let Some(frame) = frame::build(&wire, walk.protocol, ends, Part::Opening) else {
        return Ok(Fate::Foreign);
    };
    let forwarded = match rehearsal.judge(ifindex, &frame)? {
        Ruling::Forwarded(frame) => frame,
        Ruling::Refused(reason) => return Ok(Fate::Refused(reason)),
        Ruling::Foreign => return Ok(Fate::Foreign),
    };
    let Some(said) = frame::read(&forwarded) else { return Ok(Fate::Foreign) };
    let (answer, back) = answer(rehearsal, subject, walk, said)?;
    let stuck = match answer {
        Answer::Arrives => stuck(rehearsal, subject, walk, said)?,
        Answer::Refused(_) | Answer::Astray => None,
    };
    Ok(Fate::Forwarded {
        source: said.from,
        target: said.to,
        segments: [said.segment, back],
        answer,
        stuck,
    })
}

/// Sends a packet as large as both interfaces carry each way, and returns the size of one that does
/// not pass.
fn stuck(
    rehearsal: &mut Rehearsal,
    subject: &Subject,
    walk: &Walk,
    said: frame::Said,
) -> Result<Option<(u16, Reason)>, Error> {
    let (here, there) = (&subject.consumer_link, &subject.provider_link);
    let (Some(consumers), Some(providers)) = (here.ifindex, there.ifindex) else { return Ok(None) };
    let least = here.mtu.min(there.mtu).min(LARGEST);
    // A packet that changes to IPv6 grows.
    let of = |changes: bool| if changes { least.saturating_sub(GROWTH) } else { least };
    let (client, target) = (walk.client.is_ipv4(), said.to.is_ipv4());
    let out = (consumers, Wire { macs: [CLIENT_MAC, here.mac], vlan: here.vlan });
    let back = (providers, Wire { macs: [said.mac, there.mac], vlan: there.vlan });
    for ((ifindex, wire), ends, length) in [
        (out, [walk.client, walk.address], of(client && !target)),
        (back, [said.to, said.from], of(!client && target)),
    ] {
        let Some(frame) = frame::build(&wire, walk.protocol, ends, Part::Large(length)) else {
            continue;
        };
        rehearsal.restore_limits()?;
        if let Ruling::Refused(reason) = rehearsal.judge(ifindex, &frame)? {
            return Ok(Some((length, reason)));
        }
    }
    Ok(None)
}

/// What becomes of the target's answer to what it was sent, and which segment the client is told of.
fn answer(
    rehearsal: &mut Rehearsal,
    subject: &Subject,
    walk: &Walk,
    said: frame::Said,
) -> Result<(Answer, Option<u16>), Error> {
    let link = &subject.provider_link;
    let Some(ifindex) = link.ifindex else { return Ok((Answer::Astray, None)) };
    let wire = Wire { macs: [said.mac, link.mac], vlan: link.vlan };
    let ends = [said.to, said.from];
    let Some(frame) = frame::build(&wire, walk.protocol, ends, Part::Answer) else {
        return Ok((Answer::Astray, None));
    };
    rehearsal.restore_limits()?;
    Ok(match rehearsal.judge(ifindex, &frame)? {
        Ruling::Refused(reason) => (Answer::Refused(reason), None),
        Ruling::Foreign => (Answer::Astray, None),
        Ruling::Forwarded(frame) => match frame::read(&frame) {
            Some(back)
                if (back.from, back.to, back.mac) == (walk.address, walk.client, CLIENT_MAC) =>
            {
                (Answer::Arrives, back.segment)
            }
            Some(_) | None => (Answer::Astray, None),
        },
    })
}
