//! What the command line does with each command.

mod down;
mod show;
mod table;

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, Result};

use crate::{
    api::{path, types},
    cli::{Cli, Command, Exit},
    client, config,
    daemon::{self, Options},
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
            return Ok(config::check(&args.path, cli.json, out, &mut io::stderr(), color)?);
        }
        Command::Status => {
            let status: types::Status = client::get(&socket, path::STATUS)?;
            print(out, cli.json, &status, show::status)?;
        }
        Command::Endpoints => {
            let endpoints: Vec<types::Endpoint> = client::get(&socket, path::ENDPOINTS)?;
            print(out, cli.json, &endpoints, |endpoints| show::endpoints(endpoints))?;
        }
        Command::Flows(args) => {
            let path = match &args.endpoint {
                // A name has no character that means anything in a query.
                Some(name) => {
                    let name: crate::model::Name = name.parse().context("no such endpoint")?;
                    format!("{}?endpoint={name}", path::FLOWS)
                }
                None => path::FLOWS.to_owned(),
            };
            let flows: Vec<types::Flow> = client::get(&socket, &path)?;
            print(out, cli.json, &flows, |flows| show::flows(flows))?;
        }
        Command::Down(args) => {
            let pin_dir = down::down(cli, args)?;
            let done = format!("nothing is forwarded any more; {} is gone", pin_dir.display());
            print(out, cli.json, &serde_json::json!({ "pin_dir": pin_dir }), |_| done + "\n")?;
        }
    }
    Ok(Exit::Done)
}

/// How a command ends that failed.
pub fn exit_code(error: &anyhow::Error) -> Exit {
    match error.downcast_ref() {
        Some(client::Error::NotRunning { .. }) => Exit::NotRunning,
        _ => Exit::Failed,
    }
}

fn run(options: Options) -> Result<Exit> {
    let filter = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(filter).init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(daemon::run(options))?;
    Ok(Exit::Done)
}

fn print<T: serde::Serialize + ?Sized>(
    out: &mut impl Write,
    json: bool,
    answer: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    let text = if json { serde_json::to_string_pretty(answer)? + "\n" } else { text(answer) };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `privatelink flows | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write the answer"),
    }
}
