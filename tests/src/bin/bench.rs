//! Measures what a packet costs in the program alone; `docs/benchmarks.md` says how.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use privatelink_tests::bench::gateway::Gateway;
use privatelink_tests::bench::host::{Machine, Ports};
use privatelink_tests::bench::packet::{MAX_FLOWS, Protocol};
use privatelink_tests::bench::programs::{Reference, Simple};
use privatelink_tests::bench::report::{Figure, Report};
use privatelink_tests::bench::subject::Subject;
use privatelink_tests::bench::{Bench, Plan, names, sweep};

/// Own cost per packet of privatelink's program and of a C reference, side by side.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Interleaved rounds; the figures are their medians.
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Timed packets per program and round.
    #[arg(long, default_value_t = 1_000_000)]
    iterations: u32,
    /// Numbers of flows to cycle through.
    #[arg(long, value_delimiter = ',', default_value = "1,1024,16384")]
    flows: Vec<u32>,
    /// Packet lengths in bytes.
    #[arg(long, value_delimiter = ',', default_value = "64,1400")]
    lengths: Vec<usize>,
    /// Protocols.
    #[arg(long, value_delimiter = ',', default_value = "tcp")]
    protocols: Vec<Protocol>,
    /// Flows that the tables are sized for.
    #[arg(long, default_value_t = 1_000_000)]
    capacity: u32,
    /// Also measure packets each of which opens a flow.
    #[arg(long)]
    new_flows: bool,
    /// Measure instead what a sweep of the flow table takes, with as many flows as it is for.
    #[arg(long, conflicts_with_all = ["c_only", "gate"])]
    sweep: bool,
    /// Measure instead how many answers about names are given in a second, beside dnsmasq and unbound.
    #[arg(long, conflicts_with_all = ["c_only", "gate", "sweep"])]
    dns: bool,
    /// Measure the programs in C only.
    #[arg(long)]
    c_only: bool,
    /// The compiled datapath.
    #[arg(long, default_value = "target/bpf/bpfel-unknown-none/release/privatelink-datapath")]
    object: PathBuf,
    /// The CPU to run on; the last one otherwise.
    #[arg(long)]
    cpu: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Exit with 1 if privatelink costs more than this many times the reference anywhere.
    #[arg(long)]
    gate: Option<f64>,
    /// The program that the gate is for.
    #[arg(long, default_value = "privatelink")]
    gate_program: String,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark, prints it, and tells whether it passes the gate.
fn measure(arguments: &Arguments) -> Result<bool> {
    if arguments.dns {
        return dns(arguments);
    }
    let machine = Machine::pinned(arguments.cpu)?;
    let ports = Ports::in_private_namespace()?;
    if arguments.sweep {
        return sweep(arguments, &machine, &ports);
    }
    let mut figures = established(arguments, ports)?;
    if arguments.new_flows {
        figures.extend(new_flows(arguments, ports)?);
    }
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let report = Report { machine, command: format!("bench {command}"), figures };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    arguments.gate.map_or(Ok(true), |limit| gate(&report, &arguments.gate_program, limit))
}

fn dns(arguments: &Arguments) -> Result<bool> {
    let names = names::measure(arguments.rounds)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&names)?);
    } else {
        print!("{names}");
    }
    Ok(true)
}

fn sweep(arguments: &Arguments, machine: &Machine, ports: &Ports) -> Result<bool> {
    let flows = arguments.capacity;
    let mut gateway = Gateway::load(&arguments.object, flows, ports)?;
    let sweeps = sweep::measure(&mut gateway, ports, flows, arguments.rounds)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&sweeps)?);
    } else {
        println!("{machine}\n{sweeps}");
    }
    Ok(true)
}

fn plan(arguments: &Arguments) -> Result<Plan> {
    let most = arguments.flows.iter().max().copied().unwrap_or(0);
    ensure!(arguments.flows.iter().all(|&flows| flows > 0), "--flows: 0 flows have no packet");
    ensure!(most <= MAX_FLOWS, "--flows: at most {MAX_FLOWS}");
    ensure!(arguments.rounds > 0 && arguments.iterations > 0, "nothing to measure");
    let mut protocols = arguments.protocols.clone();
    protocols.dedup();
    ensure!(
        u64::from(most) * protocols.len() as u64 <= u64::from(arguments.capacity),
        "--capacity {} is less than the flows of all protocols",
        arguments.capacity
    );
    Ok(Plan {
        flows: arguments.flows.clone(),
        lengths: arguments.lengths.clone(),
        protocols,
        rounds: arguments.rounds,
        iterations: arguments.iterations,
    })
}

fn established(arguments: &Arguments, ports: Ports) -> Result<Vec<Figure>> {
    let mut subjects: Vec<Box<dyn Subject>> = vec![
        Box::new(Simple::drop(&ports)?),
        Box::new(Simple::redirect(&ports)?),
        Box::new(Reference::load(arguments.capacity, &ports)?),
    ];
    subjects.extend(datapath(arguments, ports)?);
    Bench::new(ports, subjects)?.established(&plan(arguments)?)
}

fn new_flows(arguments: &Arguments, ports: Ports) -> Result<Vec<Figure>> {
    let mut subjects: Vec<Box<dyn Subject>> =
        vec![Box::new(Reference::opening_flows(arguments.capacity, &ports)?)];
    subjects.extend(datapath(arguments, ports)?);
    Bench::new(ports, subjects)?.new_flows(&plan(arguments)?)
}

fn datapath(arguments: &Arguments, ports: Ports) -> Result<Option<Box<dyn Subject>>> {
    if arguments.c_only {
        return Ok(None);
    }
    let object = &arguments.object;
    ensure!(
        object.exists(),
        "no datapath at {}: run `cargo xtask build`, or name it by --object, or give --c-only",
        object.display()
    );
    Ok(Some(Box::new(Gateway::load(object, arguments.capacity, &ports)?)))
}

fn gate(report: &Report, program: &str, limit: f64) -> Result<bool> {
    let worst = report
        .worst(program)
        .with_context(|| format!("--gate: {program} was not measured beside the reference"))?;
    let ratio = worst.ratio.unwrap_or(f64::INFINITY);
    let passes = ratio <= limit;
    let word = if passes { "within" } else { "beyond" };
    eprintln!(
        "gate: {program} is {word} {limit}: at worst {ratio:.2} ({} flows, {} bytes)",
        worst.flows, worst.length
    );
    Ok(passes)
}
