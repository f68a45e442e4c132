//! How far a flow has come, as its word holds it.

use super::word;

/// How far a flow has come.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The client has spoken (TCP: SYN).
    Opening = 0,
    /// The target has answered (TCP: SYN-ACK).
    Answered = 1,
    /// Both have. A client's datagrams are carried as such from the first one on; the way back is
    /// `Opening` until the target has answered.
    Established = 2,
    /// One end has said FIN.
    HalfClosed = 3,
    /// Both ends have said FIN, or both RST.
    Closing = 4,
}

impl Phase {
    /// The phase that a word holds; an unknown number is `Closing`.
    pub const fn of(word: u32) -> Self {
        match (word & word::PHASE) >> word::PHASE_SHIFT {
            0 => Self::Opening,
            1 => Self::Answered,
            2 => Self::Established,
            3 => Self::HalfClosed,
            _ => Self::Closing,
        }
    }

    /// The bits of the phase in a word.
    pub const fn bits(self) -> u32 {
        (self as u32) << word::PHASE_SHIFT
    }

    /// The name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::HalfClosed => "half-closed",
            Self::Closing => "closing",
        }
    }
}
