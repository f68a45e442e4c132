//! What the terminal can show: how wide it is, and whether it takes colours.

use std::{
    env,
    io::{self, IsTerminal},
};

use terminal_size::{Width, terminal_size};

/// The least width that tables are fitted to: below, wrapped text cannot be read.
const NARROWEST: usize = 40;

/// How many columns tables may have; `None` where standard output is no terminal: what reads it
/// there wants a row on a line.
pub(super) fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let given = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let real = || terminal_size().map(|(Width(columns), _)| columns.into());
    given.or_else(real).map(|columns: usize| columns.max(NARROWEST))
}

/// Whether colours may be written to a stream.
pub(super) fn takes_color(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// How much attention something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attention {
    /// It does not work.
    Broken,
    /// Someone has to do something, or soon it does not work.
    Waiting,
}

impl Attention {
    /// The attention that the word for a state asks for.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "unhealthy" | "unreachable" | "rejected" | "expired" | "not attached"
            | "no interface" | "unresolved" => Some(Self::Broken),
            "pending-acceptance" | "initial" | "draining" | "generic" => Some(Self::Waiting),
            _ => None,
        }
    }

    /// The text in the colour for it.
    pub fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Broken => 31,
            Self::Waiting => 33,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
