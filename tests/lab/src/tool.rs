//! Runs the system's tools, and reports what went wrong when one fails.

use std::{
    io,
    process::{Command, ExitStatus},
};

use thiserror::Error;

/// Why a tool did not do its work.
#[derive(Debug, Error)]
pub enum ToolError {
    /// The tool is not on this machine.
    #[error("`{program}` is not installed: `cargo xtask setup` installs what the lab needs")]
    Missing {
        /// The program that was looked for.
        program: String,
    },
    /// The tool could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The whole command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The tool ran and reported a failure.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The whole command line.
        command: String,
        /// Its exit code or signal.
        status: ExitStatus,
        /// What it wrote on its standard error.
        stderr: String,
    },
}

/// Runs `command` to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<String, ToolError> {
    let output = command.output().map_err(|source| not_started(command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(ToolError::Failed {
        command: line(command),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Runs one command line whose words hold no spaces, such as `ip link show`.
///
/// # Errors
/// As [`run`].
pub fn run_line(words: &str) -> Result<String, ToolError> {
    let mut words = words.split_whitespace();
    run(Command::new(words.next().unwrap_or_default()).args(words))
}

/// Explains why `command` could not be started.
pub fn not_started(command: &Command, source: io::Error) -> ToolError {
    if source.kind() == io::ErrorKind::NotFound {
        return ToolError::Missing { program: command.get_program().to_string_lossy().into() };
    }
    ToolError::Start { command: line(command), source }
}

/// Returns the command as one would type it.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_command_code_and_message() {
        let error = run(Command::new("sh").args(["-c", "echo out; echo bad >&2; exit 7"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("sh -c") && error.contains('7') && error.contains("bad"), "{error}");
    }

    #[test]
    fn a_missing_tool_says_how_to_get_it() {
        let error = run_line("no-such-tool-here --now").unwrap_err().to_string();
        assert!(error.contains("no-such-tool-here") && error.contains("xtask setup"), "{error}");
    }
}
