//! Frames that the daemon itself sends, on any interface.

use log::warn;
use privatelink_common::End;

use crate::{
    chain::Chain,
    datapath::{bpf::FrameSender, frames::challenge_acks},
};

/// The socket for the daemon's own frames, or why there is none.
#[derive(Debug)]
pub(in crate::daemon) struct Frames {
    sender: Result<FrameSender, String>,
}

impl Frames {
    /// Opens the socket. Without the right to, flows end in silence.
    pub fn open() -> Self {
        let sender = FrameSender::open().map_err(|error| {
            format!(
                "cannot notify the peers of closed flows or announce addresses: grant the daemon \
                 CAP_NET_RAW ({})",
                Chain(&error)
            )
        });
        Self { sender }
    }

    /// The socket, if the daemon may send.
    pub fn sender(&self) -> Option<&FrameSender> {
        self.sender.as_ref().ok()
    }

    /// What does not work.
    pub fn problem(&self) -> Option<String> {
        self.sender.as_ref().err().cloned()
    }

    /// Makes both peers of each closed flow ask about it: the datapath answers with a reset. Of
    /// flows that are only said to be closed, one peer is asked.
    pub fn notify_peers(&self, ends: &[End]) {
        let Ok(sender) = &self.sender else { return };
        let mut failed = None;
        let questions = |end: &End| {
            if end.is_doubted() {
                challenge_acks::for_doubt(end)
            } else {
                challenge_acks::for_end(end)
            }
        };
        for question in ends.iter().flat_map(questions) {
            if let Err(error) = sender.send(question.ifindex, &question.frame) {
                failed = Some((question.ifindex, error));
            }
        }
        if let Some((ifindex, error)) = failed {
            warn!("could not notify some peers of closed flows on interface {ifindex}: {error}");
        }
    }
}
