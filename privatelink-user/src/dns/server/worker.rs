//! Threads that answer queries: each has a socket of its own at every listen address, and the
//! kernel spreads datagrams over them.

use std::{collections::BTreeMap, io, os::fd::OwnedFd, sync::Arc, thread};

use anyhow::{Context as _, Result};
use log::warn;
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{AbortHandle, LocalSet, spawn_local},
};

use super::{network::Network, tcp, udp};
use crate::dns::channel::ListenAddress;

/// A message to a worker.
#[derive(Debug)]
pub enum Job {
    /// Answer queries on this UDP socket.
    Udp(ListenAddress, Arc<Network>, OwnedFd),
    /// Answer queries on connections to this TCP listener.
    Tcp(ListenAddress, Arc<Network>, OwnedFd),
    /// Close the sockets of this address.
    Close(ListenAddress),
}

/// The handle of a thread that answers queries.
#[derive(Debug)]
pub struct Worker(UnboundedSender<Job>);

impl Worker {
    /// Starts the thread.
    pub fn start(number: usize) -> Result<Self> {
        let (sender, jobs) = unbounded_channel();
        let runtime =
            Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        thread::Builder::new()
            .name(format!("dns-{number}"))
            .spawn(move || LocalSet::new().block_on(&runtime, work(jobs)))
            .context("cannot start a thread")?;
        Ok(Self(sender))
    }

    /// Sends the worker a message. Its thread runs as long as the process.
    pub fn send(&self, job: Job) {
        // Sending fails only if the thread has panicked, which was reported.
        let _ = self.0.send(job);
    }
}

async fn work(mut jobs: UnboundedReceiver<Job>) {
    let mut running: BTreeMap<ListenAddress, Vec<AbortHandle>> = BTreeMap::new();
    while let Some(job) = jobs.recv().await {
        let (at, handle) = match job {
            Job::Udp(at, network, socket) => {
                let served = udp::serve(socket, network);
                (at.clone(), spawn_local(logged(at, served)).abort_handle())
            }
            Job::Tcp(at, network, socket) => {
                let served = tcp::serve(socket, network);
                (at.clone(), spawn_local(logged(at, served)).abort_handle())
            }
            Job::Close(at) => {
                running.remove(&at).unwrap_or_default().iter().for_each(AbortHandle::abort);
                continue;
            }
        };
        running.entry(at).or_default().push(handle);
    }
}

/// Logs why a socket can no longer be served.
async fn logged(at: ListenAddress, served: impl Future<Output = io::Result<()>>) {
    if let Err(error) = served.await {
        warn!("network {}: cannot serve names at {}: {error}", at.network, at.address);
    }
}
