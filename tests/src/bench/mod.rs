//! The cost of a packet in the program alone.
//!
//! Every program under test is a [`Subject`]. The [`Harness`]
//! runs it a million times inside one `BPF_PROG_TEST_RUN`; [`Bench`] does that for all of them in
//! interleaved rounds, checks each one's packets first, and subtracts the floor. What the figures
//! mean, and which traps they avoid, is in `docs/benchmarks.md`.

pub mod compile;
pub mod control_plane;
pub mod conversation;
pub mod flow_list;
pub mod gateway;
pub mod harness;
pub mod health_checks;
pub mod host;
pub mod names;
pub mod observers;
pub mod packet;
pub mod programs;
pub mod report;
pub mod rules;
pub mod subject;
pub mod sweep;

use anyhow::{Context, Result, ensure};

use harness::{Harness, Template, Work};
use host::Ports;
use packet::{FlowTuple, Protocol, Segment};
use programs::Simple;
use report::{Figure, median, quantile};
use subject::Subject;

/// Name of the subject by which the others are divided.
pub const REFERENCE: &str = "reference";
/// Flows whose packets are checked byte by byte before a run.
const CHECKED_FLOWS: u32 = 64;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Numbers of flows.
    pub flows: Vec<u32>,
    /// Packet lengths.
    pub lengths: Vec<usize>,
    /// Protocols.
    pub protocols: Vec<Protocol>,
    /// Interleaved rounds.
    pub rounds: u32,
    /// Timed packets per subject and round.
    pub iterations: u32,
}

/// A harness with the subjects that it compares.
pub struct Bench {
    ports: Ports,
    harness: Harness,
    floor: Simple,
    subjects: Vec<Box<dyn Subject>>,
}

/// The packets and flows of one group of interleaved rounds.
struct Situation<'a> {
    templates: &'a [Template],
    protocol: Protocol,
    new_flows: bool,
    work: Work,
    rounds: u32,
}

impl Bench {
    /// Loads the harness.
    ///
    /// # Errors
    ///
    /// When the compiler or the kernel refuses it.
    pub fn new(ports: Ports, subjects: Vec<Box<dyn Subject>>) -> Result<Self> {
        let (harness, floor) = (Harness::load(ports)?, Simple::transmit(&ports)?);
        Ok(Self { ports, harness, floor, subjects })
    }

    /// Measures packets of established flows.
    ///
    /// # Errors
    ///
    /// When a subject fails its check, or the kernel refuses.
    pub fn established(&mut self, plan: &Plan) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        let mut counts = plan.flows.clone();
        counts.sort_unstable();
        for &protocol in &plan.protocols {
            let templates = self.templates(protocol, Segment::Ack, &plan.lengths)?;
            let mut prepared = 0;
            for &flows in &counts {
                let more: Vec<FlowTuple> = (prepared..flows).map(FlowTuple::nth).collect();
                prepared = flows;
                for subject in &mut self.subjects {
                    let name = subject.name();
                    subject
                        .prepare(&more, protocol, &self.ports)
                        .with_context(|| format!("{name}: making {flows} flows"))?;
                }
                for template in &templates {
                    self.check(template, protocol, Segment::Ack, flows)?;
                }
                let work = Work { flows, iterations: plan.iterations, warm_up: flows.max(4096) };
                let rounds = plan.rounds;
                let templates = &templates;
                figures.extend(self.compare(&Situation {
                    templates,
                    protocol,
                    new_flows: false,
                    work,
                    rounds,
                })?);
            }
        }
        Ok(figures)
    }

    /// Measures packets each of which opens a flow. The subjects get no flows beforehand.
    ///
    /// # Errors
    ///
    /// When a subject fails its check, or the kernel refuses.
    pub fn new_flows(&mut self, plan: &Plan) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for &protocol in &plan.protocols {
            let templates = self.templates(protocol, Segment::Syn, &plan.lengths)?;
            let opened: Vec<FlowTuple> = (0..CHECKED_FLOWS).map(FlowTuple::nth).collect();
            for subject in &mut self.subjects {
                let name = subject.name();
                subject
                    .prepare(&opened, protocol, &self.ports)
                    .with_context(|| format!("{name}: opening flows"))?;
                subject.forget(&self.ports)?;
            }
            for template in &templates {
                self.check(template, protocol, Segment::Syn, packet::MAX_FLOWS)?;
            }
            let work =
                Work { flows: packet::MAX_FLOWS, iterations: plan.iterations, warm_up: 32768 };
            figures.extend(self.compare(&Situation {
                templates: &templates,
                protocol,
                new_flows: true,
                work,
                rounds: plan.rounds,
            })?);
        }
        Ok(figures)
    }

    fn templates(
        &self,
        protocol: Protocol,
        segment: Segment,
        lengths: &[usize],
    ) -> Result<Vec<Template>> {
        lengths
            .iter()
            .map(|&length| Template::new(protocol, segment, length, &self.ports))
            .collect()
    }

    /// Compares every subject's packet, and the wrapper's own, with the expected one.
    fn check(
        &mut self,
        template: &Template,
        protocol: Protocol,
        segment: Segment,
        flows: u32,
    ) -> Result<()> {
        let macs = self.ports.macs;
        let step = (flows / CHECKED_FLOWS).max(1) as usize;
        for number in (0..flows).step_by(step).chain([flows - 1]) {
            let flow = FlowTuple::nth(number);
            let ends = (macs.client, macs.consumer_port);
            let length = template.length();
            let before =
                packet::frame(ends, flow.client, flow.endpoint, protocol, segment, length)?;
            let floor: &dyn Subject = &self.floor;
            for subject in std::iter::once(floor).chain(self.subjects.iter().map(AsRef::as_ref)) {
                let result = self.harness.once(subject.program()?, template, number)?;
                subject.outcome().check(&result, &before, &flow, &macs).with_context(|| {
                    let name = subject.name();
                    format!("{name} is wrong on flow {number}, {protocol:?}, {length} bytes")
                })?;
            }
        }
        Ok(())
    }

    /// Times floor and subjects in turn, round after round.
    fn compare(&mut self, situation: &Situation<'_>) -> Result<Vec<Figure>> {
        let mut groups =
            vec![vec![Sample::default(); self.subjects.len()]; situation.templates.len()];
        for _ in 0..situation.rounds {
            for (template, samples) in situation.templates.iter().zip(&mut groups) {
                let floor = timed(&mut self.harness, &self.floor, template, situation)?;
                for (subject, sample) in self.subjects.iter_mut().zip(samples) {
                    if situation.new_flows {
                        subject.forget(&self.ports)?;
                    }
                    let total = timed(&mut self.harness, subject.as_ref(), template, situation)?;
                    sample.floor.push(floor);
                    sample.total.push(total);
                }
            }
        }
        let reference = self.subjects.iter().position(|subject| subject.name() == REFERENCE);
        let mut figures = Vec::new();
        for (template, samples) in situation.templates.iter().zip(groups) {
            let reference = reference.and_then(|index| samples.get(index)).map(Sample::own);
            for (subject, sample) in self.subjects.iter().zip(&samples) {
                let (name, length) = (subject.name(), template.length());
                figures.push(sample.figure(name, length, situation, reference.as_deref()));
            }
        }
        Ok(figures)
    }
}

/// Times a subject and verifies that it forwarded each of its packets.
fn timed(
    harness: &mut Harness,
    subject: &dyn Subject,
    template: &Template,
    situation: &Situation<'_>,
) -> Result<f64> {
    let name = subject.name();
    let before = subject.forwarded()?;
    let action = subject.outcome().action();
    let time = harness
        .time(subject.program()?, action, template, situation.work)
        .with_context(|| format!("timing {name}"))?;
    if let (Some(before), Some(after)) = (before, subject.forwarded()?) {
        let forwarded = after - before;
        ensure!(
            forwarded == time.iterations,
            "{name} forwarded {forwarded} of {} packets",
            time.iterations
        );
    }
    Ok(time.median)
}

/// One subject's rounds.
#[derive(Debug, Clone, Default)]
struct Sample {
    total: Vec<f64>,
    floor: Vec<f64>,
}

impl Sample {
    fn own(&self) -> Vec<f64> {
        self.total.iter().zip(&self.floor).map(|(total, floor)| total - floor).collect()
    }

    fn figure(
        &self,
        subject: &str,
        length: usize,
        situation: &Situation<'_>,
        reference: Option<&[f64]>,
    ) -> Figure {
        let (mut own, mut total, mut floor) = (self.own(), self.total.clone(), self.floor.clone());
        let mut ratios: Vec<f64> = reference
            .unwrap_or_default()
            .iter()
            .zip(&own)
            .map(|(reference, own)| own / reference)
            .collect();
        let measured = !ratios.is_empty();
        Figure {
            protocol: situation.protocol,
            new_flows: situation.new_flows,
            length,
            flows: situation.work.flows,
            subject: subject.to_owned(),
            own_ns: median(&mut own),
            own_ns_min: quantile(&mut total, 0, 1) - quantile(&mut floor, 0, 1),
            total_ns: median(&mut total),
            ratio: measured.then(|| median(&mut ratios)),
            ratio_quartiles: measured
                .then(|| [quantile(&mut ratios, 1, 4), quantile(&mut ratios, 3, 4)]),
        }
    }
}
