//! A test of an endpoint's way: which step does not let packets through, whose it is, and what to do.
//!
//! The daemon's loop only copies what is known (the [`Subject`]) and decides what the caller may see
//! (the [`Viewer`]). The rest runs beside it: frames are judged by the programs themselves in a
//! [rehearsal](crate::datapath::bpf::Rehearsal), where they open nothing and are counted nowhere, and
//! targets are asked by connections of the gateway's own.

mod finding;
mod frame;
mod judgement;
mod names;
mod pace;
mod probe;
mod refusal;
mod report;
mod stage;
mod subject;
mod surroundings;
mod walk;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use log::warn;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{chain::Chain, interface::types::EndpointTest};

pub use self::{
    pace::Pace, report::Viewer, stage::RehearsalStage, subject::Subject, surroundings::Surroundings,
};

/// How long frames are judged at most: the kernel verifies the programs at the first test.
const REHEARSAL: Duration = Duration::from_secs(15);

/// Why there is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The programs could not be loaded beside the live ones, or not be run.
    #[error("the packets could not be tried: the daemon's log says why")]
    NotRehearsed,
    /// It took too long.
    #[error("the packets could not be tried in time: the gateway is busy; try again")]
    Busy,
}

/// Everything that a test needs.
#[derive(Debug)]
pub struct Trial {
    /// What is known of the endpoint.
    pub subject: Subject,
    /// What the caller may see.
    pub viewer: Viewer,
    /// The client to try.
    pub from: Option<IpAddr>,
    /// The port to try.
    pub port: Option<u16>,
    /// Where frames are judged.
    pub stage: Arc<RehearsalStage>,
}

/// The steps as a table of the manual.
pub fn steps_table() -> String {
    let mut table = String::from("| step | side | passes if |\n|---|---|---|\n");
    for step in finding::Step::ALL {
        table += &format!("| `{}` | {} | {} |\n", step.word(), step.side().word(), step.meaning());
    }
    table
}

impl Trial {
    /// Walks the way.
    ///
    /// # Errors
    /// When no packet could be tried.
    pub async fn run(self) -> Result<EndpointTest, Failure> {
        let begun = Instant::now();
        let Self { subject, viewer, from, port, stage } = self;
        let subject = Arc::new(subject);
        let walks = walk::choose(&subject, from, port);
        let (whose, tried) = (Arc::clone(&subject), walks.clone());
        let rehearsal = spawn_blocking(move || stage.rehearse(&whose, &tried));
        let judged = async {
            let judged = timeout(REHEARSAL, rehearsal).await.map_err(|_| Failure::Busy)?;
            let judged = judged.map_err(|_| Failure::NotRehearsed)?;
            judged.map_err(|error| {
                warn!("cannot rehearse packets: {}", Chain(&error));
                Failure::NotRehearsed
            })
        };
        let (judged, probed) = tokio::join!(judged, probe::all(&subject, &walks));
        let judged = judged?;
        let findings = judgement::of(&subject, &walks, &judged, &probed);
        let took = begun.elapsed();
        Ok(report::of(&subject, viewer, &findings, &judged, took))
    }
}
