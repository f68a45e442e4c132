//! `privatelink networks`, `services`, `catalogue`, `endpoints` and `targets`: what the gateway consists of.

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{
    detail,
    list::{ListArgs, NameArgs, Objects},
    show,
};
use crate::{
    cli::{client, globals::Globals},
    interface::{
        path,
        types::{Target, TargetQuery},
    },
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the networks, or show one
    Networks(NameArgs),
    /// List the services, or show one
    Services(NameArgs),
    /// List the services that you may connect to, or show one
    Catalogue(NameArgs),
    /// List the endpoints, or show one
    Endpoints(NameArgs),
    /// List the targets of all services, or of one
    Targets(TargetsArgs),
}

#[derive(Debug, Args)]
pub struct TargetsArgs {
    /// Only the targets of this service
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,

    #[command(flatten)]
    pub list: ListArgs,
}

impl Command {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        match self {
            Self::Networks(args) => {
                let (table, detail) = (show::networks, detail::network);
                let networks = Objects { all: path::NETWORKS, one: path::NETWORK, table, detail };
                networks.print(globals, args, out)
            }
            Self::Services(args) => {
                let (table, detail) = (show::services, detail::service);
                let services = Objects { all: path::SERVICES, one: path::SERVICE, table, detail };
                services.print(globals, args, out)
            }
            Self::Catalogue(args) => {
                let (table, detail) = (show::catalogue, detail::offered);
                let catalogue =
                    Objects { all: path::CATALOGUE, one: path::CATALOGUE_ENTRY, table, detail };
                catalogue.print(globals, args, out)
            }
            Self::Endpoints(args) => {
                let (table, detail) = (show::endpoints, detail::endpoint);
                let endpoints =
                    Objects { all: path::ENDPOINTS, one: path::ENDPOINT, table, detail };
                endpoints.print(globals, args, out)
            }
            Self::Targets(args) => targets(globals, args, out),
        }
    }
}

fn targets(globals: &Globals, args: &TargetsArgs, out: &mut impl Write) -> Result<()> {
    let name = args.service.as_deref().map(client::name).transpose()?;
    let service = name.map(|name| name.to_string());
    let query = TargetQuery { service, ..TargetQuery::default() };
    let path = client::with_query(path::TARGETS, &query)?;
    let targets: Vec<Target> = client::get(&globals.daemon(), &path)?;
    args.list.print(globals, targets, show::targets, out)
}
