//! What the fuzzers do with the bytes that they think of: `cargo xtask fuzz` starts them.
//!
//! The inputs of `corpus/` have names and are played by `cargo test` as well.

pub mod judge;
pub mod script;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context as _, Error, Result, ensure};
use privatelink_tests::fixtures::{Gateway as _, Host, MAX_FLOWS};
use privatelink_user::config;

use crate::script::{Event, INTERFACES, Trace, perform, traces};

/// Plays a [`script`] on the packet function, and judges each frame that comes out.
///
/// # Errors
/// What was wrong with a frame.
pub fn packets(script: &[u8]) -> Result<()> {
    static TRACES: OnceLock<Result<Vec<Trace>, String>> = OnceLock::new();
    let recorded = TRACES.get_or_init(|| traces(&INTERFACES).map_err(|fault| format!("{fault:?}")));
    let traces = recorded.as_ref().map_err(Error::msg)?;
    let mut host = Host::new(MAX_FLOWS);
    let mut act = |event: &Event| match event {
        Event::Load(tables) => host.load(tables),
        Event::Frame(port, frame) => {
            let outcome = host.frame(INTERFACES.index(*port), frame)?;
            judge::judge(frame, &outcome)
        }
    };
    match perform(script, traces, |event| match act(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Reads a text as a configuration, and shows what is wrong with it.
///
/// # Errors
/// When it is refused without a word.
pub fn configuration(text: &[u8]) -> Result<()> {
    let Ok(text) = std::str::from_utf8(text) else { return Ok(()) };
    if let Err(diagnostics) = config::from_text("gateway.toml", text) {
        ensure!(diagnostics.count() > 0, "refused for no reason");
        ensure!(diagnostics.to_json().len() == diagnostics.count(), "some faults are lost");
        for color in [false, true] {
            ensure!(!diagnostics.render(color).is_empty(), "nothing is said");
        }
    }
    Ok(())
}

/// Gives `target` the content of each file named on the command line.
///
/// # Errors
/// The first file that is not as it should be.
pub fn replay(target: fn(&[u8]) -> Result<()>) -> Result<()> {
    std::env::args_os().skip(1).try_for_each(|path| {
        let path = Path::new(&path);
        let input = std::fs::read(path).map_err(Error::from);
        input.and_then(|input| target(&input)).with_context(|| path.display().to_string())
    })
}
