//! A child process that ends with the test, and whose output is shown when the test fails.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, SysconfVar, sysconf},
};
use tempfile::TempDir;

use super::{tool, wait_until};

/// How long a process may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// A running program; dropping it ends it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: TempDir,
}

impl Process {
    /// Starts `command`, with its output kept in a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        let output = TempDir::new().context("cannot make a directory for a program's output")?;
        let log = File::create(output.path().join("output"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C at the terminal must not reach the children: they are ended in the right order.
        command.process_group(0);
        let child = command.spawn().map_err(|source| tool::not_started(&command, source))?;
        Ok(Self { name: name.to_owned(), child, output })
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns all that it printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output.path().join("output")).unwrap_or_default()
    }

    /// Returns how it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Sends a signal such as `STOP` to a process.
    ///
    /// # Errors
    /// When there is no such process or signal.
    pub fn signal(id: u32, name: &str) -> Result<()> {
        let signal: Signal = format!("SIG{name}").parse()?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }

    /// Asks it to end (SIGTERM), and kills it if it does not.
    pub fn terminate(&mut self) {
        if self.ended().is_some() {
            return;
        }
        if let Ok(id) = i32::try_from(self.id()) {
            let _ended = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        let ended = wait_until(GRACE, "the process ends", || self.ended().is_some());
        if ended.is_err() {
            self.kill();
        }
    }
}

/// The CPU time that a process has used, all of its threads together; exact to 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(id: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))
        .with_context(|| format!("there is no process {id}"))?;
    // The program's name, in parentheses, may contain spaces.
    let (_, fields) = text.rsplit_once(") ").context("no process status")?;
    let ticks: u64 =
        fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let second = sysconf(SysconfVar::CLK_TCK)?.context("the system has no clock tick")?;
    Ok(Duration::from_secs_f64(ticks as f64 / second as f64))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
        if thread::panicking() {
            eprintln!("--- output of {} ---\n{}---", self.name, self.output());
        }
    }
}
