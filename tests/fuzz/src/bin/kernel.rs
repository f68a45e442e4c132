//! Fuzzes the programs in the kernel by mutated frames of the fixtures: they must do what the
//! host's function does, and etherparse judges what they send. CAP_BPF and CAP_SYS_ADMIN.

use std::{
    ops::ControlFlow,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use privatelink_common::{
    TICK_SHIFT,
    flow::{Flow, REST_TICKS},
};
use privatelink_fuzz::{
    judge::judge,
    script::{Event, Random, Trace, perform, traces},
};
use privatelink_tests::fixtures::{
    Gateway, Host, Interfaces, Kernel, Outcome, Port, with_interfaces,
};
use privatelink_user::datapath::tables::MapTables;

/// The kernel takes no shorter frame for a test, nor one that does not fit in a page with its
/// headroom.
const LENGTHS: std::ops::Range<usize> = 14..3_400;
/// Flows that there is room for.
const MAX_FLOWS: u32 = 4_096;
/// The host's clock stands still: before anything can expire in the kernel, and before a slot that
/// was freed there has rested and is used again, both start anew. On a busy machine the last script
/// may take its time.
const ROUND: Duration = Duration::from_millis(700);
const _: () = assert!(ROUND.as_nanos() < (REST_TICKS as u128) << TICK_SHIFT);
/// Scripts after which all flows and counts are compared, not frames alone.
const THOROUGH: u64 = 500;
/// Bytes of a script.
const SCRIPT: usize = 256;
/// Rounds from one line about them to the next.
const REPORT: u64 = 20;
/// Failures after which there is no point in more.
const ENOUGH: u64 = 10;

/// Mutated frames through the programs in the kernel.
#[derive(Debug, Parser)]
#[command(name = "kernel")]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What the frames follow from; the same again gives the same frames
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match with_interfaces(|interfaces| run(&arguments, interfaces)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many failures there were.
fn run(arguments: &Arguments, interfaces: &Interfaces) -> Result<u64> {
    let traces = lasting(traces(interfaces)?);
    let seed = arguments.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let mut random = Random::new(seed);
    println!("{} traces, seed {seed}", traces.len());
    let (start, limit) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let mut tally = Tally::default();
    while start.elapsed() < limit && tally.failures < ENOUGH {
        let round = Round::new(interfaces)?;
        let until = (start + limit).min(Instant::now() + ROUND);
        round.play(&traces, &mut random, until, &mut tally);
        if tally.rounds.is_multiple_of(REPORT) {
            println!("{}", tally.line(start.elapsed()));
        }
        tally.rounds += 1;
    }
    println!("done: {}", tally.line(start.elapsed()));
    Ok(tally.failures)
}

/// Those in which nothing depends on how fast the frames come: the two clocks are not the same.
fn lasting(traces: Vec<Trace>) -> Vec<Trace> {
    let limited = |event: &Event| matches!(event, Event::Load(tables) if !tables.limits.is_empty());
    traces.into_iter().filter(|trace| !trace.iter().any(limited)).collect()
}

/// What was done so far.
#[derive(Default)]
struct Tally {
    rounds: u64,
    frames: u64,
    sent: u64,
    scripts: u64,
    failures: u64,
}

impl Tally {
    fn line(&self, elapsed: Duration) -> String {
        let Self { frames, sent, failures, .. } = self;
        let seconds = elapsed.as_secs_f64();
        let rate = *frames as f64 / seconds;
        format!(
            "{frames} frames, {sent} sent on or answered, {seconds:.1} s ({rate:.0} frames/s), \
             {failures} failures"
        )
    }
}

/// The kernel and the host, from empty tables on.
struct Round<'a> {
    kernel: Kernel,
    host: Host,
    interfaces: &'a Interfaces,
    loaded: MapTables,
}

impl<'a> Round<'a> {
    fn new(interfaces: &'a Interfaces) -> Result<Self> {
        let kernel = Kernel::new(MAX_FLOWS).context("the programs do not load")?;
        Ok(Self { kernel, host: Host::new(MAX_FLOWS), interfaces, loaded: MapTables::default() })
    }

    /// Plays scripts until then, or until the two differ: from there on they would differ always.
    fn play(mut self, traces: &[Trace], random: &mut Random, until: Instant, tally: &mut Tally) {
        while Instant::now() < until {
            let script = random.bytes(SCRIPT);
            let played = perform(&script, traces, |event| match self.event(event, tally) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            });
            tally.scripts += 1;
            let thorough = tally.scripts.is_multiple_of(THOROUGH);
            let outcome = match played {
                ControlFlow::Break(error) => Err(error),
                ControlFlow::Continue(()) if thorough => self.compare(),
                ControlFlow::Continue(()) => Ok(()),
            };
            if let Err(error) = outcome {
                tally.failures += 1;
                println!("FAILURE: {error:?}\nin the script {script:02x?}");
                return;
            }
        }
        if let Err(error) = self.compare() {
            tally.failures += 1;
            println!("FAILURE: {error:?}");
        }
    }

    fn event(&mut self, event: &Event, tally: &mut Tally) -> Result<()> {
        match event {
            Event::Load(tables) if **tables == self.loaded => Ok(()),
            Event::Load(tables) => {
                self.loaded.clone_from(tables);
                self.kernel.load(tables)?;
                self.host.load(tables)
            }
            Event::Frame(port, frame) if LENGTHS.contains(&frame.len()) => {
                tally.frames += 1;
                let outcome = self.frame(*port, frame)?;
                tally.sent += u64::from(outcome.frame != *frame);
                Ok(())
            }
            Event::Frame(..) => Ok(()),
        }
    }

    fn frame(&mut self, port: Port, frame: &[u8]) -> Result<Outcome> {
        let ifindex = self.interfaces.index(port);
        let kernel = self.kernel.frame(ifindex, frame)?;
        judge(frame, &kernel)?;
        let host = self.host.frame(ifindex, frame)?;
        let same = (kernel.action, &kernel.frame) == (host.action, &host.frame);
        if !same {
            let (kernel_drops, host_drops) =
                (self.kernel.counts()?.drops, self.host.counts()?.drops);
            bail!(
                "for {frame:02x?} on {port:?}\n\
                 the kernel: {kernel:02x?}, dropped so far {kernel_drops:?}\n\
                 the host: {host:02x?}, dropped so far {host_drops:?}"
            );
        }
        Ok(kernel)
    }

    fn compare(&self) -> Result<()> {
        let (kernel, host) = (self.kernel.counts()?, self.host.counts()?);
        ensure!(kernel == host, "the kernel counted {kernel:?}, the host {host:?}");
        let (kernel, host) = (timeless(self.kernel.flows()), timeless(self.host.flows()));
        ensure!(kernel == host, "flows differ: {} in the kernel, {}", kernel.len(), host.len());
        Ok(())
    }
}

/// The clocks of the two are not the same.
fn timeless(mut flows: Vec<Flow>) -> Vec<Flow> {
    flows.iter_mut().for_each(|flow| (flow.last_seen, flow.opened) = (0, 0));
    flows
}
