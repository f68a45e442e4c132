//! The directory where programs and maps are pinned.

use std::path::Path;

use super::{Finding, HostView};
use crate::{datapath::bpf::is_own_pin, model::Model};

/// Looks at the directory of the pins.
pub fn examine(host: &HostView, model: &Model) -> Vec<Finding> {
    let pin_dir = &model.gateway().pin_dir;
    let shown = pin_dir.display();
    let mut found = Vec::new();
    match host.mount_of(pin_dir) {
        Some(mount) if mount.kind == "bpf" && mount.is_read_only => found.push(Finding::error(
            "bpffs-read-only",
            format!("{shown} is on a BPF file system that is read-only"),
            format!("run `mount -o remount,rw {}`", mount.at.display()),
        )),
        Some(mount) if mount.kind == "bpf" => {}
        Some(_) | None => {
            let at =
                if pin_dir.starts_with("/sys/fs/bpf") { Path::new("/sys/fs/bpf") } else { pin_dir };
            found.push(Finding::error(
                "bpffs",
                format!("{shown} is not on a BPF file system: nothing can be pinned there"),
                format!("run `mount -t bpf bpf {}`", at.display()),
            ));
        }
    }
    let foreign: Vec<String> =
        host.list(pin_dir).into_iter().filter(|name| !is_own_pin(name)).collect();
    if !foreign.is_empty() {
        found.push(Finding::error(
            "pins-foreign",
            format!("{shown} holds what is not privatelink's: {}", foreign.join(", ")),
            "move it away, or set `pin_dir` to a directory of its own",
        ));
    }
    found
}
