//! The gateway's daemon, run as users run it: the binary, a configuration file, the command line.

mod binary;
mod mode;
mod unprivileged;

use std::{
    ffi::OsStr,
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::unistd::User;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    bpffs,
    namespace::{Namespace, unique},
    process::{Process, cpu_time},
    scrape::TOKEN,
    tool, wait_until,
};

pub use self::binary::{BINARY, find_binary};

/// Verifying the programs takes seconds on a busy machine.
const READY: Duration = Duration::from_secs(60);

/// A daemon in a gateway's namespace; dropping it removes everything, pins included.
#[derive(Debug)]
pub struct Daemon {
    gateway: Namespace,
    binary: PathBuf,
    /// Below `files`, so it must go before them.
    pins: Option<bpffs::Mount>,
    files: TempDir,
    pin_dir: PathBuf,
    process: Option<Process>,
    down: bool,
    /// What is put before the binary when it is run.
    wrapper: Vec<String>,
}

impl Daemon {
    /// Starts the daemon with this configuration and waits until packets can flow.
    ///
    /// Its socket, pin directory and state directory are replaced by unique ones. Where metrics are
    /// served, [`TOKEN`] is the one that shows everything.
    ///
    /// # Errors
    /// When there is no binary, or it does not become ready.
    pub fn start(gateway: &Namespace, config: &str) -> Result<Self> {
        Self::start_binary(&find_binary()?, gateway, config)
    }

    /// Starts this very binary (see [`Daemon::start`]).
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_binary(binary: &Path, gateway: &Namespace, config: &str) -> Result<Self> {
        bpffs::ensure()?;
        let binary = fs::canonicalize(binary)
            .with_context(|| format!("there is no daemon at {}", binary.display()))?;
        let mut daemon = Self {
            gateway: gateway.clone(),
            binary,
            files: TempDir::new().context("cannot make a directory for the daemon's files")?,
            pin_dir: Path::new(bpffs::ROOT).join(format!("pl-{}", unique())),
            pins: None,
            wrapper: Vec::new(),
            process: None,
            down: false,
        };
        daemon.write_config(config)?;
        daemon.run()?;
        Ok(daemon)
    }

    /// Starts the process again, after [`Daemon::kill`] or [`Daemon::terminate`].
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn run(&mut self) -> Result<()> {
        self.run_unready()?;
        self.wait_until_ready()
    }

    /// Starts the process again on a host that has been up for longer than it has, by this time:
    /// compared with that, the wall clock has been set back.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn run_with_more_uptime(&mut self, more: Duration) -> Result<()> {
        self.run_under(&["unshare", "--time", "--boottime", &more.as_secs().to_string(), "--"])
    }

    /// Starts the process again by a command that executes it: these words stand before the binary.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn run_under(&mut self, words: &[&str]) -> Result<()> {
        let words = words.iter().copied().map(str::to_owned).collect();
        let before = std::mem::replace(&mut self.wrapper, words);
        let result = self.run();
        self.wrapper = before;
        result
    }

    /// Starts the process again, and waits for nothing.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn run_unready(&mut self) -> Result<()> {
        let mut words = self.wrapper.iter().map(OsStr::new).chain([self.binary.as_os_str()]);
        let mut command = self.gateway.command(words.next().unwrap_or_default());
        command
            .args(words)
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .arg("--socket")
            .arg(self.socket());
        self.process = Some(Process::spawn("privatelink run", command)?);
        Ok(())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("the daemon does not run")?;
        let control = control(&self.gateway, &self.binary, &self.files);
        let mut last = String::new();
        let ready = wait_until(READY, "the daemon is ready", || {
            if process.ended().is_some() {
                return true;
            }
            match ask(&control, &["status", "--json"]) {
                Ok(status) => {
                    last = status.to_string();
                    status.get("ready").and_then(Value::as_bool) == Some(true)
                }
                Err(error) => {
                    last = format!("{error:#}");
                    false
                }
            }
        });
        if let Some(status) = process.ended() {
            bail!("the daemon ended at once ({status}):\n{}", process.output());
        }
        ready.with_context(|| format!("last status: {last}\nits output:\n{}", process.output()))
    }

    /// Returns the identifier of its process.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Returns the CPU time that its process has used.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time(self.id().context("the daemon does not run")?)
    }

    /// Returns the binary that it runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Makes the next start run another binary.
    pub fn replace_binary(&mut self, binary: &Path) {
        self.binary = binary.to_owned();
    }

    /// Returns the path of the configuration in force.
    pub fn config(&self) -> PathBuf {
        self.files.path().join("privatelink.toml")
    }

    /// Returns the path of its control socket.
    pub fn socket(&self) -> PathBuf {
        self.files.path().join(SOCKET)
    }

    /// Returns the directory of its pinned objects.
    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    /// Returns the directory of its state.
    pub fn state_dir(&self) -> PathBuf {
        self.files.path().join("state")
    }

    /// Lets every user of this machine reach the socket; the daemon itself refuses those without
    /// rights.
    ///
    /// # Errors
    /// When the directory of the daemon's files cannot be opened.
    pub fn open_to_all(&self) -> Result<()> {
        let open = fs::Permissions::from_mode(0o711);
        fs::set_permissions(self.files.path(), open).context("cannot open the socket's directory")
    }

    /// Returns the command line as run by another user of this machine: add a subcommand.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn cli_as(&self, user: &str) -> Result<Command> {
        let found = User::from_name(user)?.with_context(|| format!("there is no user {user}"))?;
        let mut command = Command::new(&self.binary);
        // The standard library drops all other groups with it.
        command.uid(found.uid.as_raw()).gid(found.gid.as_raw()).current_dir("/");
        command.arg("--socket").arg(self.socket());
        Ok(command)
    }

    /// Sends a request to the socket, as this user or as root, with `{}` as its body; returns the
    /// code of the answer, and what it says.
    ///
    /// # Errors
    /// When there is no such user, or no answer.
    pub fn request(&self, method: &str, path: &str, user: Option<&str>) -> Result<(u16, String)> {
        self.send(method, path, user, &Value::Object(serde_json::Map::new()))
    }

    /// As [`Daemon::request`], with another body.
    ///
    /// # Errors
    /// As [`Daemon::request`].
    pub fn send(
        &self,
        method: &str,
        path: &str,
        user: Option<&str>,
        body: &Value,
    ) -> Result<(u16, String)> {
        let mut command = Command::new("curl");
        if let Some(user) = user {
            let found = User::from_name(user)?.context("there is no such user")?;
            command.uid(found.uid.as_raw()).gid(found.gid.as_raw());
        }
        command.args(["--silent", "--show-error", "--max-time", "30", "--request", method]);
        command.args(["--header", "content-type: application/json"]);
        command.args(["--data", &body.to_string()]);
        command.args(["--write-out", "\n%{http_code}", "--unix-socket"]).arg(self.socket());
        let text = tool::run(command.arg(format!("http://privatelink{path}")))?;
        let (answer, code) = text.rsplit_once('\n').context("curl printed no code")?;
        Ok((code.parse()?, answer.to_owned()))
    }

    /// Returns what the daemon has printed.
    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    /// Returns the command line that speaks to this daemon: add a subcommand.
    pub fn cli(&self) -> Command {
        let control = control(&self.gateway, &self.binary, &self.files);
        control.command()
    }

    /// Runs a subcommand with `--json` among its words, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, or prints something that is not JSON.
    pub fn ask(&self, words: &[&str]) -> Result<Value> {
        ask(&control(&self.gateway, &self.binary, &self.files), words)
    }

    /// Returns `privatelink status --json`.
    ///
    /// # Errors
    /// As [`Daemon::ask`].
    pub fn status(&self) -> Result<Value> {
        self.ask(&["status", "--json"])
    }

    /// Returns how many packets were dropped, for all reasons together.
    ///
    /// # Errors
    /// As [`Daemon::ask`].
    pub fn drops(&self) -> Result<u64> {
        let status = self.status()?;
        let drops = status.get("drops").and_then(Value::as_object);
        let drops = drops.context("`status --json` has no `drops`")?;
        // What hosts say to each other and to routers, such as solicitations, is none of ours.
        let ours = drops.iter().filter(|(reason, _)| *reason != "host");
        Ok(ours.filter_map(|(_, count)| count.as_u64()).sum())
    }

    /// Replaces the configuration on disk, which the daemon reads at a reload.
    ///
    /// # Errors
    /// When it is not TOML, or the file cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        let mut table: toml::Table = config.parse().context("the configuration is not TOML")?;
        let gateway = table.entry("gateway").or_insert_with(|| toml::Table::new().into());
        let gateway = gateway.as_table_mut().context("`gateway` is not a table")?;
        for (key, path) in [
            ("socket", self.socket()),
            ("pin_dir", self.pin_dir.clone()),
            ("state_dir", self.state_dir()),
        ] {
            gateway.insert(key.to_owned(), path.display().to_string().into());
        }
        if gateway.contains_key("metrics") && !gateway.contains_key("metrics_token_file") {
            let file = self.files.path().join("metrics.token");
            fs::write(&file, TOKEN).context("cannot write the token")?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o640))?;
            gateway.insert("metrics_token_file".to_owned(), file.display().to_string().into());
        }
        mode::choose(&mut table, &self.binary)?;
        fs::write(self.config(), table.to_string()).context("cannot write the configuration")
    }

    /// Kills the daemon as `kill -9` does; what it pinned stays.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// Stops the daemon with SIGTERM; what it pinned stays.
    pub fn terminate(&mut self) {
        if let Some(process) = &mut self.process {
            process.terminate();
        }
    }

    /// Runs `privatelink down`.
    ///
    /// # Errors
    /// When it fails.
    pub fn down(&mut self) -> Result<()> {
        let mut command = self.cli();
        command.arg("down").arg("--pin-dir").arg(&self.pin_dir);
        tool::run(&mut command)?;
        self.down = true;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.down
            && let Err(error) = self.down()
        {
            eprintln!("lab: {error:#}");
        }
        self.process = None;
        // A daemon that was killed, or that fails to go down, must not leave pins on the machine.
        if self.pin_dir.exists()
            && let Err(error) = fs::remove_dir_all(&self.pin_dir)
        {
            eprintln!("lab: cannot remove {}: {error}", self.pin_dir.display());
        }
        self.pins = None;
    }
}

const SOCKET: &str = "privatelink.sock";

/// How to reach a daemon, independent of its process.
struct Control {
    gateway: Namespace,
    binary: PathBuf,
    socket: PathBuf,
}

impl Control {
    fn command(&self) -> Command {
        let mut command = self.gateway.command(&self.binary);
        command.arg("--socket").arg(&self.socket);
        command
    }
}

fn control(gateway: &Namespace, binary: &Path, files: &TempDir) -> Control {
    Control {
        gateway: gateway.clone(),
        binary: binary.to_owned(),
        socket: files.path().join(SOCKET),
    }
}

fn ask(control: &Control, words: &[&str]) -> Result<Value> {
    let text = tool::run(control.command().args(words))?;
    serde_json::from_str(&text).with_context(|| format!("{words:?} printed no JSON: {text}"))
}
