//! Sixteen bytes in every payload that say whose it is.

/// Length of a marker.
pub const LENGTH: usize = 16;

/// Whose payload it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The tenant that sent it.
    pub tenant: u8,
    /// Which of its frames it is.
    pub number: u32,
}

fn magic(seed: u64) -> [u8; 8] {
    let mut magic = *b"PLtm\0\0\0\0";
    magic[4..].copy_from_slice(&(seed as u32).to_be_bytes());
    magic
}

impl Marker {
    /// As bytes of a payload.
    pub fn bytes(self, seed: u64) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&magic(seed));
        bytes[8] = self.tenant;
        bytes[12..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// Every marker in a frame, wherever it is.
    pub fn find(frame: &[u8], seed: u64) -> Vec<Self> {
        let magic = magic(seed);
        let found = frame.windows(LENGTH).filter(|window| window.starts_with(&magic));
        let markers = found.map(|window| {
            let number = window[12..].iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            Self { tenant: window[8], number }
        });
        markers.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_anywhere_and_only_of_its_run() {
        let marker = Marker { tenant: 2, number: 70_000 };
        let frame = [&[1; 37], marker.bytes(9).as_slice(), &[2; 5]].concat();
        assert_eq!(Marker::find(&frame, 9), [marker]);
        assert_eq!(Marker::find(&frame, 8), []);
    }
}
