//! `privatelink flows` and `privatelink whois`.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    slice,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::show;
use crate::{
    cli::{
        client,
        globals::Globals,
        moment,
        print::{print, write},
    },
    interface::{
        path,
        types::{FlowQuery, Service, Whois, WhoisQuery},
    },
    timestamp::Timestamp,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the flows
    Flows(FlowsArgs),
    /// Show which client is behind a source address and port
    Whois(WhoisArgs),
}

#[derive(Debug, Args)]
pub struct FlowsArgs {
    /// Only flows through this endpoint
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: Option<String>,

    /// Only flows with this client, endpoint, source or target address
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,

    /// Only flows with this client, listener, source or target port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Only flows of this protocol
    #[arg(long, value_parser = ["tcp", "udp"])]
    pub protocol: Option<String>,

    /// Only flows in this state
    #[arg(long, value_parser = ["opening", "answered", "established", "half-closed", "closing"])]
    pub state: Option<String>,

    /// The most flows to list
    #[arg(
        long,
        value_name = "N",
        default_value_t = FlowQuery::DEFAULT_LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=FlowQuery::MAX_LIMIT as i64),
    )]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub struct WhoisArgs {
    /// The source address and port, as the target sees them
    #[arg(value_name = "ADDR:PORT", value_parser = source)]
    pub source: SocketAddr,

    /// The provider's network, where several have this source address
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,

    /// The target: flows to several targets may share a source port
    #[arg(long, value_name = "ADDR:PORT")]
    pub target: Option<SocketAddr>,

    /// Search the flow log for this time, such as 2026-01-31T12:00:00Z (that whole second), 12:00 or
    /// 10m (ago)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at: Option<Timestamp>,

    /// Search the flow log for all clients since this time
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "at")]
    pub since: Option<Timestamp>,
}

/// A source address and port.
fn source(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => format!(
            "add the port that the target sees, as {}; `privatelink flows --address {address}` lists \
             all flows of an address",
            SocketAddr::new(address, 1024)
        ),
        Err(_) => "use an address and a port, such as 10.0.0.241:1024 or [fd00::f1]:1024".into(),
    })
}

fn moment(text: &str) -> Result<Timestamp, String> {
    moment::parse(text, Timestamp::now())
}

impl Command {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        match self {
            Self::Flows(args) => flows(globals, args, out),
            Self::Whois(args) => whois(globals, args, out),
        }
    }
}

fn flows(globals: &Globals, args: &FlowsArgs, out: &mut impl Write) -> Result<()> {
    let endpoint = args.endpoint.as_deref().map(client::name).transpose()?;
    let query = FlowQuery {
        endpoint: endpoint.map(|name| name.to_string()),
        address: args.address,
        port: args.port,
        protocol: args.protocol.clone(),
        state: args.state.clone(),
        limit: Some(args.limit),
    };
    let path = client::with_query(path::FLOWS, &query)?;
    let daemon = globals.daemon();
    let omitted = if globals.json {
        // A million flows need not fit into this process.
        let copied = client::copy(&daemon, &path, out);
        match copied {
            Err(client::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            copied => {
                let omitted = copied?;
                write(out, "\n")?;
                omitted
            }
        }
    } else {
        let (mut flows, omitted) = client::flows(&daemon, &path)?;
        flows.sort_by(|one, other| {
            (&one.endpoint, &one.client).cmp(&(&other.endpoint, &other.client))
        });
        write(out, &show::flows(&flows))?;
        omitted
    };
    if omitted > 0 {
        eprintln!("{omitted} more flows: raise --limit, or narrow the query");
    }
    Ok(())
}

fn whois(globals: &Globals, args: &WhoisArgs, out: &mut impl Write) -> Result<()> {
    let network = args.network.as_deref().map(client::name).transpose()?;
    let query = WhoisQuery {
        source: args.source,
        network: network.map(|name| name.to_string()),
        target: args.target,
        at: args.at.map(named),
        since: args.since.map(|since| since.to_string()),
    };
    let path = client::with_query(path::WHOIS, &query)?;
    let found: Vec<Whois> = client::get(&globals.daemon(), &path)?;
    if args.since.is_some() {
        return print(out, globals.json, &found, |found| show::whois(found));
    }
    match found.as_slice() {
        [] => bail!("{}", nobody(globals, args, &query)?),
        [one] => print(out, globals.json, one, |one| show::whois(slice::from_ref(one))),
        many => {
            eprint!("{}", show::whois(many));
            bail!("{} is ambiguous: add the provider's --network, or the --target", args.source)
        }
    }
}

/// A time for the daemon: one of a whole second is the name of that second.
fn named(at: Timestamp) -> String {
    let text = at.to_string();
    text.strip_suffix(".000Z").map_or_else(|| text.clone(), |second| format!("{second}Z"))
}

/// Why no client is found, and what to ask instead.
fn nobody(globals: &Globals, args: &WhoisArgs, query: &WhoisQuery) -> Result<String> {
    let (source, daemon) = (args.source, globals.daemon());
    let services: Vec<Service> = client::get(&daemon, path::SERVICES)?;
    if let Some(what) = foreign(source.ip(), &services) {
        return Ok(what);
    }
    let Some(at) = args.at else {
        return Ok(format!("no flow uses {source} now; search the flow log with --at or --since"));
    };
    let since = Some(named(at.before(AROUND)));
    let path = client::with_query(path::WHOIS, &WhoisQuery { at: None, since, ..query.clone() })?;
    let around: Vec<Whois> = client::get(&daemon, &path)?;
    let mut text = format!("no flow used {source} at {}", named(at));
    match nearest(at, &around) {
        Some(one) => {
            text += &format!(
                "; the nearest is of client {}, endpoint {}, from {} to {}",
                one.client, one.endpoint, one.opened, one.last
            );
        }
        None => text += "; nor later, nor in the day before, as far as the flow log goes back",
    }
    Ok(text)
}

/// How long before the time that was asked for the nearest flow is looked for.
const AROUND: Duration = Duration::from_secs(86_400);

/// The flow that was live nearest to a time.
fn nearest(at: Timestamp, found: &[Whois]) -> Option<&Whois> {
    let distance = |one: &&Whois| {
        let moment = |text: &String| Timestamp::try_from(text.clone()).ok();
        let (opened, last) = (moment(&one.opened), moment(&one.last));
        let before = opened.map(|opened| opened.since(at)).unwrap_or_default();
        before.max(last.map(|last| at.since(last)).unwrap_or_default())
    };
    found.iter().min_by_key(distance)
}

/// What to say of an address that is no service's source address; `None` if it is one.
fn foreign(address: IpAddr, services: &[Service]) -> Option<String> {
    let sources = |service: &Service| {
        let all = service.source_addresses.iter();
        all.filter_map(|source| source.parse::<IpAddr>().ok()).collect::<Vec<_>>()
    };
    if services.iter().any(|service| sources(service).contains(&address)) {
        return None;
    }
    let is_target =
        |service: &&Service| service.targets.iter().any(|one| one.address == address.to_string());
    let what = match services.iter().find(is_target) {
        Some(service) => {
            format!("{address} is a target of service {}, and no source address", service.name)
        }
        None => format!("no service that you may see has the source address {address}"),
    };
    let known: Vec<String> = services
        .iter()
        .take(SHOWN)
        .filter_map(|service| {
            let all = sources(service);
            let (first, last) = (all.first()?, all.last()?);
            let range =
                if first == last { first.to_string() } else { format!("{first} to {last}") };
            Some(format!("{} has {range}", service.name))
        })
        .collect();
    let known = if known.is_empty() { String::new() } else { format!(": {}", known.join("; ")) };
    Some(format!("{what}{known}"))
}

/// Services whose addresses a message lists.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_is_answered_with_what_to_add() {
        assert_eq!(
            source("10.0.0.241").unwrap_err(),
            "add the port that the target sees, as 10.0.0.241:1024; `privatelink flows --address \
             10.0.0.241` lists all flows of an address"
        );
        assert!(source("fd00::f1").unwrap_err().contains("as [fd00::f1]:1024;"));
        assert!(source("gateway").unwrap_err().starts_with("use an address and a port"));
    }

    #[test]
    fn the_nearest_flow_is_the_one_that_ended_last_or_began_first() {
        let flow = |client: &str, opened: &str, last: &str| Whois {
            client: client.into(),
            opened: format!("2026-01-31T{opened}.000Z"),
            last: format!("2026-01-31T{last}.000Z"),
            ..Whois::default()
        };
        let flows = [flow("a", "11:00:00", "11:59:50"), flow("b", "12:00:05", "12:00:09")];
        let at = |text: &str| moment::parse(text, Timestamp::now()).unwrap();
        let client = |time: &str| nearest(at(time), &flows).map(|one| one.client.as_str());
        assert_eq!(client("2026-01-31 11:59:53"), Some("a"));
        assert_eq!(client("2026-01-31 12:00:01"), Some("b"));
        assert_eq!(nearest(at("12:00"), &[]), None);
    }

    #[test]
    fn a_whole_second_is_named_as_such() {
        assert_eq!(named(Timestamp::from_millis(1_000)), "1970-01-01T00:00:01Z");
        assert_eq!(named(Timestamp::from_millis(1_500)), "1970-01-01T00:00:01.500Z");
    }
}
