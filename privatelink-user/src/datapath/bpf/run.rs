//! Running the programs on packets of the caller's.

use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use privatelink_common::maps::{PROGRAM, TC_PROGRAM};

use super::{
    error::Error,
    loaded::{Datapath, no_program},
};

/// How many bytes an answer may be longer than the packet that caused it.
pub(super) const GROWTH: usize = 512;
/// Places of fields in `struct __sk_buff`, in words.
const IFINDEX: usize = 10;
const GSO_SEGS: usize = 41;
const GSO_SIZE: usize = 44;
/// Its words up to the last of them.
const WORDS: usize = GSO_SIZE + 1;

impl Datapath {
    /// Runs the program `repeat` times on a packet that arrives on an interface of the calling
    /// thread's network namespace, and returns its verdict and the packet after the last run.
    ///
    /// # Errors
    /// When the kernel refuses: too long or too short a packet, or no such interface.
    pub fn test_run(
        &self,
        packet: &[u8],
        ifindex: u32,
        repeat: u32,
    ) -> Result<(u32, Vec<u8>), Error> {
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context = [0, length, 0, ifindex, 0, 0].map(u32::to_ne_bytes);
        let mut out = vec![0; packet.len() + GROWTH];
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(context.as_flattened());
        options.repeat = repeat;
        let program = self.ebpf.program(PROGRAM).and_then(|program| program.try_into().ok());
        let program: &Xdp = program.ok_or_else(|| no_program(PROGRAM))?;
        let result = program.test_run(options).map_err(failure(packet))?;
        out.truncate(result.data_size_out as usize);
        Ok((result.return_value, out))
    }

    /// Runs the program of the network stack once, likewise. `segments` says into how many packets
    /// the kernel would cut the frame, and how many bytes each has at most behind its headers; two
    /// zeros are for a frame that is one packet.
    ///
    /// # Errors
    /// As [`test_run`](Self::test_run).
    pub fn test_run_tc(
        &self,
        packet: &[u8],
        ifindex: u32,
        segments: (u32, u32),
    ) -> Result<(i32, Vec<u8>), Error> {
        let mut context = [0; WORDS];
        for (at, value) in [(IFINDEX, ifindex), (GSO_SEGS, segments.0), (GSO_SIZE, segments.1)] {
            if let Some(word) = context.get_mut(at) {
                *word = value;
            }
        }
        let context = context.map(u32::to_ne_bytes);
        let mut out = vec![0; packet.len() + GROWTH];
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(context.as_flattened());
        let result = self.classifier(TC_PROGRAM)?.test_run(options).map_err(failure(packet))?;
        out.truncate(result.data_size_out as usize);
        Ok((result.return_value.cast_signed(), out))
    }

    pub(super) fn run_classifier(&self, name: &str, packet: &[u8]) -> Result<u32, Error> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        Ok(self.classifier(name)?.test_run(options).map_err(failure(packet))?.return_value)
    }

    fn classifier(&self, name: &str) -> Result<&SchedClassifier, Error> {
        let program = self.ebpf.program(name).and_then(|program| program.try_into().ok());
        program.ok_or_else(|| no_program(name))
    }
}

pub(super) fn failure(packet: &[u8]) -> impl FnOnce(aya::programs::ProgramError) -> Error {
    let bytes = packet.len();
    move |error| Error::TestRun { bytes, source: Box::new(error) }
}
