//! Frames that stand for several packets.
//!
//! The kernel carries a run of packets of one flow as one frame, and cuts it where it leaves the
//! host: each packet gets a copy of the headers and a piece of the payload.

/// The packets that a frame stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Most bytes of payload in a packet; zero if the frame is one packet.
    payload: u32,
    /// How many packets there are; zero if the kernel has not counted them.
    count: u32,
}

/// What a frame weighs against limits and in counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many packets it is.
    pub packets: u32,
    /// Their bytes from the IP header on.
    pub bytes: u32,
}

impl Load {
    /// That of one packet.
    #[inline(always)]
    pub const fn one(bytes: u32) -> Self {
        Self { packets: 1, bytes }
    }
}

impl Segments {
    /// A frame that is one packet.
    pub const ONE: Self = Self { payload: 0, count: 1 };

    /// A frame of `count` packets with at most `payload` bytes each; zero is one packet, and a
    /// number that is not known.
    #[inline(always)]
    pub const fn of(payload: u32, count: u32) -> Self {
        Self { payload, count }
    }

    /// Length of the largest packet, where the frame has `length` bytes from the IP header on, and
    /// `headers` of them are in each packet.
    #[inline(always)]
    pub const fn largest(self, length: u32, headers: u32) -> u32 {
        if self.payload == 0 {
            return length;
        }
        let most = headers.wrapping_add(self.payload);
        if length < most { length } else { most }
    }

    /// What the packets weigh, likewise.
    #[inline(always)]
    pub const fn load(self, length: u32, headers: u32) -> Load {
        if self.payload == 0 {
            return Load::one(length);
        }
        let payload = length.saturating_sub(headers);
        let packets = match self.count {
            0 => payload.div_ceil(self.payload),
            count => count,
        };
        let repeated = packets.saturating_sub(1).wrapping_mul(headers);
        Load { packets, bytes: length.wrapping_add(repeated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_weighs_as_much_as_its_packets() {
        let one = Segments::ONE;
        assert_eq!((one.largest(1500, 52), one.load(1500, 52)), (1500, Load::one(1500)));
        // 3,000 bytes behind 52 bytes of headers: two packets of 1,448, and one of 104.
        let bytes = 3_000 + 3 * 52;
        for count in [3, 0] {
            let segments = Segments::of(1_448, count);
            assert_eq!(segments.largest(3_052, 52), 1_500);
            assert_eq!(segments.load(3_052, 52), Load { packets: 3, bytes });
        }
        assert_eq!(Segments::of(1_448, 1).largest(152, 52), 152);
    }
}
