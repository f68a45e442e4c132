//! `privatelink dns`: names for resolvers.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};

use crate::{
    cli::{client, globals::Globals, logging, print::print},
    dns::{
        export::{self, Format},
        server,
    },
    interface::{path, types::NetworkNames},
};

#[derive(Debug, Args)]
pub struct DnsArgs {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a network's names for its own resolvers
    Export(ExportArgs),
    /// Run the daemon's name server, on the socket that is standard input
    #[command(hide = true)]
    Serve,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The network
    #[arg(value_name = "NETWORK")]
    pub network: String,

    /// The format: for which name server
    #[arg(long, value_enum, default_value_t = Format::Zone)]
    pub format: Format,

    /// With --format zone, the zone to write [default: the gateway's domain]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
}

impl DnsArgs {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        match &self.command {
            Command::Export(args) => args.run(globals, out),
            Command::Serve => {
                logging::start(None);
                Ok(server::serve()?)
            }
        }
    }
}

impl ExportArgs {
    fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        ensure!(
            self.zone.is_none() || self.format == Format::Zone,
            "--zone goes with --format zone: the other formats name all zones"
        );
        let path = path::of(path::NETWORK_NAMES, &client::name(&self.network)?);
        let names: NetworkNames = client::get(&globals.daemon(), &path)?;
        let text = if globals.json { String::new() } else { self.text(&names)? };
        print(out, globals.json, &names, |_| text)
    }

    /// The names in the format that was asked for.
    fn text(&self, names: &NetworkNames) -> Result<String> {
        if self.format != Format::Zone {
            return Ok(export::stub(names, self.format)?);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is wrong")?;
        // The serial numbers of zones wrap around.
        let serial = u32::try_from(now.as_secs() & u64::from(u32::MAX))?;
        Ok(export::zone(names, self.zone.as_deref(), serial)?)
    }
}
