//! The demonstration: the README's first command, step by step.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

mod interrupts;
mod scenario;
mod screen;

pub use self::interrupts::Interrupts;
use self::{scenario::Scenario, screen::Screen};
use crate::{
    Daemon, Lab, Provider, client, daemon,
    provider::{GREETING, HTTP_PORT, Kind, Seen},
    tool,
};

/// How long an answer may take.
const SOON: Duration = Duration::from_secs(10);

/// How long we listen for an answer that must not come.
const NEVER: Duration = Duration::from_millis(500);

/// Where acme asks for names: the gateway's own address there.
const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));

/// How many steps are announced.
const STEPS: u32 = 8;

/// Runs the demonstration with the configuration at `config`.
///
/// # Errors
/// When a step fails, above all when the page does not cross, or when interrupted.
pub fn run(
    config: &Path,
    binary: Option<&Path>,
    keep: bool,
    interrupts: &Interrupts,
) -> Result<()> {
    let text = fs::read_to_string(config)
        .with_context(|| format!("cannot read the configuration {}", config.display()))?;
    let scenario = Scenario::read(&text)
        .with_context(|| format!("{} does not fit the demonstration", config.display()))?;
    let screen = Screen::new(STEPS, interrupts);
    screen.diagram(&scenario);

    let lab = screen.step("Creating two networks and a gateway", Lab::quickstart)?;
    let provider = screen.step("Starting the vendor's web server and echo", || {
        Provider::start(lab.host("vendor"))
    })?;
    screen.step("Making sure that no route joins the two", || no_route(&lab))?;
    let daemon = screen.step("Starting the gateway's daemon", || {
        let binary = binary.map_or_else(daemon::find_binary, |path| Ok(path.to_owned()))?;
        Daemon::start_binary(&binary, lab.gateway(), &text)
    })?;
    if let Err(error) = cross(&screen, &scenario, &lab, &provider, &daemon) {
        screen.complaint(&daemon);
        return Err(error);
    }
    if keep {
        screen.invitation(&lab, &daemon, &scenario);
        interrupts.wait();
    }
    println!("Cleaning up: stopping the daemon, removing the networks.");
    Ok(())
}

/// Carries the page through a gateway that is ready, and shows what everybody saw.
fn cross(
    screen: &Screen<'_>,
    scenario: &Scenario,
    lab: &Lab,
    provider: &Provider,
    daemon: &Daemon,
) -> Result<()> {
    screen.attachments(&daemon.status()?);

    let page = screen
        .step("Fetching the page from acme by its name, with curl", || fetch(lab, scenario))?;
    screen.page(scenario, &page);
    screen.step("The same over each address, and a UDP echo", || the_rest(lab, scenario))?;
    screen.step("Knocking at a port that is not published, which must be refused", || {
        knock(lab, scenario)
    })?;
    let evidence = screen.step("Asking both sides what they saw", || {
        Ok((provider.seen(), daemon.ask(&["flows", "--json"]), daemon.status()?))
    })?;
    let (seen, flows, status) = evidence;
    screen.seen(&seen);
    witnessed(&seen, lab)?;
    screen.flows(flows.ok(), &status);
    screen.drops(&status);
    screen.conclusion(scenario);
    Ok(())
}

/// Tries a port that the vendor does not publish: one packet is refused, and counted with the reason.
fn knock(lab: &Lab, scenario: &Scenario) -> Result<()> {
    let address = scenario.addresses.first().context("the endpoint has an address")?;
    let closed = SocketAddr::new(*address, CLOSED);
    ensure!(
        lab.host("acme").run(|| client::connect(closed, SOON)).is_err(),
        "{closed} is not published, and answers"
    );
    Ok(())
}

/// A port that the service does not offer.
const CLOSED: u16 = 81;

/// Shows that only the endpoint can have carried the page.
fn no_route(lab: &Lab) -> Result<()> {
    for address in lab.host("vendor").addresses() {
        let server = SocketAddr::new(address, HTTP_PORT);
        if lab.host("acme").run(|| client::connect(server, NEVER)).is_ok() {
            bail!("acme reaches {server} without a gateway: the networks are not separate");
        }
    }
    Ok(())
}

/// Holds the provider's memory against what the consumer was shown.
fn witnessed(seen: &[Seen], lab: &Lab) -> Result<()> {
    ensure!(seen.iter().any(|seen| seen.kind == Kind::Http), "the vendor served no page");
    let clients = lab.host("acme").addresses();
    if let Some(seen) = seen.iter().find(|seen| clients.contains(&seen.peer.ip())) {
        bail!("the vendor saw acme's own address {}", seen.peer);
    }
    Ok(())
}

/// Fetches the page by the service's name, as the gateway resolves it for acme.
fn fetch(lab: &Lab, scenario: &Scenario) -> Result<String> {
    let url = scenario.url();
    let curl = ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", &url];
    let page = tool::run(&mut lab.host("acme").command_resolving(NAME_SERVER, &curl))?;
    ensure!(page.contains(GREETING), "another page came: {page}");
    Ok(page)
}

/// Fetches the page through each of the endpoint's addresses, and has datagrams echoed.
fn the_rest(lab: &Lab, scenario: &Scenario) -> Result<()> {
    for address in &scenario.addresses {
        let server = SocketAddr::new(*address, scenario.tcp_port);
        let page = lab.host("acme").run(|| client::http_get(server, SOON))?;
        ensure!(page.body.contains(GREETING), "another page came from {server}: {}", page.body);
    }
    for address in &scenario.addresses {
        let Some(port) = scenario.udp_port else { break };
        let echo = SocketAddr::new(*address, port);
        lab.host("acme").run(|| client::udp_echo(echo, b"hello", SOON))?;
    }
    Ok(())
}
