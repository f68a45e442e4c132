//! Background traffic that reports whether any of it was lost.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{client, network::Host};

/// Datagrams on their way at a time: few enough that no socket's buffer overflows.
const WINDOW: usize = 32;
/// A datagram that is not back by then is lost: nothing on the way delays one for as long.
const LOST: Duration = Duration::from_secs(5);
/// The pause between two datagrams, or two exchanges of a stream.
const PACE: Duration = Duration::from_millis(1);
/// Bytes of one exchange over a stream.
const EXCHANGE: u64 = 4_096;

/// The outcome of the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Of those, how many never came back.
    pub lost: u64,
    /// Datagrams that came back twice, or that were never sent.
    pub strange: u64,
    /// Bytes that came back over streams.
    pub bytes: u64,
}

/// Running traffic; dropping it ends it.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Tally>>>,
}

impl Load {
    /// Sends numbered datagrams and one long stream to each echo, until it is finished.
    ///
    /// # Errors
    /// When a connection cannot be opened.
    pub fn start(host: &Host, echoes: &[SocketAddr]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = Self { stop: Arc::clone(&stop), threads: Vec::new() };
        for echo in echoes.iter().copied() {
            let any = if echo.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = host.run(|| Ok(UdpSocket::bind(any)?))?;
            socket.connect(echo).with_context(|| format!("cannot reach {echo}"))?;
            let end = Arc::clone(&stop);
            load.threads.push(thread::spawn(move || datagrams(&socket, &end)));
            let stream = host.run(|| client::connect(echo, LOST))?;
            let end = Arc::clone(&stop);
            load.threads.push(thread::spawn(move || {
                let mut tally = Tally::default();
                while !end.load(Ordering::Relaxed) {
                    tally.bytes += client::tcp_exchange(&stream, EXCHANGE, tally.bytes)?.bytes;
                    thread::sleep(PACE);
                }
                Ok(tally)
            }));
        }
        Ok(load)
    }

    /// Ends the traffic, waits for datagrams that are still on their way, and returns the outcome.
    ///
    /// # Errors
    /// When a stream broke.
    pub fn finish(mut self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for thread in self.threads.drain(..) {
            let tally = thread.join().map_err(|_| anyhow!("the traffic panicked"))??;
            sum.datagrams += tally.datagrams;
            sum.lost += tally.lost;
            sum.strange += tally.strange;
            sum.bytes += tally.bytes;
        }
        ensure!(sum.datagrams > 0 && sum.bytes > 0, "there was no traffic");
        Ok(sum)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn datagrams(socket: &UdpSocket, stop: &AtomicBool) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut under_way: BTreeMap<u64, Instant> = BTreeMap::new();
    socket.set_nonblocking(true)?;
    loop {
        let ending = stop.load(Ordering::Relaxed);
        if ending && under_way.is_empty() {
            return Ok(tally);
        }
        if !ending && under_way.len() < WINDOW {
            socket.send(&tally.datagrams.to_be_bytes()).context("cannot send")?;
            under_way.insert(tally.datagrams, Instant::now());
            tally.datagrams += 1;
        }
        thread::sleep(PACE);
        let mut answer = [0; 8];
        while let Ok(8) = socket.recv(&mut answer) {
            if under_way.remove(&u64::from_be_bytes(answer)).is_none() {
                tally.strange += 1;
            }
        }
        let before = under_way.len();
        under_way.retain(|_, sent| sent.elapsed() < LOST);
        tally.lost += u64::try_from(before - under_way.len())?;
    }
}
