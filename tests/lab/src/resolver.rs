//! Programs on hosts that use a name server of the lab through the C library.

use std::{net::IpAddr, process::Command};

use super::network::Host;

/// The mount point of files that replace those of the machine, visible to the program only.
const SCRATCH: &str = "/mnt";

impl Host {
    /// Returns a command that will run `program` on the host, with this server as its resolver.
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
