//! What the command line does with each command.

pub mod check;
mod describe;
mod detail;
mod dns;
mod down;
mod events;
mod flows;
mod plan;
mod show;
mod status;
mod table;

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, Result};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cli::{
        args::{Cli, Command, DecisionArgs, DnsCommand, NameArgs},
        client,
        exit::Exit,
    },
    daemon::{self, Options},
    dns::server,
    interface::{path, types},
    model::Name,
};

/// Does what the command line says.
///
/// # Errors
/// When it cannot be done; see [`exit_code`].
pub fn dispatch(cli: &Cli) -> Result<Exit> {
    let socket = cli.daemon_socket();
    let out = &mut io::stdout().lock();
    match &cli.command {
        Command::Run(args) => {
            let options = Options { config: args.config.clone(), socket: cli.socket.clone() };
            return run(options);
        }
        Command::Check(args) => {
            let color = io::stderr().is_terminal();
            return Ok(check::check(&args.path, cli.json, out, &mut io::stderr(), color)?);
        }
        Command::Status => {
            let status: types::Status = client::get(&socket, path::STATUS)?;
            print(out, cli.json, &status, status::status)?;
        }
        Command::Networks(args) => {
            list(cli, out, path::NETWORKS, args, show::networks, detail::network)?;
        }
        Command::Services(args) => {
            list(cli, out, path::SERVICES, args, show::services, detail::service)?;
        }
        Command::Endpoints(args) => {
            list(cli, out, path::ENDPOINTS, args, show::endpoints, detail::endpoint)?;
        }
        Command::Targets(args) => {
            let path = match &args.service {
                Some(service) => format!("{}?service={}", path::TARGETS, name(service)?),
                None => path::TARGETS.to_owned(),
            };
            let targets: Vec<types::Target> = client::get(&socket, &path)?;
            print(out, cli.json, &targets, |targets| show::targets(targets))?;
        }
        Command::Flows(args) => flows::flows(cli, args, out)?,
        Command::Whois(args) => flows::whois(cli, args, out)?,
        Command::Schema => describe::schema(out)?,
        Command::Completions(args) => describe::completions(args.shell, out)?,
        Command::Man(args) => describe::manual(args.directory.as_deref(), out)?,
        Command::Connections(args) => {
            list(cli, out, path::CONNECTIONS, args, show::connections, detail::connection)?;
        }
        Command::Accept(args) => {
            let grant = types::Grant {
                reason: args.decision.reason.clone(),
                for_seconds: args.period.map(|period| period.as_secs()),
            };
            decide(cli, out, &args.decision, "accept", &grant)?;
        }
        Command::Reject(args) => decide(cli, out, args, "reject", &reasoned(args))?,
        Command::Request(args) => decide(cli, out, args, "request", &reasoned(args))?,
        Command::Events(args) => events::events(cli, args, out)?,
        Command::Dns(args) => match &args.command {
            DnsCommand::Export(args) => {
                let names = dns::names(cli, args)?;
                let text = if cli.json { String::new() } else { dns::text(&names, args)? };
                print(out, cli.json, &names, |_| text)?;
            }
            DnsCommand::Serve => {
                log_to_stderr();
                server::serve()?;
            }
        },
        Command::RunHook(args) => crate::events::run_hook(&args.program, args.user.as_deref())?,
        Command::Plan(args) => return plan::plan(cli, args, out),
        Command::Reload => return plan::reload(cli, out),
        Command::Down(args) => {
            let pin_dir = down::down(cli, args)?;
            let done = format!("nothing is forwarded any more; {} is gone", pin_dir.display());
            print(out, cli.json, &serde_json::json!({ "pin_dir": pin_dir }), |_| done + "\n")?;
        }
    }
    Ok(Exit::Done)
}

/// Prints all things of a kind, or the one that is named.
fn list<T: Serialize + DeserializeOwned>(
    cli: &Cli,
    out: &mut impl Write,
    path: &str,
    args: &NameArgs,
    table: impl FnOnce(&[T]) -> String,
    detail: impl FnOnce(&T) -> String,
) -> Result<()> {
    let socket = cli.daemon_socket();
    match &args.name {
        None => {
            let all: Vec<T> = client::get(&socket, path)?;
            print(out, cli.json, &all, |all| table(all))
        }
        Some(wanted) => {
            let one: T = client::get(&socket, &format!("{path}/{}", name(wanted)?))?;
            print(out, cli.json, &one, detail)
        }
    }
}

/// Has something decided about a connection, and prints how it stands then.
fn decide(
    cli: &Cli,
    out: &mut impl Write,
    args: &DecisionArgs,
    verb: &str,
    body: &impl Serialize,
) -> Result<()> {
    let path = format!("{}/{}/{verb}", path::CONNECTIONS, name(&args.endpoint)?);
    let decided: types::Connection = client::send(&cli.daemon_socket(), &path, body)?;
    print(out, cli.json, &decided, show::decided)
}

fn reasoned(args: &DecisionArgs) -> types::Reasoned {
    types::Reasoned { reason: args.reason.clone() }
}

/// A name that can stand in a path as it is.
fn name(text: &str) -> Result<Name> {
    text.parse().with_context(|| format!("nothing can have the name `{text}`"))
}

/// How a command ends that failed.
pub fn exit_code(error: &anyhow::Error) -> Exit {
    match error.downcast_ref() {
        Some(client::Error::NotRunning { .. }) => Exit::NotRunning,
        _ => Exit::Failed,
    }
}

fn log_to_stderr() {
    let filter = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(filter).init();
}

fn run(options: Options) -> Result<Exit> {
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(daemon::run(options))?;
    Ok(Exit::Done)
}

fn print<T: Serialize + ?Sized>(
    out: &mut impl Write,
    json: bool,
    answer: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    let text = if json { serde_json::to_string_pretty(answer)? + "\n" } else { text(answer) };
    write(out, &text)
}

fn write(out: &mut impl Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `privatelink flows | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write the answer"),
    }
}
