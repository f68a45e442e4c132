//! The command line: what `privatelink` can be asked to do, and its exit code.

use std::{env, io};

use anyhow::Result;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde_json::json;

use super::{
    commands::{
        audit::AuditArgs, check::CheckArgs, connections, describe, dns::DnsArgs,
        doctor::DoctorArgs, down::DownArgs, downgrade::DowngradeArgs, events::EventsArgs, fleet,
        flows, hook::RunHookArgs, key::KeyArgs, metrics, objects, plan, run::RunArgs, serve_https,
        site::SiteArgs, status, test::TestArgs, top::TopArgs, write,
    },
    examples::with_examples,
    exit::Exit,
    globals::Globals,
    terminal::{self, Attention},
};

/// A private-link gateway: publish a service, not a network.
#[derive(Debug, Parser)]
#[command(name = "privatelink", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(RunArgs),
    /// Validate the configuration without applying it
    Check(CheckArgs),
    #[command(flatten)]
    Describe(describe::Command),
    #[command(flatten)]
    Plan(plan::Command),
    /// Show what the gateway is doing
    Status,
    /// Say what is wrong with this host, and what to do
    Doctor(DoctorArgs),
    /// Say which step of an endpoint's way does not let packets through, and whose it is
    Test(TestArgs),
    /// Show live what carries how much, down to flows
    Top(TopArgs),
    #[command(flatten)]
    Objects(objects::Command),
    #[command(flatten)]
    Flows(flows::Command),
    #[command(flatten)]
    Connections(connections::Command),
    #[command(flatten)]
    Write(write::Command),
    /// Show what has changed: requests, decisions, configurations, interfaces, next hops
    Events(EventsArgs),
    /// Print the metrics, in the text format of Prometheus
    Metrics,
    /// Show the gateways that share the store, and how far each has come
    Fleet,
    /// Export private names for resolvers
    Dns(DnsArgs),
    /// Show who has changed what, and who was refused
    Audit(AuditArgs),
    /// Make, list and revoke access keys
    Key(KeyArgs),
    /// Show the links to other sites, and change this site's key
    Site(SiteArgs),
    /// Run a program that events are delivered to, without any rights
    #[command(hide = true)]
    RunHook(RunHookArgs),
    /// Serve HTTPS for the daemon, on the socket that is standard input
    #[command(hide = true)]
    ServeHttps,
    /// Detach from all interfaces and remove everything that is pinned
    Down(DownArgs),
    /// Leave what is pinned as the release before understands it; the daemon must not run
    PrepareDowngrade(DowngradeArgs),
}

impl Cli {
    /// Reads the command line of this process, and does what it says.
    pub fn main() -> Exit {
        let parsed = with_examples(Self::command()).try_get_matches();
        let cli = match parsed.and_then(|matches| Self::from_arg_matches(&matches)) {
            Ok(cli) => cli,
            Err(error) => return misused(&error),
        };
        cli.run().unwrap_or_else(|error| {
            let (text, exit) = (format!("{error:#}"), Exit::of(&error));
            report(cli.globals.json, &text, exit);
            exit
        })
    }

    /// Does what the command line says.
    ///
    /// # Errors
    /// When that fails; see [`Exit::of`].
    pub fn run(&self) -> Result<Exit> {
        let globals = &self.globals;
        let out = &mut io::stdout().lock();
        match &self.command {
            Command::Run(args) => args.run(globals)?,
            Command::Check(args) => return Ok(args.run(globals, out)?),
            Command::Describe(command) => command.run(globals, Self::command(), out)?,
            Command::Plan(command) => return command.run(globals, out),
            Command::Status => status::run(globals, out)?,
            Command::Doctor(args) => return args.run(globals, out),
            Command::Test(args) => return args.run(globals, out),
            Command::Top(args) => args.run(globals, out)?,
            Command::Objects(command) => command.run(globals, out)?,
            Command::Flows(command) => command.run(globals, out)?,
            Command::Connections(command) => command.run(globals, out)?,
            Command::Write(command) => return command.run(globals, out),
            Command::Events(args) => args.run(globals, out)?,
            Command::Metrics => metrics::run(globals, out)?,
            Command::Fleet => fleet::run(globals, out)?,
            Command::Dns(args) => args.run(globals, out)?,
            Command::Audit(args) => return args.run(globals, out),
            Command::Key(args) => args.run(globals, out)?,
            Command::Site(args) => args.run(globals, out)?,
            Command::RunHook(args) => args.run()?,
            Command::ServeHttps => serve_https::run()?,
            Command::Down(args) => args.run(globals, out)?,
            Command::PrepareDowngrade(args) => args.run(globals, out)?,
        }
        Ok(Exit::Done)
    }
}

/// Help, or what is wrong with the command line.
fn misused(error: &clap::Error) -> Exit {
    let is_json = env::args_os().any(|word| word == "--json");
    if error.use_stderr() && is_json {
        let text = error.render().to_string();
        report(true, text.trim_start_matches("error: ").trim_end(), Exit::Usage);
        return Exit::Usage;
    }
    // It fails only if there is nowhere to write to.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// Writes an error for people or for programs.
fn report(is_json: bool, text: &str, exit: Exit) {
    if is_json {
        let code = exit as u8;
        eprintln!("{}", json!({ "error": text, "exit_code": code }));
    } else if terminal::takes_color(&io::stderr()) {
        eprintln!("{} {text}", Attention::Broken.paint("error:"));
    } else {
        eprintln!("error: {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(cli.globals.json && cli.globals.local_socket().as_os_str() == "/s", "{line}");
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
            "privatelink apply",
            "privatelink create endpoint --service a",
            "privatelink create service a --network b --target c --source-addresses d",
            "privatelink create endpoint --service a --network b --wait --dry-run",
            "privatelink delete network a",
            "privatelink register a",
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
