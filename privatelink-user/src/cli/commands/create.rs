//! `privatelink create service` and `privatelink create endpoint`: objects from the command line.

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::written::{DryRun, create, wait};
use crate::{
    cli::{client, exit::Exit, globals::Globals},
    interface::{path, types::Keys},
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a service
    Service(ServiceArgs),
    /// Make an endpoint, which requests a connection to its service
    Endpoint(EndpointArgs),
}

#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// The name of the service
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The network that its targets are in
    #[arg(long, value_name = "NET")]
    pub network: String,

    /// Its provider [default: the principal that you act for]
    #[arg(long, value_name = "NAME")]
    pub principal: Option<String>,

    /// Where it is offered, such as `tcp/443`, `tcp/80:8080` with another port at the targets, or
    /// `udp/5000-5009`; can be given several times
    #[arg(long = "listen", value_name = "PROTOCOL/PORT", required = true, value_parser = listener)]
    pub listeners: Vec<Listener>,

    /// A backend; can be given several times
    #[arg(long = "target", value_name = "ADDRESS", required = true)]
    pub targets: Vec<String>,

    /// Addresses from which the gateway speaks to targets; can be given several times
    #[arg(long = "source-addresses", value_name = "PREFIX", required = true)]
    pub source_addresses: Vec<String>,

    /// A principal that may connect, `*` for all; can be given several times
    #[arg(long, value_name = "NAME")]
    pub allow: Vec<String>,

    /// One of these that is accepted without a decision; can be given several times
    #[arg(long, value_name = "NAME")]
    pub accept: Vec<String>,

    /// Who decides about a request: `manual` or `automatic`
    #[arg(long, value_name = "WHO")]
    pub acceptance: Option<String>,

    /// A name under which consumers find it; can be given several times
    #[arg(long = "private-dns", value_name = "NAME")]
    pub private_dns: Vec<String>,

    #[command(flatten)]
    pub about: About,

    #[command(flatten)]
    pub how: DryRun,
}

#[derive(Debug, Default, Args)]
pub struct About {
    /// What it is, on one line
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// A word of your own with a value; can be given several times
    #[arg(long = "tag", value_name = "WORD=TEXT", value_parser = tag)]
    pub tags: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub struct EndpointArgs {
    /// The name of the endpoint [default: NET-SERVICE]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// The service that it leads to
    #[arg(long, value_name = "SERVICE")]
    pub service: String,

    /// The network in which consumers find it
    #[arg(long, value_name = "NET")]
    pub network: String,

    /// Its address in the network; can be given once for each family [default: the gateway chooses]
    #[arg(long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<String>,

    /// What you tell the provider with the request, on one line
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,

    #[command(flatten)]
    pub about: About,

    /// Wait until the connection is decided; fails if it is not accepted
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,

    #[command(flatten)]
    pub how: DryRun,
}

/// A listener on the command line, as the keys of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener(Map<String, Value>);

fn listener(text: &str) -> Result<Listener, String> {
    let wrong = || "write it as tcp/443, tcp/80:8080 or udp/5000-5009".to_owned();
    let (protocol, ports) = text.split_once('/').ok_or_else(wrong)?;
    let (ports, target) = match ports.split_once(':') {
        Some((ports, target)) => (ports, Some(target)),
        None => (ports, None),
    };
    if !["tcp", "udp"].contains(&protocol) {
        return Err(wrong());
    }
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let range = |text: &str| -> Result<Value, String> {
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let is_range = port(first).zip(port(last)).is_some_and(|(first, last)| first < last);
        if is_range { Ok(text.into()) } else { Err(wrong()) }
    };
    let mut keys = Map::new();
    keys.insert("protocol".into(), protocol.into());
    match port(ports) {
        Some(port) => keys.insert("port".into(), port.into()),
        None => keys.insert("ports".into(), range(ports)?),
    };
    if let Some(target) = target {
        let target = port(target).map_or_else(|| range(target), |port| Ok(port.into()))?;
        keys.insert("target_port".into(), target);
    }
    Ok(Listener(keys))
}

impl Command {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<Exit> {
        match self {
            Self::Service(args) => {
                let path = path::of(path::SERVICE, &client::name(&args.name)?);
                create(globals, &path, &args.keys(), &args.how, out)
            }
            Self::Endpoint(args) => {
                let name = args.name();
                let path = path::of(path::ENDPOINT, &client::name(&name)?);
                let exit = create(globals, &path, &args.keys(), &args.how, out)?;
                if args.wait && exit == Exit::Done {
                    return wait(globals, &name, out);
                }
                Ok(exit)
            }
        }
    }
}

impl ServiceArgs {
    fn keys(&self) -> Keys {
        let listeners = self.listeners.iter().map(|one| Value::Object(one.0.clone()));
        let targets = self.targets.iter().map(|address| json!({ "address": address }));
        let mut keys = Map::new();
        keys.insert("network".into(), self.network.as_str().into());
        keys.insert("listener".into(), listeners.collect());
        keys.insert("target".into(), targets.collect());
        let lists = [
            ("source_addresses", &self.source_addresses),
            ("allow", &self.allow),
            ("accept", &self.accept),
            ("private_dns", &self.private_dns),
        ];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            keys.insert(key.into(), json!(list));
        }
        for (key, text) in [("principal", &self.principal), ("acceptance", &self.acceptance)] {
            if let Some(text) = text {
                keys.insert(key.into(), text.as_str().into());
            }
        }
        self.about.add_to(&mut keys);
        Keys(keys)
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (word, value) = text.split_once('=').ok_or("write it as team=payments")?;
    Ok((word.to_owned(), value.to_owned()))
}

impl About {
    fn add_to(&self, keys: &mut Map<String, Value>) {
        if let Some(text) = &self.description {
            keys.insert("description".into(), text.as_str().into());
        }
        if !self.tags.is_empty() {
            let tags = self.tags.iter().map(|(word, value)| (word.clone(), value.as_str().into()));
            keys.insert("tags".into(), Value::Object(tags.collect()));
        }
    }
}

impl EndpointArgs {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{}-{}", self.network, self.service))
    }

    fn keys(&self) -> Keys {
        let mut keys = Map::new();
        keys.insert("service".into(), self.service.as_str().into());
        keys.insert("network".into(), self.network.as_str().into());
        if !self.addresses.is_empty() {
            keys.insert("addresses".into(), json!(self.addresses));
        }
        if let Some(text) = &self.message {
            keys.insert("message".into(), text.as_str().into());
        }
        self.about.add_to(&mut keys);
        Keys(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_written_as_ports_are_known() {
        let keys = |text: &str| listener(text).map(|one| Value::Object(one.0));
        assert_eq!(keys("tcp/443"), Ok(json!({ "protocol": "tcp", "port": 443 })));
        let other = json!({ "protocol": "tcp", "port": 80, "target_port": 8080 });
        assert_eq!(keys("tcp/80:8080"), Ok(other));
        let range = json!({ "protocol": "udp", "ports": "5-9", "target_port": "15-19" });
        assert_eq!(keys("udp/5-9:15-19"), Ok(range));
        for wrong in ["443", "sctp/1", "tcp/0", "tcp/", "tcp/9-5", "tcp/1:x", "tcp/70000"] {
            assert!(keys(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_is_named_after_its_network_and_service() {
        let args = EndpointArgs {
            name: None,
            service: "web".into(),
            network: "acme".into(),
            addresses: Vec::new(),
            message: Some("for billing".into()),
            about: About { description: None, tags: vec![tag("team=pay=1").unwrap()] },
            wait: false,
            how: DryRun { dry_run: false },
        };
        assert_eq!(args.name(), "acme-web");
        let keys = json!({
            "service": "web", "network": "acme", "message": "for billing",
            "tags": { "team": "pay=1" },
        });
        assert_eq!(Value::Object(args.keys().0), keys);
    }
}
