//! What the demonstration prints.

use std::{
    io::{self, Write},
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Interrupts, NAME_SERVER, scenario::Scenario};
use crate::{
    Daemon, Lab,
    provider::{GREETING, Seen},
};

/// The terminal: numbered steps, and what each has shown.
pub(super) struct Screen<'a> {
    steps: u32,
    done: AtomicU32,
    interrupts: &'a Interrupts,
}

impl<'a> Screen<'a> {
    pub(super) fn new(steps: u32, interrupts: &'a Interrupts) -> Self {
        Self { steps, done: AtomicU32::new(0), interrupts }
    }

    /// Announces a step before it starts, and says how long it took.
    pub(super) fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.interrupts.came() {
            bail!("interrupted");
        }
        let number = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        print!("[{number}/{}] {what} ... ", self.steps);
        // Without a line's end the terminal would show it only when the step is over.
        let _shown = io::stdout().flush();
        let start = Instant::now();
        let result = work();
        let outcome = if result.is_ok() { "done" } else { "failed" };
        println!("{outcome} ({:.1} s)", start.elapsed().as_secs_f32());
        result.with_context(|| format!("step {number}, \"{what}\""))
    }

    pub(super) fn diagram(&self, scenario: &Scenario) {
        let Scenario { endpoint, service, name, .. } = scenario;
        let (address, port) = (list(&scenario.addresses), scenario.tcp_port);
        let sources = scenario.sources.join(", ");
        println!(
            "\n\
             Two networks without a route between them, and a gateway with an interface in each:\n\n\
             \x20 acme, the consumer          the gateway           vendor, the provider\n\
             \x20+------------------+   +---------------------+   +--------------------+\n\
             \x20| 10.1.0.2         |   |         XDP         |   | 10.0.0.10          |\n\
             \x20| fd00:1::2        |---| veth-acme           |   | fd00::10           |\n\
             \x20|                  |   |         veth-vendor |---| web server :8080   |\n\
             \x20+------------------+   +---------------------+   +--------------------+\n\n\
             The vendor publishes the service `{service}`. Acme has an endpoint for it, `{endpoint}`:\n\
             the addresses {address}, port {port}, in acme's own network,\n\
             where the vendor's name `{name}` leads to them.\n\
             The vendor sees packets from {sources} only.\n"
        );
    }

    pub(super) fn attachments(&self, status: &Value) {
        for network in status.get("networks").and_then(Value::as_array).into_iter().flatten() {
            let (name, interface) = (text(network, "name"), text(network, "interface"));
            println!("      network {name}: {interface}, XDP mode {}", text(network, "xdp_mode"));
        }
    }

    pub(super) fn page(&self, scenario: &Scenario, page: &str) {
        println!("\n      acme$ curl {}", scenario.url());
        for line in page.lines() {
            println!("      {line}");
        }
        println!();
    }

    pub(super) fn seen(&self, seen: &[Seen]) {
        println!("\n      Who the vendor saw (addresses of its own network, never acme's):");
        for Seen { kind, local, peer } in seen {
            println!("        {kind:8} at {:<18} from {peer}", local.to_string());
        }
    }

    pub(super) fn flows(&self, flows: Option<Value>, status: &Value) {
        let flows = flows.or_else(|| status.get("flows").cloned());
        println!("\n      The flows, as the gateway sees them:");
        match flows {
            Some(Value::Array(flows)) => flows.iter().for_each(flow),
            Some(other) => println!("        {other}"),
            None => println!("        (this daemon does not list them yet)"),
        }
    }

    pub(super) fn drops(&self, status: &Value) {
        println!("\n      Packets refused, by reason (one on purpose: port 81 is not published):");
        let mut none = true;
        for (reason, count) in status.get("drops").and_then(Value::as_object).into_iter().flatten()
        {
            if count.as_u64() != Some(0) {
                none = false;
                println!("        {reason}: {count}");
            }
        }
        if none {
            println!("        none");
        }
    }

    pub(super) fn conclusion(&self, scenario: &Scenario) {
        println!(
            "\n\"{GREETING}\": the page crossed through the endpoint {}, \
             carried by XDP; no kernel route was involved.\n",
            scenario.endpoint
        );
    }

    /// Prints what helps to find out why nothing crossed.
    pub(super) fn complaint(&self, daemon: &Daemon) {
        match daemon.status() {
            Ok(status) => self.drops(&status),
            Err(error) => eprintln!("{error:#}"),
        }
        eprintln!("\n      What the daemon printed:\n{}", daemon.output());
    }

    /// Prints what to try while everything is up.
    pub(super) fn invitation(&self, lab: &Lab, daemon: &Daemon, scenario: &Scenario) {
        let on = |path: String| format!("nsenter --net={path}");
        let acme = on(lab.host("acme").namespace().path());
        let vendor = on(lab.host("vendor").namespace().path());
        let gateway = on(lab.gateway().path());
        let privatelink = daemon.binary().display();
        let socket = daemon.socket().display().to_string();
        println!("Everything is up. In another terminal, as root, you can\n");
        let (name, port) = (&scenario.name, scenario.tcp_port);
        println!("  ask for the name:       {acme} dig +short @{NAME_SERVER} {name}");
        let address = list(scenario.addresses.get(..1).unwrap_or_default());
        println!(
            "  fetch the page:         {acme} curl --resolve {name}:{port}:{address} {}",
            scenario.url()
        );
        println!("  look at the gateway:    {privatelink} --socket {socket} status");
        let (endpoint, control) = (&scenario.endpoint, format!("{privatelink} --socket {socket}"));
        println!("  reject it, and see:     {control} reject {endpoint} --reason 'just trying'");
        println!("                          fetch the page again: refused at once, and");
        println!("                          `status` says why in its second line");
        println!("  accept it again:        {control} accept {endpoint} --for 10m");
        println!("  see who decided:        {control} connections {endpoint}");
        println!("  who is behind a source: {control} flows, then {control} whois ADDR:PORT");
        println!("  kill the daemon:        kill -9 $(pidof privatelink); the page still comes");
        println!("  see the configuration:  cat {}", daemon.config().display());
        println!("  watch acme's packets:   {acme} tcpdump -ni eth0");
        println!("  watch the vendor's:     {vendor} tcpdump -ni eth0");
        println!("  see the XDP programs:   {gateway} ip link");
        println!("\nCtrl-C here removes all of it.");
        println!("Should this program be killed, remove what it left with:");
        println!("  {gateway} {privatelink} down --pin-dir {}", daemon.pin_dir().display());
        for namespace in lab.namespaces() {
            println!("  ip netns del {}", namespace.name());
        }
        println!();
    }
}

fn flow(flow: &Value) {
    println!(
        "        {} {} -> {}   becomes   {} -> {}   ({}, {} packets)",
        text(flow, "protocol"),
        text(flow, "client"),
        text(flow, "address"),
        text(flow, "source"),
        text(flow, "target"),
        text(flow, "state"),
        text(flow, "packets"),
    );
}

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
