//! `privatelink flows` and `privatelink whois`.

use std::io::{self, Write};

use anyhow::{Result, bail};

use super::{name, print, show, write};
use crate::{
    cli::{
        args::{Cli, FlowsArgs, WhoisArgs},
        client,
    },
    interface::{path, types::Whois},
};

/// Lists the flows that are asked for.
pub(super) fn flows(cli: &Cli, args: &FlowsArgs, out: &mut impl Write) -> Result<()> {
    let mut path = format!("{}?limit={}", path::FLOWS, args.limit);
    if let Some(endpoint) = &args.endpoint {
        path += &format!("&endpoint={}", name(endpoint)?);
    }
    for (key, value) in [
        ("address", args.address.map(|address| address.to_string())),
        ("port", args.port.map(|port| port.to_string())),
        ("protocol", args.protocol.clone()),
        ("state", args.state.clone()),
    ] {
        path.extend(value.map(|value| format!("&{key}={value}")));
    }
    let socket = cli.daemon_socket();
    let omitted = if cli.json {
        // A million flows need not fit into this process.
        let copied = client::copy(&socket, &path, out);
        match copied {
            Err(client::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            copied => {
                let omitted = copied?;
                write(out, "\n")?;
                omitted
            }
        }
    } else {
        let (mut flows, omitted) = client::flows(&socket, &path)?;
        flows.sort_by(|one, other| {
            (&one.endpoint, &one.client).cmp(&(&other.endpoint, &other.client))
        });
        write(out, &show::flows(&flows))?;
        omitted
    };
    if omitted > 0 {
        eprintln!("{omitted} more; see them with --limit, or ask for less");
    }
    Ok(())
}

/// Shows who stands behind a source address.
pub(super) fn whois(cli: &Cli, args: &WhoisArgs, out: &mut impl Write) -> Result<()> {
    let mut path = format!("{}?source={}", path::WHOIS, args.source);
    for (key, value) in [
        (
            "network",
            args.network.as_ref().map(|text| name(text)).transpose()?.map(|n| n.to_string()),
        ),
        ("target", args.target.map(|target| target.to_string())),
        ("at", args.at.map(|at| at.to_string())),
        ("since", args.since.map(|since| since.to_string())),
    ] {
        path.extend(value.map(|value| format!("&{key}={value}")));
    }
    let found: Vec<Whois> = client::get(&cli.daemon_socket(), &path)?;
    if args.since.is_some() {
        return print(out, cli.json, &found, |found| show::whois(found));
    }
    match found.as_slice() {
        [] if args.at.is_some() => bail!("nobody spoke from {} then", args.source),
        [] => bail!("nobody speaks from {} now; see --at and --since", args.source),
        [one] => print(out, cli.json, one, |one| show::whois(std::slice::from_ref(one))),
        many => {
            eprint!("{}", show::whois(many));
            bail!("{} is ambiguous: tell the provider's --network, or the --target", args.source)
        }
    }
}
