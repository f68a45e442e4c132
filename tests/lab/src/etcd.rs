//! etcd as an operator runs it: one or several members, with or without certificates.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{namespace::Namespace, process::Process, tool, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// Running members that form one cluster; dropping it ends them and removes what they kept.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    namespace: Option<Namespace>,
    /// Where certificates are, if members have some.
    certificates: Option<PathBuf>,
    files: TempDir,
}

#[derive(Debug)]
struct Member {
    client: String,
    peer: String,
    process: Option<Process>,
}

impl Etcd {
    /// Starts members that listen on the loopback of this machine, without TLS.
    ///
    /// # Errors
    /// When etcd is not installed, or they do not find each other.
    pub fn start(members: usize) -> Result<Self> {
        Self::launch(vec!["127.0.0.1".into(); members], None, None)
    }

    /// As [`Etcd::start`], but the members ask clients for a certificate: `folder` has `ca.pem`,
    /// `etcd.pem` and `etcd.key`, and `root.pem` and `root.key` of the user `root`.
    ///
    /// # Errors
    /// As [`Etcd::start`].
    pub fn start_with_certificates(members: usize, folder: &Path) -> Result<Self> {
        Self::launch(vec!["127.0.0.1".into(); members], None, Some(folder.to_owned()))
    }

    /// As [`Etcd::start_with_certificates`], but with one member, on an address of a namespace.
    ///
    /// # Errors
    /// As [`Etcd::start`].
    pub fn start_in(namespace: &Namespace, address: &str, folder: &Path) -> Result<Self> {
        let folder = Some(folder.to_owned());
        Self::launch(vec![address.to_owned()], Some(namespace.clone()), folder)
    }

    fn launch(
        addresses: Vec<String>,
        namespace: Option<Namespace>,
        certificates: Option<PathBuf>,
    ) -> Result<Self> {
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let mut members = Vec::new();
        for address in addresses {
            let [client, peer] = match namespace {
                // Nothing else listens there.
                Some(_) => [2379, 2380],
                None => free_ports()?,
            };
            members.push(Member {
                client: format!("{scheme}://{address}:{client}"),
                peer: format!("http://{address}:{peer}"),
                process: None,
            });
        }
        let files = TempDir::new().context("cannot make a directory for etcd")?;
        let mut cluster = Self { members, namespace, certificates, files };
        for number in 0..cluster.members.len() {
            cluster.run(number)?;
        }
        cluster.wait_until_healthy()?;
        Ok(cluster)
    }

    /// The addresses at which members serve clients.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client.clone()).collect()
    }

    /// Starts a member, again if it was ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&mut self, number: usize) -> Result<()> {
        let named = |(number, member): (usize, &Member)| format!("m{number}={}", member.peer);
        let all: Vec<String> = self.members.iter().enumerate().map(named).collect();
        let mut command = self.command("etcd");
        let data = self.files.path().join(format!("m{number}"));
        let member = self.members.get_mut(number).context("no such member")?;
        command.arg("--name").arg(format!("m{number}")).arg("--data-dir").arg(data);
        command.args(["--listen-client-urls", &member.client]);
        command.args(["--advertise-client-urls", &member.client]);
        command.args(["--listen-peer-urls", &member.peer]);
        command.args(["--initial-advertise-peer-urls", &member.peer]);
        command.args(["--initial-cluster", &all.join(",")]);
        // The timers of a cluster within one site, as docs/fleet.md has them.
        command.args(["--heartbeat-interval", "50", "--election-timeout", "300"]);
        // What is tested is what survives etcd, not what etcd survives.
        command.args(["--unsafe-no-fsync"]);
        if let Some(folder) = &self.certificates {
            command.args(["--client-cert-auth", "--trusted-ca-file"]).arg(folder.join("ca.pem"));
            command.arg("--cert-file").arg(folder.join("etcd.pem"));
            command.arg("--key-file").arg(folder.join("etcd.key"));
        }
        member.process = Some(Process::spawn("etcd", command)?);
        Ok(())
    }

    /// Ends a member as `kill -9` does.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.members.get_mut(number).and_then(|one| one.process.take()) {
            process.kill();
        }
    }

    /// Stops a member without ending it (SIGSTOP), or lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, number: usize, frozen: bool) -> Result<()> {
        let process = self.members.get(number).and_then(|member| member.process.as_ref());
        let id = process.context("that member does not run")?.id();
        Process::signal(id, if frozen { "STOP" } else { "CONT" })
    }

    /// The member that leads.
    ///
    /// # Errors
    /// When no member does within half a minute.
    pub fn leader(&self) -> Result<usize> {
        let mut leader = None;
        wait_until(SOON, "a member leads", || {
            leader = (0..self.members.len()).find(|number| self.leads(*number));
            leader.is_some()
        })?;
        leader.context("no member leads")
    }

    fn leads(&self, number: usize) -> bool {
        let Some(member) = self.members.get(number).filter(|one| one.process.is_some()) else {
            return false;
        };
        let words = ["--endpoints", &member.client, "endpoint", "status", "-w", "fields"];
        let said = self.ctl(&words).unwrap_or_default();
        let field = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let (own, leader) = (field("\"MemberID\" :"), field("\"Leader\" :"));
        own.is_some() && own == leader
    }

    /// Runs `etcdctl` with these words, as the user `root` where certificates name users.
    ///
    /// # Errors
    /// When it fails.
    pub fn ctl(&self, words: &[&str]) -> Result<String> {
        let mut command = self.command("etcdctl");
        command.env("ETCDCTL_API", "3");
        if !words.contains(&"--endpoints") {
            let running = self.members.iter().filter(|member| member.process.is_some());
            let running: Vec<&str> = running.map(|member| member.client.as_str()).collect();
            command.args(["--endpoints", &running.join(",")]);
        }
        if let Some(folder) = &self.certificates {
            command.arg("--cacert").arg(folder.join("ca.pem"));
            command.arg("--cert").arg(folder.join("root.pem"));
            command.arg("--key").arg(folder.join("root.key"));
        }
        Ok(tool::run(command.args(words))?)
    }

    /// Waits until all members that run serve clients.
    ///
    /// # Errors
    /// When they do not within half a minute.
    pub fn wait_until_healthy(&self) -> Result<()> {
        wait_until(SOON, "etcd is healthy", || self.ctl(&["endpoint", "health"]).is_ok())
    }

    fn command(&self, program: &str) -> Command {
        match &self.namespace {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        }
    }
}

/// Two ports on which nothing listens.
fn free_ports() -> Result<[u16; 2]> {
    let one = TcpListener::bind("127.0.0.1:0")?;
    let other = TcpListener::bind("127.0.0.1:0")?;
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}

/// Makes an authority `ca` in a folder, and a certificate with its key for each of these users and
/// for the server `etcd` on the loopback and on these addresses.
///
/// # Errors
/// When `openssl` is not installed.
pub fn certificates(folder: &Path, users: &[&str], addresses: &[&str]) -> Result<()> {
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=ca \
         -keyout ca.key -out ca.pem",
        folder,
    )?;
    for user in users.iter().chain(&["etcd"]) {
        let usage = "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n";
        let more: String = addresses.iter().map(|address| format!(",IP:{address}")).collect();
        let names = format!("subjectAltName=IP:127.0.0.1,DNS:localhost{more}\n");
        fs::write(folder.join("extension"), format!("{usage}{names}"))?;
        openssl(
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={user} -keyout \
                 {user}.key -out {user}.csr"
            ),
            folder,
        )?;
        openssl(
            &format!(
                "x509 -req -in {user}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
                 -extfile extension -out {user}.pem"
            ),
            folder,
        )?;
    }
    Ok(())
}

fn openssl(words: &str, folder: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    tool::run(command.args(words.split_whitespace()).current_dir(folder))?;
    Ok(())
}
