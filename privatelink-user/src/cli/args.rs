//! The command line: what can be asked of `privatelink`, and how it answers.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    config::DEFAULT_PATH,
    dns::export::Format,
    events::Kind,
    interface::types::{EventQuery, FlowQuery, Grant},
    model::Gateway,
    timestamp::Timestamp,
};

/// A private-link gateway: publish a service, not a network.
#[derive(Debug, Parser)]
#[command(name = "privatelink", version, max_term_width = 100)]
pub struct Cli {
    /// The daemon's control socket [default: the configuration's, or
    /// /run/privatelink/privatelink.sock]
    #[arg(long, global = true, value_name = "PATH", env = "PRIVATELINK_SOCKET")]
    pub socket: Option<PathBuf>,

    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `privatelink` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground
    Run(RunArgs),
    /// Validate the configuration, touching nothing
    Check(CheckArgs),
    /// Print the JSON schema of the configuration, for editors
    Schema,
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands into a directory
    Man(ManArgs),
    /// Show what another configuration would change, and how many flows that would cut
    Plan(PlanArgs),
    /// Apply the configuration on disk
    Reload,
    /// Show what the gateway is doing
    Status,
    /// List the networks, or show one
    Networks(NameArgs),
    /// List the services, or show one
    Services(NameArgs),
    /// List the endpoints, or show one
    Endpoints(NameArgs),
    /// List the targets of all services, or of one
    Targets(TargetsArgs),
    /// List the flows
    Flows(FlowsArgs),
    /// Show which consumer stands behind a source address and port
    Whois(WhoisArgs),
    /// List the connections, or show one with its history
    Connections(NameArgs),
    /// Accept the connection of an endpoint: the provider's decision
    Accept(AcceptArgs),
    /// Reject the connection of an endpoint: the provider's decision
    Reject(DecisionArgs),
    /// Ask once more for a connection that has expired
    Request(DecisionArgs),
    /// Show what has changed: requests, decisions, configurations, interfaces, next hops
    Events(EventsArgs),
    /// Private names, for resolvers
    Dns(DnsArgs),
    /// Become a program that is told of an event, without any rights
    #[command(hide = true)]
    RunHook(RunHookArgs),
    /// Detach from all interfaces and remove everything that is pinned
    Down(DownArgs),
}

/// Arguments of `privatelink flows`.
#[derive(Debug, Args)]
pub struct FlowsArgs {
    /// Only those through this endpoint
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: Option<String>,

    /// Only those with this address at either end, on either side of the gateway
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,

    /// Only those with this port there
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Only those of this protocol
    #[arg(long, value_parser = ["tcp", "udp"])]
    pub protocol: Option<String>,

    /// Only those that have come this far
    #[arg(long, value_parser = ["opening", "answered", "established", "half-closed", "closing"])]
    pub state: Option<String>,

    /// No more than this many
    #[arg(
        long,
        value_name = "N",
        default_value_t = FlowQuery::DEFAULT_LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=FlowQuery::MAX_LIMIT as i64),
    )]
    pub limit: u32,
}

/// Arguments of `privatelink whois`.
#[derive(Debug, Args)]
pub struct WhoisArgs {
    /// The source address and port, as the target sees them
    #[arg(value_name = "ADDR:PORT")]
    pub source: SocketAddr,

    /// The provider's network, where several have this source address
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,

    /// The target that was spoken to: one source port may serve several
    #[arg(long, value_name = "ADDR:PORT")]
    pub target: Option<SocketAddr>,

    /// Who it was at this time, such as 2026-01-31T12:00:00Z or 10m (ago), from the flow log
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at: Option<Timestamp>,

    /// Everybody that it was since this time
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

/// Arguments of `privatelink run-hook`.
#[derive(Debug, Args)]
pub struct RunHookArgs {
    /// The unix user to become, if the process is root's
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,

    /// The program
    #[arg(value_name = "PROGRAM")]
    pub program: PathBuf,
}

/// Arguments of `privatelink events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what happens from now on
    #[arg(long)]
    pub follow: bool,

    /// Only those with a higher number than this
    #[arg(long, value_name = "NUMBER")]
    pub after: Option<u64>,

    /// Only those of this kind, or of a group of kinds such as `connection`
    #[arg(long, value_name = "KIND", value_parser = event_kind)]
    pub kind: Option<String>,

    /// No more than this many of those that have happened
    #[arg(
        long,
        value_name = "N",
        default_value_t = EventQuery::DEFAULT_LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=EventQuery::MAX_LIMIT as i64),
    )]
    pub limit: u32,
}

fn event_kind(text: &str) -> Result<String, String> {
    if Kind::is_word(text) {
        return Ok(text.to_owned());
    }
    let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
    Err(format!("the kinds are {}", words.join(", ")))
}

/// Arguments of the commands that list things.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Only this one, in detail
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Arguments of the commands that decide about a connection.
#[derive(Debug, Args)]
pub struct DecisionArgs {
    /// The endpoint whose connection it is
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,

    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Arguments of `privatelink accept`.
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// What all decisions take.
    #[command(flatten)]
    pub decision: DecisionArgs,

    /// For how long, such as 7d or "12h 30m" [default: until it is rejected]
    #[arg(long = "for", value_name = "DURATION", value_parser = grant_period)]
    pub period: Option<Duration>,
}

fn grant_period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text)
        .map_err(|_| "use a number and a unit, such as 30m, 12h or 7d".to_owned())?;
    if (1..=Grant::LONGEST).contains(&period.as_secs()) {
        Ok(period)
    } else {
        Err("use a second to ten years".into())
    }
}

/// Arguments of `privatelink targets`.
#[derive(Debug, Args)]
pub struct TargetsArgs {
    /// Only those of this service
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,
}

/// Arguments of `privatelink dns`.
#[derive(Debug, Args)]
pub struct DnsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DnsCommand,
}

/// What `privatelink dns` can do.
#[derive(Debug, Subcommand)]
pub enum DnsCommand {
    /// Write a network's names for its own resolvers
    Export(DnsExportArgs),
    /// Serve names as the daemon says, on the socket that is standard input
    #[command(hide = true)]
    Serve,
}

/// Arguments of `privatelink dns export`.
#[derive(Debug, Args)]
pub struct DnsExportArgs {
    /// The network
    #[arg(value_name = "NETWORK")]
    pub network: String,

    /// For what
    #[arg(long, value_enum, default_value_t = Format::Zone)]
    pub format: Format,

    /// Of a zone file, which zone [default: the gateway's domain]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
}

/// Arguments of `privatelink completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `privatelink man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where to write privatelink.1 and a page for each command
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Arguments of `privatelink plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The configuration: a file, or a directory of *.toml [default: what the daemon would
    /// reload]
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Arguments of `privatelink run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration: a file, or a directory of *.toml
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
}

/// Arguments of `privatelink check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration: a file, or a directory of *.toml
    #[arg(value_name = "PATH", default_value = DEFAULT_PATH)]
    pub path: PathBuf,
}

/// Arguments of `privatelink down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// The configuration that names the pin directory [default: /etc/privatelink if it is there]
    #[arg(long, value_name = "PATH", conflicts_with = "pin_dir")]
    pub config: Option<PathBuf>,

    /// The pin directory, for when no configuration is at hand
    #[arg(long, value_name = "PATH")]
    pub pin_dir: Option<PathBuf>,
}

impl Cli {
    /// The socket to reach the daemon by when no configuration is read.
    pub fn daemon_socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| Gateway::DEFAULT_SOCKET.into())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in
            ["privatelink --json status --socket /s", "privatelink status --json --socket /s"]
        {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.json && cli.daemon_socket().as_os_str() == "/s", "{line}");
        }
    }

    #[test]
    fn misuse_ends_with_the_usage_code() {
        for line in [
            "privatelink",
            "privatelink fly",
            "privatelink down --pin-dir /a --config /b",
            "privatelink accept",
            "privatelink accept a --for ever",
            "privatelink accept a --for 0s",
            "privatelink accept a --for 20years",
            "privatelink reject a --for 7d",
            "privatelink events --kind weather",
            "privatelink flows --state fast",
            "privatelink whois 10.0.0.1",
            "privatelink whois 10.0.0.1:5 --at noon",
            "privatelink whois 10.0.0.1:5 --at 5m --since 6m",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), Exit::Usage as i32, "{line}");
        }
    }
}
