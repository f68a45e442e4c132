//! `privatelink flows` and `privatelink whois`.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    slice,
};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::show;
use crate::{
    cli::{
        client,
        globals::Globals,
        print::{print, write},
    },
    interface::{
        path,
        types::{FlowQuery, Whois, WhoisQuery},
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
    #[arg(long, value_name = "PORT")]
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
    #[arg(value_name = "ADDR:PORT")]
    pub source: SocketAddr,

    /// The provider's network, where several have this source address
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,

    /// The target: flows to several targets may share a source port
    #[arg(long, value_name = "ADDR:PORT")]
    pub target: Option<SocketAddr>,

    /// Search the flow log for this time, such as 2026-01-31T12:00:00Z or 10m (ago)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at: Option<Timestamp>,

    /// Search the flow log for all clients since this time
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "at")]
    pub since: Option<Timestamp>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Timestamp::now().before(ago));
    }
    let wrong = |_| "use a time such as 2026-01-31T12:00:00Z, or how long ago, such as 10m".into();
    Timestamp::try_from(text.to_owned()).map_err(wrong)
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
        at: args.at.map(|at| at.to_string()),
        since: args.since.map(|since| since.to_string()),
    };
    let path = client::with_query(path::WHOIS, &query)?;
    let found: Vec<Whois> = client::get(&globals.daemon(), &path)?;
    if args.since.is_some() {
        return print(out, globals.json, &found, |found| show::whois(found));
    }
    match found.as_slice() {
        [] if args.at.is_some() => bail!("no flow used {} at that time", args.source),
        [] => bail!("no flow uses {} now; search the flow log with --at or --since", args.source),
        [one] => print(out, globals.json, one, |one| show::whois(slice::from_ref(one))),
        many => {
            eprint!("{}", show::whois(many));
            bail!("{} is ambiguous: add the provider's --network, or the --target", args.source)
        }
    }
}
