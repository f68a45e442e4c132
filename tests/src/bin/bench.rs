//! Measures what a packet costs in the program alone, and other figures of the gateway;
//! `docs/benchmarks.md` describes them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser};
use privatelink_tests::bench::gateway::Gateway;
use privatelink_tests::bench::host::{Machine, Ports};
use privatelink_tests::bench::packet::{MAX_FLOWS, Protocol};
use privatelink_tests::bench::programs::{Reference, Simple};
use privatelink_tests::bench::report::{Figure, Report};
use privatelink_tests::bench::rules::Ruled;
use privatelink_tests::bench::subject::Subject;
use privatelink_tests::bench::{
    Bench, Plan, control_plane, flow_list, health_checks, names, observers, sweep,
};
use serde::Serialize;

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
    #[command(flatten)]
    other: Other,
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

/// What to measure instead of packets.
#[derive(Debug, Args)]
#[group(multiple = false, conflicts_with_all = ["c_only", "gate", "new_flows"])]
struct Other {
    /// Measure a sweep of the flow table, with `--capacity` flows
    #[arg(long)]
    sweep: bool,
    /// Measure DNS answers per second, beside dnsmasq and unbound
    #[arg(long)]
    dns: bool,
    /// Measure starts, reloads and scrapes of a gateway with 10,000 endpoints
    #[arg(long)]
    control_plane: bool,
    /// Measure lists of `--capacity` flows
    #[arg(long)]
    flow_list: bool,
    /// Measure the CPU time of health checks of 2,000 targets
    #[arg(long)]
    health_checks: bool,
    /// Measure datagrams that open a flow or are refused, with 1 and with 256 security rules
    #[arg(long)]
    rules: bool,
    /// Measure what a packet costs while metrics, flow log and events are read
    #[arg(long)]
    observers: bool,
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

/// Runs the benchmark, prints it, and returns whether it passes the gate.
fn measure(arguments: &Arguments) -> Result<bool> {
    let Arguments { rounds, capacity, json, ref other, .. } = *arguments;
    ensure!(rounds > 0, "--rounds: nothing to measure");
    if other.dns {
        return print(json, &names::measure(rounds)?);
    }
    if other.control_plane {
        return print(json, &control_plane::measure(capacity, rounds)?);
    }
    if other.flow_list {
        return print(json, &flow_list::measure(capacity, rounds)?);
    }
    if other.health_checks {
        return print(json, &health_checks::measure()?);
    }
    if other.observers {
        return print(json, &observers::measure(rounds)?);
    }
    let machine = Machine::pinned(arguments.cpu)?;
    let ports = Ports::in_private_namespace()?;
    if other.sweep {
        return sweep(arguments, &machine, &ports);
    }
    let figures = if other.rules {
        rules(arguments, ports)?
    } else {
        let mut figures = established(arguments, ports)?;
        if arguments.new_flows {
            figures.extend(new_flows(arguments, ports)?);
        }
        figures
    };
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let report = Report { machine, command: format!("bench {command}"), figures };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    arguments.gate.map_or(Ok(true), |limit| gate(&report, &arguments.gate_program, limit))
}

fn print(json: bool, figures: &(impl Serialize + std::fmt::Display)) -> Result<bool> {
    if json {
        println!("{}", serde_json::to_string_pretty(figures)?);
    } else {
        print!("{figures}");
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

fn rules(arguments: &Arguments, ports: Ports) -> Result<Vec<Figure>> {
    let subjects = Ruled::all(&arguments.object, arguments.capacity, &ports)?;
    // Resets answer refused segments, while errors about datagrams are limited.
    let plan = Plan { protocols: vec![Protocol::Udp], ..plan(arguments)? };
    Bench::new(ports, subjects)?.new_flows(&plan)
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
