//! External commands: each is printed before it runs, reads no input, and can have a time limit.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// One external command.
pub struct Step {
    command: Command,
    shown_environment: Vec<String>,
}

impl Step {
    /// A command that runs in the workspace root.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(crate::workspace::root()).stdin(Stdio::null());
        Self { command, shown_environment: Vec::new() }
    }

    /// A command that is ended when it takes longer than `limit`.
    pub fn limited(limit: Duration, program: impl AsRef<OsStr>) -> Self {
        // In the foreground it stays in our process group, so that Ctrl-C ends it with us.
        let timeout = Self::new("timeout").args(["--foreground", "--kill-after=10"]);
        timeout.arg(limit.as_secs().to_string()).arg(program)
    }

    /// The cargo that started us.
    pub fn cargo(subcommand: &str) -> Self {
        Self::new(crate::workspace::cargo()).arg(subcommand)
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable, which is shown with the command.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown_environment.push(format!("{name}={} ", quoted(value.as_ref())));
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Chooses the working directory.
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it with its output shown.
    ///
    /// # Errors
    /// When it cannot be started or does not succeed.
    pub fn run(mut self) -> Result<()> {
        println!("$ {self}");
        let status = self.status()?;
        self.check(status)
    }

    /// Runs it with its output shown, and gives each line of its standard output to `watch` too.
    /// Returns whether it succeeded.
    ///
    /// # Errors
    /// When it cannot be started or watched.
    pub fn run_watched(mut self, mut watch: impl FnMut(&str)) -> Result<bool> {
        println!("$ {self}");
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{self}`"))?;
        let output = child.stdout.take().context("its output was asked for")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.with_context(|| format!("cannot read what `{self}` prints"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            watch(&line);
        }
        Ok(child.wait()?.success())
    }

    /// Runs it without showing it; returns what it wrote to its standard output.
    ///
    /// # Errors
    /// When it cannot be started or does not succeed.
    pub fn output(mut self) -> Result<String> {
        let output = self.command.output().with_context(|| format!("cannot start `{self}`"))?;
        if !output.status.success() {
            bail!("`{self}` failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it succeeds; its output is not shown.
    pub fn succeeds(mut self) -> bool {
        self.command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Replaces this process with the command.
    ///
    /// # Errors
    /// Only when it cannot be started.
    pub fn exec(mut self) -> Result<()> {
        println!("$ {self}");
        self.command.stdin(Stdio::inherit());
        let error = self.command.exec();
        Err(error).with_context(|| format!("cannot start `{self}`"))
    }

    fn status(&mut self) -> Result<ExitStatus> {
        self.command.status().with_context(|| format!("cannot start `{self}`"))
    }

    fn check(&self, status: ExitStatus) -> Result<()> {
        // What `timeout` answers when the limit was reached.
        const LIMIT_REACHED: i32 = 124;
        ensure!(status.code() != Some(LIMIT_REACHED), "`{self}` took too long and was ended");
        ensure!(status.success(), "`{self}` failed with {status}");
        Ok(())
    }
}

impl From<Command> for Step {
    fn from(command: Command) -> Self {
        Self { command, shown_environment: Vec::new() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown_environment.concat())?;
        f.write_str(&quoted(self.command.get_program()))?;
        self.command.get_args().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// The text as a shell would need it.
fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_shown_as_one_could_type_it() {
        let step = Step::new("echo").arg("a b").arg("it's").arg("").env("NAME", "x y");
        assert_eq!(step.to_string(), r"NAME='x y' echo 'a b' 'it'\''s' ''");
    }

    #[test]
    fn output_and_failure_are_reported() {
        assert_eq!(Step::new("echo").arg("hello").output().expect("echo runs"), "hello\n");
        let error = Step::new("sh").args(["-c", "echo lost >&2; exit 3"]).output().unwrap_err();
        assert!(error.to_string().contains("lost"), "{error}");
    }

    #[test]
    fn a_limit_ends_the_command() {
        let step = Step::limited(Duration::from_secs(1), "sleep").arg("60");
        let error = step.run().unwrap_err();
        assert!(error.to_string().contains("took too long"), "{error}");
    }
}
