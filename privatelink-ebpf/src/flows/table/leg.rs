//! A slot with the records that it names.

use crate::{environment::Tables, wire::Gains};
use privatelink_common::{
    Endpoint, Source, Target,
    flow::{Slot, word},
};

/// A slot and the records that it names.
pub struct Leg<'t> {
    /// Index of the slot.
    pub index: u32,
    /// The slot itself, which other CPUs read and write at the same time.
    pub slot: &'t Slot,
    /// The slot's word, loaded once: another CPU may change it at any time.
    pub word: u32,
    /// The endpoint of the flow.
    pub endpoint: &'t Endpoint,
    /// The target of the flow.
    pub target: &'t Target,
    /// The source address of the flow.
    pub source: &'t Source,
}

impl<'t> Leg<'t> {
    /// The records that a slot names.
    #[inline(always)]
    pub(super) fn of<T: Tables>(
        tables: &'t T,
        index: u32,
        slot: &'t Slot,
        word: u32,
    ) -> Option<Self> {
        Some(Self {
            index,
            slot,
            word,
            endpoint: tables.endpoint(slot.endpoint())?,
            target: tables.target(slot.target())?,
            source: tables.source(u32::from(slot.source()))?,
        })
    }

    /// The slot of an index, and the records that it names.
    #[inline(always)]
    pub fn at<T: Tables>(tables: &'t T, index: u32) -> Option<Self> {
        let slot = tables.slot(index)?;
        Self::of(tables, index, slot, slot.word())
    }

    /// What the checksums of its packets gain.
    #[inline(always)]
    pub fn gains(&self) -> Gains {
        Gains::of(self.slot.l3_delta(), self.slot.l4_delta())
    }

    /// IP protocol number of the flow.
    #[inline(always)]
    pub fn protocol(&self) -> u32 {
        (self.word & word::PROTOCOL) >> word::PROTOCOL_SHIFT
    }

    /// Whether packets of this slot go from target to client.
    #[inline(always)]
    pub fn is_reverse(&self) -> bool {
        self.word & word::REVERSE != 0
    }
}
