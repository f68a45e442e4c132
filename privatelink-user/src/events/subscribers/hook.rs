//! Runs a program for each event.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::interface::types::Event;

/// Timeout of a hook; [`super::confine`] sets its other limits.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Poll interval while a hook runs.
const LOOK: Duration = Duration::from_millis(10);
/// How many bytes of a hook's standard error are logged.
const COMPLAINT: usize = 1_024;

/// A program and the arguments to start it with.
#[derive(Debug)]
pub(super) struct Hook {
    program: PathBuf,
    user: Option<String>,
    socket: PathBuf,
}

impl Hook {
    /// A program that runs as `user` if the daemon is root, and finds the daemon at `socket`.
    pub fn new(program: &Path, user: Option<&str>, socket: &Path) -> Self {
        let (program, user) = (program.to_owned(), user.map(ToOwned::to_owned));
        Self { program, user, socket: socket.to_owned() }
    }

    /// Runs it with an event on its standard input, until it exits or its timeout expires.
    pub fn run(&self, event: &Event) -> Result<(), String> {
        let mut child = self.start().map_err(|error| format!("cannot start: {error}"))?;
        let group = Group(i32::try_from(child.id()).ok());
        let json = serde_json::to_vec(event).map_err(|error| error.to_string())?;
        if let Some(mut input) = child.stdin.take() {
            // An event fits into the pipe's buffer, so this does not block; a hook may ignore it.
            let _ = input.write_all(&json).and_then(|()| input.write_all(b"\n"));
        }
        let mut complaint = Complaint::of(child.stderr.take());
        let deadline = Instant::now() + PATIENCE;
        let ended = loop {
            complaint.hear();
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
                Ok(None) | Err(_) => break None,
            }
        };
        complaint.hear();
        // Kills processes that the hook has left running.
        drop(group);
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(complaint.about(status)),
            None => {
                let _ = child.wait();
                Err(format!("killed after {} seconds", PATIENCE.as_secs()))
            }
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new("/proc/self/exe");
        command.arg("run-hook");
        if let Some(user) = &self.user {
            command.arg("--user").arg(user);
        }
        command.arg(&self.program).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("PRIVATELINK_SOCKET", &self.socket).env("LANG", "C.UTF-8");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0).spawn()
    }
}

/// The process group of a hook, which is killed on drop.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // An error means that no process is left.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// The first bytes that a hook writes to its standard error.
struct Complaint {
    pipe: Option<ChildStderr>,
    text: Vec<u8>,
}

impl Complaint {
    fn of(pipe: Option<ChildStderr>) -> Self {
        let nonblocking =
            |pipe: &ChildStderr| fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok();
        Self { pipe: pipe.filter(nonblocking), text: Vec::new() }
    }

    /// Reads what is in the pipe, so that the hook never blocks on a full one.
    fn hear(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut part = [0; 4_096];
        // Bounded, so that a hook that writes without end still meets its timeout.
        for _ in 0..16 {
            match pipe.read(&mut part) {
                Ok(length) if length > 0 => {
                    let room = COMPLAINT.saturating_sub(self.text.len()).min(length);
                    self.text.extend(part.get(..room).unwrap_or_default());
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn about(&self, status: ExitStatus) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = lines.join("; ").replace(char::is_control, " ");
        if said.is_empty() { status.to_string() } else { format!("{status}: {said}") }
    }
}
