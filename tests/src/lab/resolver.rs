//! Hosts that ask a name server of the lab, as the C library does.

use std::{net::IpAddr, process::Command};

use super::network::Host;

/// Where the files are made that stand for those of the machine, unseen by others.
const SCRATCH: &str = "/mnt";

impl Host {
    /// Returns a command that will run `program` on the host, for which names are what this server
    /// says.
    pub fn command_resolving(&self, server: IpAddr, program: &[&str]) -> Command {
        let script = format!(
            "mount -t tmpfs none {SCRATCH}\n\
             echo 'nameserver {server}' > {SCRATCH}/resolv.conf\n\
             echo 'hosts: files dns' > {SCRATCH}/nsswitch.conf\n\
             for file in resolv.conf nsswitch.conf; do\n\
             mount --bind {SCRATCH}/$file /etc/$file\n\
             done\n\
             exec \"$@\""
        );
        let mut command = self.command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", &script, "sh"]);
        command.args(program);
        command
    }
}
