//! `privatelink dns`: names for resolvers.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cli::{
        args::{Cli, DnsExportArgs},
        client,
    },
    dns::export::{self, Format},
    interface::{path, types::NetworkNames},
};

/// The names of a network, from the daemon.
pub(super) fn names(cli: &Cli, args: &DnsExportArgs) -> Result<NetworkNames> {
    ensure!(
        args.zone.is_none() || args.format == Format::Zone,
        "--zone goes with --format zone: the other formats name all zones"
    );
    let path = format!("{}/{}/names", path::NETWORKS, super::name(&args.network)?);
    Ok(client::get(&cli.daemon_socket(), &path)?)
}

/// The names in the format that was asked for.
pub(super) fn text(names: &NetworkNames, args: &DnsExportArgs) -> Result<String> {
    if args.format != Format::Zone {
        return Ok(export::stub(names, args.format)?);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is wrong")?;
    // Serial numbers go round.
    let serial = u32::try_from(now.as_secs() & u64::from(u32::MAX))?;
    Ok(export::zone(names, args.zone.as_deref(), serial)?)
}
