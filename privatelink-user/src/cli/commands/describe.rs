//! `privatelink schema`, `completions` and `man`: what describes the command line and the
//! configuration to other programs.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{cli::print::write, config, timestamp::Timestamp};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the JSON schema of the configuration, for editors
    Schema,
    /// Print the completion script for a shell
    Completions(CompletionsArgs),
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
pub struct ManArgs {
    /// Where to write privatelink.1 and a page for each command
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

impl Command {
    /// Describes `program`, the whole command line.
    pub fn run(&self, program: clap::Command, out: &mut impl Write) -> Result<()> {
        match self {
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
    write(out, &String::from_utf8(script)?)
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
        let mut page = Vec::new();
        Man::new(program).date(date).render(&mut page)?;
        return write(out, &String::from_utf8(page)?);
    };
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    pages(&program, directory, &date)
        .with_context(|| format!("cannot write the pages to {}", directory.display()))
}

/// Writes the page of a command and those of its subcommands.
fn pages(command: &clap::Command, directory: &Path, date: &str) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages(subcommand, directory, date)?;
    }
    Man::new(command.clone()).date(date).generate_to(directory).map(drop)
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
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;

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
            assert!(page.starts_with(".ie"), "{page}");
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
