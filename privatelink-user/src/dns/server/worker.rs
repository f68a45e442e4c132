//! Threads that answer: each has a socket of its own at every place, and the kernel shares out
//! what comes.

use std::{collections::BTreeMap, io, os::fd::OwnedFd, sync::Arc, thread};

use anyhow::{Context as _, Result};
use log::warn;
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{AbortHandle, LocalSet, spawn_local},
};

use super::{network::Network, tcp, udp};
use crate::dns::channel::Place;

/// What a worker is told.
#[derive(Debug)]
pub enum Job {
    /// Answer datagrams.
    Udp(Place, Arc<Network>, OwnedFd),
    /// Answer over connections.
    Tcp(Place, Arc<Network>, OwnedFd),
    /// Stop that.
    Close(Place),
}

/// A thread that answers.
#[derive(Debug)]
pub struct Worker(UnboundedSender<Job>);

impl Worker {
    /// Starts a thread.
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

    /// Tells it something; it lives as long as the process.
    pub fn tell(&self, job: Job) {
        // A thread that is gone has said why.
        let _ = self.0.send(job);
    }
}

async fn work(mut jobs: UnboundedReceiver<Job>) {
    let mut running: BTreeMap<Place, Vec<AbortHandle>> = BTreeMap::new();
    while let Some(job) = jobs.recv().await {
        let (place, handle) = match job {
            Job::Udp(place, network, socket) => {
                let served = udp::serve(socket, network);
                (place.clone(), spawn_local(said(place, served)).abort_handle())
            }
            Job::Tcp(place, network, socket) => {
                let served = tcp::serve(socket, network);
                (place.clone(), spawn_local(said(place, served)).abort_handle())
            }
            Job::Close(place) => {
                running.remove(&place).unwrap_or_default().iter().for_each(AbortHandle::abort);
                continue;
            }
        };
        running.entry(place).or_default().push(handle);
    }
}

/// Tells the log of a socket that cannot be served.
async fn said(place: Place, served: impl Future<Output = io::Result<()>>) {
    if let Err(error) = served.await {
        warn!("names of network {} at {}: {error}", place.network, place.address);
    }
}
