//! Frames as they are, which no stack would send.

use std::{io::Write as _, process::Stdio};

use anyhow::{Context as _, Result, ensure};

use super::network::{DEVICE, Host};

/// Sends what it reads, one frame in hexadecimal digits a line.
const SCRIPT: &str = "\
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
for line in sys.stdin:
    wire.send(bytes.fromhex(line))
";

impl Host {
    /// Sends frames out of the host's device, whoever they say they are from.
    ///
    /// # Errors
    /// When they cannot be sent.
    pub fn send_frames(&self, frames: &[Vec<u8>]) -> Result<()> {
        let mut command = self.command("/usr/bin/python3");
        command.args(["-c", SCRIPT, DEVICE]).stdin(Stdio::piped());
        let mut child = command.spawn().context("cannot run python3")?;
        let mut input = child.stdin.take().context("python3 has no input")?;
        for frame in frames {
            let digits: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(input, "{digits}").context("python3 does not listen")?;
        }
        drop(input);
        let status = child.wait().context("python3 cannot be waited for")?;
        ensure!(status.success(), "python3: {status}");
        Ok(())
    }
}
