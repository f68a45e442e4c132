//! Packet captures that are kept only when a test fails.

use std::{
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{namespace::Namespace, process::Process, tool, wait_until};

/// How many packets of a failed test are printed; the file has them all.
const SHOWN: usize = 60;

/// `tcpdump` takes a moment to load on a busy machine.
const START: Duration = Duration::from_secs(20);

/// A capture of one interface, written to a file.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
    label: String,
}

impl Capture {
    /// Starts `tcpdump` on `interface`, writing below `directory`, and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(namespace: &Namespace, interface: &str, directory: &TempDir) -> Result<Self> {
        let label = format!("{}-{interface}", namespace.name());
        let file = directory.path().join(format!("{label}.pcap"));
        let mut command = namespace.command("tcpdump");
        command.args(["-n", "-U", "-Z", "root", "-i", interface, "-w"]).arg(&file);
        let mut process = Process::spawn(&format!("tcpdump on {label}"), command)?;
        wait_until(START, "tcpdump listens", || {
            process.ended().is_some() || process.output().contains("listening on")
        })?;
        if process.ended().is_some() {
            bail!("tcpdump on {label} ended at once: {}", process.output());
        }
        Ok(Self { process, file, label })
    }

    /// Returns the first packets seen, decoded.
    ///
    /// # Errors
    /// When `tcpdump` cannot read its file.
    pub fn summary(&self) -> Result<String> {
        let text = tool::run_line(&format!("tcpdump -nn -e -v -r {}", self.file.display()))?;
        Ok(text.lines().take(SHOWN).collect::<Vec<_>>().join("\n"))
    }

    /// Ends the capture, and returns how many packets that match `filter` the kernel saw at `since`
    /// or later, and how many before.
    ///
    /// # Errors
    /// When `tcpdump` cannot read its file, or does not know the filter.
    pub fn split(mut self, filter: &str, since: SystemTime) -> Result<(usize, usize)> {
        // While it writes, the last packet in the file may be half a packet.
        self.process.terminate();
        let mut command = Command::new("tcpdump");
        // With `-q`, because tcpdump prints some protocols in several lines.
        command.args(["-nn", "-q", "-tt", "-r"]).arg(&self.file).arg(filter);
        let text = tool::run(&mut command)?;
        let since = since.duration_since(UNIX_EPOCH)?.as_micros();
        let times = text.lines().map(|line| line.split(' ').next().and_then(micros));
        let times: Vec<u128> =
            times.collect::<Option<_>>().context("tcpdump prints times in another way")?;
        let later = times.iter().filter(|time| **time >= since).count();
        Ok((later, times.len() - later))
    }
}

/// Microseconds since 1970 of a time such as `1700000000.123456`.
fn micros(text: &str) -> Option<u128> {
    let (seconds, fraction) = text.split_once('.')?;
    let fraction = if fraction.len() == 6 { fraction.parse::<u128>().ok()? } else { return None };
    Some(seconds.parse::<u128>().ok()? * 1_000_000 + fraction)
}

/// The captures of one test; dropping them removes the files, unless the thread is panicking.
#[derive(Debug)]
pub struct Captures {
    captures: Vec<Capture>,
    directory: Option<TempDir>,
}

impl Captures {
    /// Starts a capture on each interface.
    ///
    /// # Errors
    /// As [`Capture::start`].
    pub fn start<'a>(interfaces: impl Iterator<Item = (&'a Namespace, &'a str)>) -> Result<Self> {
        let directory = TempDir::new().context("cannot make a directory for captures")?;
        let captures = interfaces
            .map(|(namespace, interface)| Capture::start(namespace, interface, &directory))
            .collect::<Result<_>>()?;
        Ok(Self { captures, directory: Some(directory) })
    }

    /// Returns what each interface saw so far, decoded.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for capture in &self.captures {
            let packets = capture.summary().unwrap_or_else(|error| error.to_string());
            text.push_str(&format!("--- packets on {} ---\n{packets}\n", capture.label));
        }
        text
    }
}

impl Drop for Captures {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        for capture in &mut self.captures {
            capture.process.terminate();
        }
        eprintln!("{}", self.summary());
        if let Some(directory) = self.directory.take() {
            eprintln!("captures kept in {}", directory.keep().display());
        }
    }
}
