//! The wrapper program: runs a subject millions of times in one system call and reads the clock
//! inside the kernel.

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use super::compile::{Source, object};
use super::host::Ports;
use super::packet::{FIRST_CLIENT, FlowTuple, Protocol, Segment, frame, ones_sum, words};

const TEMPLATE_WORDS: usize = 8;
const MAX_STAMPS: u32 = 4096;
const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// `struct round` of `wrapper.bpf.c`, word by word.
const ROUND_WORDS: usize = 11 + TEMPLATE_WORDS;
type Round = [u64; ROUND_WORDS];

/// The kernel copies packet data to a page with this much left for headers.
const MAX_FRAME: usize = 3400;

/// The packet that every iteration starts from.
#[derive(Debug)]
pub struct Template {
    protocol: Protocol,
    frame: Vec<u8>,
}

impl Template {
    /// Builds the packet of flow 0.
    ///
    /// # Errors
    ///
    /// When the length is out of range.
    pub fn new(protocol: Protocol, segment: Segment, length: usize, ports: &Ports) -> Result<Self> {
        ensure!(
            (TEMPLATE_WORDS * 8..=MAX_FRAME).contains(&length),
            "a packet has 64 to {MAX_FRAME} bytes, not {length}"
        );
        let flow = FlowTuple::nth(0);
        let macs = (ports.macs.client, ports.macs.consumer_port);
        let frame = frame(macs, flow.client, flow.endpoint, protocol, segment, length)?;
        Ok(Self { protocol, frame })
    }

    /// The packet's length in bytes.
    pub fn length(&self) -> usize {
        self.frame.len()
    }

    /// What all clients' packets have in common, for both checksums.
    fn sums(&self) -> Result<(u16, u16)> {
        let transport = ETHERNET + IPV4;
        let checksum = match self.protocol {
            Protocol::Tcp => transport + 16,
            Protocol::Udp => transport + 6,
        };
        let mut bytes = self.frame.clone();
        for offset in [ETHERNET + 10, ETHERNET + 12, ETHERNET + 14, transport, checksum] {
            bytes.get_mut(offset..offset + 2).context("a short packet")?.fill(0);
        }
        let (header, segment) = bytes.split_at(transport);
        let header = header.get(ETHERNET..).context("a short packet")?;
        let endpoint = words(header.get(16..).context("a short packet")?);
        let pseudo = [u16::from(self.protocol.number()), segment.len() as u16];
        Ok((ones_sum(words(header)), ones_sum(words(segment).chain(endpoint).chain(pseudo))))
    }
}

/// How much to run.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Flows to cycle through.
    pub flows: u32,
    /// Iterations that are timed.
    pub iterations: u32,
    /// Iterations before them, which are not.
    pub warm_up: u32,
}

/// The time of one run, in nanoseconds per iteration, wrapper included.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// Median of the run's chunks: what preemption hits is a minority of them.
    pub median: f64,
    /// Iterations that ran, warm-up included.
    pub iterations: u64,
}

/// The loaded wrapper.
pub struct Harness {
    ebpf: Ebpf,
    round: Array<MapData, Round>,
    stamps: Array<MapData, u64>,
    subject: ProgramArray<MapData>,
    ports: Ports,
}

impl Harness {
    /// Compiles and loads the wrapper.
    ///
    /// # Errors
    ///
    /// When the compiler or the kernel refuses it.
    pub fn load(ports: Ports) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .load(&object(Source::Wrapper)?)
            .context("the kernel refused the wrapper's maps")?;
        let program: &mut Xdp =
            ebpf.program_mut("wrapper").context("the wrapper is not in its object")?.try_into()?;
        program.load().context("the kernel refused the wrapper")?;
        let mut take = |name: &str| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        Ok(Self {
            round: take("ROUND")?.try_into()?,
            stamps: take("STAMPS")?.try_into()?,
            subject: take("SUBJECT")?.try_into()?,
            ebpf,
            ports,
        })
    }

    /// Runs one subject and times it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, or the last packet's action is not `action`.
    pub fn time(
        &mut self,
        subject: &Xdp,
        action: u32,
        template: &Template,
        work: Work,
    ) -> Result<Time> {
        let shift = chunk_shift(work.iterations);
        let timed = work.iterations.div_ceil(1 << shift).max(1);
        let warm_up = work.warm_up.div_ceil(1 << shift);
        ensure!(timed + warm_up < MAX_STAMPS, "too many iterations: at most 60 million");
        // One more iteration than whole chunks: it reads the clock at the end of the last.
        let repeat = ((timed + warm_up) << shift) + 1;

        self.begin(subject, template, work.flows, shift)?;
        let (got, _) = self.run(&template.frame, repeat, None)?;
        ensure!(got == action, "the last packet's action was {got}, not {action}");

        let stamps = (warm_up..=warm_up + timed)
            .map(|chunk| self.stamps.get(&chunk, 0))
            .collect::<Result<Vec<u64>, _>>()?;
        let mut chunks: Vec<f64> = stamps
            .windows(2)
            .filter_map(|pair| match pair {
                [from, to] => Some((to.saturating_sub(*from)) as f64 / f64::from(1 << shift)),
                _ => None,
            })
            .collect();
        let median = super::report::median(&mut chunks);
        Ok(Time { median, iterations: u64::from(repeat) })
    }

    /// Runs one iteration on one flow and returns the action and the packet.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn once(
        &mut self,
        subject: &Xdp,
        template: &Template,
        flow: u32,
    ) -> Result<(u32, Vec<u8>)> {
        self.begin(subject, template, flow + 1, 10)?;
        let mut round = self.round.get(&0, 0)?;
        // With nothing left of the shift, the generator's state is the flow that it picks.
        let [_, order, _, shift, ..] = &mut round;
        (*order, *shift) = (u64::from(flow), 63);
        self.round.set(0, round, 0)?;
        let mut out = vec![0; template.length()];
        let (action, size) = self.run(&template.frame, 1, Some(&mut out))?;
        out.truncate(size);
        Ok((action, out))
    }

    fn begin(
        &mut self,
        subject: &Xdp,
        template: &Template,
        flows: u32,
        chunk_shift: u32,
    ) -> Result<()> {
        self.subject
            .set(0, subject.fd()?, 0)
            .context("the subject cannot be tail-called: is it an `xdp.frags` program?")?;
        let (ip_sum, l4_sum) = template.sums()?;
        let period = flows.next_power_of_two();
        let mut round: Round = [0; ROUND_WORDS];
        let fields = [
            0,
            0,
            u64::from(period - 1),
            u64::from(period.trailing_zeros().div_ceil(2).max(1)),
            u64::from(flows),
            (1 << chunk_shift) - 1,
            u64::from(chunk_shift),
            template.length() as u64,
            u64::from(u32::from(FIRST_CLIENT)),
            u64::from(ip_sum),
            u64::from(l4_sum),
        ];
        let words = template.frame.chunks_exact(8).filter_map(|word| word.try_into().ok());
        let values = fields.into_iter().chain(words.map(u64::from_ne_bytes));
        round.iter_mut().zip(values).for_each(|(field, value)| *field = value);
        self.round.set(0, round, 0).context("writing the wrapper's state")
    }

    fn run(&self, frame: &[u8], repeat: u32, out: Option<&mut [u8]>) -> Result<(u32, usize)> {
        let wrapper: &Xdp =
            self.ebpf.program("wrapper").context("the wrapper is not loaded")?.try_into()?;
        test_run(wrapper, self.ports.consumer, frame, repeat, out)
    }
}

/// Runs a program as if the frame had come in on an interface; returns action and output length.
///
/// # Errors
///
/// When the kernel refuses.
pub fn test_run(
    program: &Xdp,
    ingress: u32,
    frame: &[u8],
    repeat: u32,
    out: Option<&mut [u8]>,
) -> Result<(u32, usize)> {
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let context = [0, u32::try_from(frame.len())?, 0, ingress, 0, 0];
    let context: Vec<u8> = context.iter().flat_map(|field| field.to_ne_bytes()).collect();
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: out,
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::new()
        })
        .context("BPF_PROG_TEST_RUN failed")?;
    Ok((result.return_value, result.data_size_out as usize))
}

/// At least 16 chunks per run, and none longer than a few scheduler ticks.
fn chunk_shift(iterations: u32) -> u32 {
    (iterations / 16).max(1).ilog2().clamp(6, 14)
}
