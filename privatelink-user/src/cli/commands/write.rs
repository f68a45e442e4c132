//! `privatelink apply`, `create`, `register`, `deregister`, `delete` and `export`: services and
//! endpoints that the API makes.

use std::{
    fs,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    create,
    written::{DryRun, write},
};
use crate::{
    cli::{
        client::{self, Method},
        exit::Exit,
        globals::Globals,
        print::{self, print},
    },
    config,
    interface::{
        path,
        types::{Keys, ObjectSet},
    },
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make or change services and endpoints as a file describes them, all of them or none
    Apply(ApplyArgs),
    /// Make a service or an endpoint
    #[command(subcommand)]
    Create(Box<create::Command>),
    /// Register a target of a service, or change its weight, port or group
    Register(RegisterArgs),
    /// Deregister a target of a service: it gets no new flows, and drains
    Deregister(DeregisterArgs),
    /// Delete a service or an endpoint that the API has made
    #[command(subcommand)]
    Delete(DeleteCommand),
    /// Print what the API has made as a configuration file
    Export,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file, in TOML or in JSON; `-` is the standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: PathBuf,

    #[command(flatten)]
    pub how: DryRun,
}

#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: String,

    /// The address of the target, or its DNS name
    #[arg(value_name = "ADDRESS")]
    pub address: String,

    /// Its share of new flows; 0 drains it [default: that of the configuration]
    #[arg(long, value_name = "N")]
    pub weight: Option<u32>,

    /// Its port [default: that of the listener]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Its group, for listeners that lead to groups
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,

    #[command(flatten)]
    pub how: DryRun,
}

#[derive(Debug, Args)]
pub struct DeregisterArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: String,

    /// The address of the target, or its DNS name
    #[arg(value_name = "ADDRESS")]
    pub address: String,

    #[command(flatten)]
    pub how: DryRun,
}

#[derive(Debug, Subcommand)]
pub enum DeleteCommand {
    /// Delete a service to which no endpoint leads
    Service(DeleteArgs),
    /// Delete an endpoint, with its connection and its flows
    Endpoint(DeleteArgs),
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,

    #[command(flatten)]
    pub how: DryRun,
}

impl Command {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<Exit> {
        match self {
            Self::Apply(args) => {
                let set = read(&args.file)?;
                write(globals, (Method::POST, path::OBJECTS), Some(&set), &args.how, out)
            }
            Self::Create(command) => command.run(globals, out),
            Self::Register(args) => {
                let weight = args.weight.map(|weight| ("weight".to_owned(), json!(weight)));
                let port = args.port.map(|port| ("port".to_owned(), json!(port)));
                let group = args.group.as_ref().map(|group| ("group".to_owned(), json!(group)));
                let keys = Keys(weight.into_iter().chain(port).chain(group).collect());
                let path = target(&args.service, &args.address)?;
                write(globals, (Method::PUT, &path), Some(&keys), &args.how, out)
            }
            Self::Deregister(args) => {
                let path = target(&args.service, &args.address)?;
                write(globals, (Method::DELETE, &path), None::<&Keys>, &args.how, out)
            }
            Self::Delete(command) => {
                let (path, args) = match command {
                    DeleteCommand::Service(args) => (path::SERVICE, args),
                    DeleteCommand::Endpoint(args) => (path::ENDPOINT, args),
                };
                let path = path::of(path, &client::name(&args.name)?);
                write(globals, (Method::DELETE, &path), None::<&Keys>, &args.how, out)
            }
            Self::Export => export(globals, out).map(|()| Exit::Done),
        }
    }
}

fn target(service: &str, address: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_');
    if !address.chars().all(plain) {
        bail!("no target has the address `{address}`: use an IP address or a DNS name");
    }
    let service = path::of(path::SERVICE_TARGET, &client::name(service)?);
    Ok(service.replace("{address}", address))
}

/// Reads services and endpoints from a file, whichever way it is written.
fn read(file: &Path) -> Result<ObjectSet> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("cannot read the standard input")?;
        text
    } else {
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    let what = || format!("{} is no file to apply", file.display());
    let value = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).with_context(what)?
    } else {
        let table: toml::Table = text.parse().with_context(what)?;
        serde_json::to_value(table).with_context(what)?
    };
    let keys: &Map<String, Value> = value.as_object().with_context(what)?;
    if let Some(other) = keys.keys().find(|key| !["service", "endpoint"].contains(&key.as_str())) {
        bail!(
            "{}: `{other}` cannot be applied: only `[[service]]` and `[[endpoint]]` can, and the \
             gateway's operator writes the rest into its files",
            file.display()
        );
    }
    serde_json::from_value(value).with_context(what)
}

/// Prints what the API has made and the caller may see.
fn export(globals: &Globals, out: &mut impl Write) -> Result<()> {
    let set: ObjectSet = client::get(&globals.daemon(), path::OBJECTS)?;
    if globals.json {
        return print(out, true, &set, |_| String::new());
    }
    print::write(out, &config::document(&set))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<ObjectSet> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn toml_and_json_are_the_same() {
        let toml = file("[[service]]\nname = \"web\"\n[[service.listener]]\nport = 80\n").unwrap();
        let json = file(r#"{"service":[{"name":"web","listener":[{"port":80}]}]}"#).unwrap();
        assert_eq!(toml, json);
        assert_eq!(file("").unwrap(), ObjectSet::default());
        let error = file("[gateway]\nname = \"g\"\n").unwrap_err().to_string();
        assert!(error.contains("`gateway` cannot be applied"), "{error}");
        assert!(file("{").is_err() && file("= 3").is_err());
    }
}
