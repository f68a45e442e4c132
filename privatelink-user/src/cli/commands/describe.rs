//! `privatelink schema`, `completions` and `man`: what describes the command line and the
//! configuration to other programs.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    cli::{client, globals::Globals, manual, print::write},
    config,
    interface::{
        path,
        types::{Endpoint, Network, Service},
    },
    timestamp::Timestamp,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the JSON schema of the configuration, for editors
    Schema,
    /// Print the completion script for a shell; it asks the daemon for names
    Completions(CompletionsArgs),
    /// Print the names of all objects of a kind, for completion
    #[command(hide = true)]
    CompleteNames(NamesArgs),
    /// Print the manual page, or write those of all commands into a directory
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct NamesArgs {
    /// The kind
    #[arg(value_name = "KIND", value_enum)]
    pub kind: Named,
}

/// The kinds of objects whose names are completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Named {
    /// Networks.
    Networks,
    /// Services.
    Services,
    /// Endpoints, and their connections.
    Endpoints,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where to write privatelink.1 and a page for each command
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

impl Command {
    /// Describes `program`, the whole command line.
    pub fn run(
        &self,
        globals: &Globals,
        program: clap::Command,
        out: &mut impl Write,
    ) -> Result<()> {
        match self {
            Self::CompleteNames(args) => {
                // A shell that completes has no place for errors.
                let names = names(globals, args.kind).unwrap_or_default();
                write(out, &names.iter().map(|name| format!("{name}\n")).collect::<String>())
            }
            Self::Schema => write(out, &(serde_json::to_string_pretty(&config::schema())? + "\n")),
            Self::Completions(args) => completions(program, args.shell, out),
            Self::Man(args) => manual(program, args.directory.as_deref(), out),
        }
    }
}

fn completions(mut program: clap::Command, shell: Shell, out: &mut impl Write) -> Result<()> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "privatelink", &mut script);
    let script = String::from_utf8(script)?;
    let script = if shell == Shell::Bash {
        script + BASH
    } else if shell == Shell::Zsh {
        zsh(&script)
    } else if shell == Shell::Fish {
        script + FISH
    } else {
        script
    };
    write(out, &script)
}

/// The names of all objects of a kind that the user may see.
fn names(globals: &Globals, kind: Named) -> Result<Vec<String>> {
    let daemon = globals.daemon();
    Ok(match kind {
        Named::Networks => {
            let all: Vec<Network> = client::get(&daemon, path::NETWORKS)?;
            all.into_iter().map(|one| one.name).collect()
        }
        Named::Services => {
            let all: Vec<Service> = client::get(&daemon, path::SERVICES)?;
            all.into_iter().map(|one| one.name).collect()
        }
        Named::Endpoints => {
            let all: Vec<Endpoint> = client::get(&daemon, path::ENDPOINTS)?;
            all.into_iter().map(|one| one.name).collect()
        }
    })
}

/// Adds names to what the generated script completes.
const BASH: &str = r#"
_privatelink_names() {
    local word kind=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            endpoints|connections|accept|reject|request|flows) kind=endpoints ;;
            services|targets|register|deregister) kind=services ;;
            networks|export) kind=networks ;;
        esac
    done
    case "$3" in
        --service) kind=services ;;
        --network) kind=networks ;;
        -*) kind= ;;
    esac
    _privatelink "$@"
    if [[ -n "$kind" && "$2" != -* ]]; then
        local names
        names=$(privatelink complete-names "$kind" 2>/dev/null)
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$names" -- "$2")
    fi
}
complete -F _privatelink_names -o nosort -o bashdefault -o default privatelink
"#;

/// As [`BASH`].
const FISH: &str = r#"
for pair in endpoints:endpoints connections:endpoints accept:endpoints reject:endpoints \
        request:endpoints flows:endpoints services:services targets:services \
        register:services deregister:services networks:networks
    set -l parts (string split : $pair)
    complete -c privatelink -n "__fish_seen_subcommand_from $parts[1]" -f \
        -a "(privatelink complete-names $parts[2] 2>/dev/null)"
end
complete -c privatelink -l service -x -a "(privatelink complete-names services 2>/dev/null)"
complete -c privatelink -l network -x -a "(privatelink complete-names networks 2>/dev/null)"
"#;

/// The function that zsh calls for a name.
const ZSH: &str = r#"
_privatelink_names() {
    local -a names
    names=("${(@f)$(privatelink complete-names $1 2>/dev/null)}")
    compadd -- $names
}
"#;

/// The generated script, in which arguments that are names complete to names.
fn zsh(script: &str) -> String {
    let mut kind = "";
    let mut text = String::new();
    for line in script.lines() {
        let word = line.trim();
        if let Some(command) = word.strip_prefix('(').and_then(|word| word.strip_suffix(')')) {
            kind = match command {
                "endpoints" | "connections" | "accept" | "reject" | "request" | "flows" => {
                    "endpoints"
                }
                "services" | "targets" | "register" | "deregister" => "services",
                "networks" => "networks",
                _ => "",
            };
        }
        let is_name =
            ["'::name --", "'::service --", "':service --", "':endpoint --", "'::endpoint --"]
                .iter()
                .any(|begin| word.starts_with(begin));
        let option = |name: &str| word.contains(&format!("--{name}="));
        let kind = match (option("service"), option("network")) {
            (true, _) => "services",
            (_, true) => "networks",
            _ if is_name => kind,
            _ => "",
        };
        text += &if kind.is_empty() {
            line.to_owned()
        } else {
            line.replace(":_default'", &format!(": _privatelink_names {kind}'"))
        };
        text.push('\n');
        // Behind the line that says what the script completes.
        if line.starts_with("#compdef") {
            text += ZSH;
        }
    }
    text
}

/// Prints the manual page of the program, or writes a page for it and each command into files.
fn manual(
    mut program: clap::Command,
    directory: Option<&Path>,
    out: &mut impl Write,
) -> Result<()> {
    // A page of each `help` subcommand would say what `--help` says.
    program = program.disable_help_subcommand(true);
    program.build();
    let date = date();
    let Some(directory) = directory else {
        return write(out, &manual::main_page(&program, &date));
    };
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    for (name, text) in manual::pages(&program, &date) {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The day that the pages are of: that of the release's sources, from which the same pages are to
/// be made again, or else today.
fn date() -> String {
    let epoch = option_env!("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse::<u64>().ok());
    let moment = match epoch {
        Some(seconds) => Timestamp::from_millis(seconds.saturating_mul(1_000)),
        None => Timestamp::now(),
    };
    moment.to_string().chars().take_while(|char| *char != 'T').collect()
}

#[cfg(test)]
mod tests {
    use std::{env, os::unix::fs::PermissionsExt as _, process};

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;

    fn script(shell: Shell) -> String {
        let mut script = Vec::new();
        completions(Cli::command(), shell, &mut script).unwrap();
        String::from_utf8(script).unwrap()
    }

    #[test]
    fn names_are_completed_from_the_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let (stub, file) = (directory.path().join("privatelink"), directory.path().join("script"));
        fs::write(
            &stub,
            "#!/bin/sh\n[ \"$1 $2\" = 'complete-names endpoints' ] && echo acme-web globex-web\n",
        )
        .unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(&file, script(Shell::Bash)).unwrap();
        let lines = format!(
            "source {}; COMP_WORDS=(privatelink accept ac); COMP_CWORD=2; \
             _privatelink_names privatelink ac accept; echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        let path = format!("{}:{}", directory.path().display(), env::var("PATH").unwrap());
        let output = process::Command::new("bash").args(["-c", &lines]).env("PATH", path).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.trim(), "acme-web", "{}", String::from_utf8_lossy(&output.stderr));
        let zsh = script(Shell::Zsh);
        assert!(zsh.contains(": _privatelink_names endpoints'"), "{zsh}");
        assert!(zsh.contains(": _privatelink_names services'"), "{zsh}");
        assert!(script(Shell::Fish).contains("complete-names"));
    }

    #[test]
    fn every_command_is_completed_and_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        manual(Cli::command(), Some(directory.path()), &mut Vec::new()).unwrap();
        let mut script = Vec::new();
        completions(Cli::command(), Shell::Bash, &mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        let mut seen = 0;
        let command = Cli::command();
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let page = directory.path().join(format!("privatelink-{name}.1"));
            let page = fs::read_to_string(page).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
            assert!(page.starts_with(".TH"), "{page}");
            assert!(script.contains(name), "{name}");
            seen += 1;
        }
        assert!(seen > 10);
        for entry in fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(!name.ends_with("-help"), "{name}");
            let page = fs::read_to_string(&path).unwrap();
            let title = page.lines().find(|line| line.starts_with(".TH")).unwrap();
            // Such as `.TH privatelink 1 2026-01-31 "privatelink 0.1.0"`.
            let date = title.split(' ').nth(3).unwrap().trim_matches('"');
            let is_date = date.len() == 10 && date.chars().all(|char| "0123456789-".contains(char));
            assert!(is_date, "{name}: {title}");
        }
        let mut page = Vec::new();
        manual(Cli::command(), None, &mut page).unwrap();
        assert_eq!(page, fs::read(directory.path().join("privatelink.1")).unwrap());
    }
}
