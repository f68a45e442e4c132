//! How a command ends.

use std::process::{ExitCode, Termination};

use super::client;

/// How a command ended. Scripts rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// It could not do it.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// It needs the daemon, which is not running.
    NotRunning = 3,
}

impl Exit {
    /// How a command ended that failed with this error.
    pub fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref() {
            Some(client::Error::NotRunning { .. } | client::Error::Unreachable { .. }) => {
                Self::NotRunning
            }
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}
