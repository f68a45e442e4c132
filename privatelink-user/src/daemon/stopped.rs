//! The end of forwarding, as callers are shown it.

use std::path::Path;

use crate::{datapath::bpf::Removed, interface::types::Stopped};

/// What the end of forwarding has removed, as callers are shown it.
pub(super) fn stopped(pin_dir: &Path, removed: Removed) -> Stopped {
    let Removed { interfaces, flows } = removed;
    Stopped { pin_dir: pin_dir.display().to_string(), interfaces, flows }
}
