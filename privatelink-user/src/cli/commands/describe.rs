//! What describes the command and its configuration to other programs.

use std::{fs, io::Write, path::Path};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::write;
use crate::{cli::args::Cli, config};

/// The JSON schema of the configuration.
pub(super) fn schema(out: &mut impl Write) -> Result<()> {
    write(out, &(serde_json::to_string_pretty(&config::schema())? + "\n"))
}

/// What a shell needs to complete the command line.
pub(super) fn completions(shell: Shell, out: &mut impl Write) -> Result<()> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "privatelink", &mut script);
    write(out, &String::from_utf8(script)?)
}

/// The manual page of the command, or the pages of it and all that it can do as files.
pub(super) fn manual(directory: Option<&Path>, out: &mut impl Write) -> Result<()> {
    let mut command = Cli::command();
    command.build();
    let Some(directory) = directory else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return write(out, &String::from_utf8(page)?);
    };
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("cannot write the pages to {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_command_is_completed_and_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        manual(Some(directory.path()), &mut Vec::new()).unwrap();
        let mut script = Vec::new();
        completions(Shell::Bash, &mut script).unwrap();
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
        let mut page = Vec::new();
        manual(None, &mut page).unwrap();
        assert_eq!(page, fs::read(directory.path().join("privatelink.1")).unwrap());
    }
}
