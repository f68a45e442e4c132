//! Where decisions are kept, and the flow log is written.

use std::path::Path;

use super::{Finding, HostView};
use crate::model::{Destination, Model};

/// The least room that the state needs: its journal is written anew beside the old one.
const LEAST_BYTES: u64 = 64 << 20;
const LEAST_FILES: u64 = 100;

/// Looks at the directories that the daemon writes to.
pub fn examine(host: &HostView, model: &Model) -> Vec<Finding> {
    let gateway = model.gateway();
    let mut found = directory(host, &gateway.state_dir, "decisions and addresses");
    let mount = host.mount_of(&gateway.state_dir);
    if let Some(mount) = mount.filter(|mount| ["tmpfs", "ramfs"].contains(&mount.kind.as_str())) {
        found.push(Finding::error(
            "state-volatile",
            format!(
                "{} is in memory ({} at {}): a reboot forgets all decisions",
                gateway.state_dir.display(),
                mount.kind,
                mount.at.display()
            ),
            "set `state_dir` to a directory on a disk",
        ));
    }
    if let Some(mode) = host.mode(&gateway.state_dir).filter(|mode| mode & 0o022 != 0) {
        let path = gateway.state_dir.display();
        found.push(Finding::error(
            "state-writable",
            format!("{path} can be written by others than its owner (mode {mode:o})"),
            format!("run `chmod 750 {path}`"),
        ));
    }
    let log = gateway.flow_log.as_ref().map(|log| &log.to);
    if let Some(Destination::File(file)) = log {
        let folder = file.parent().unwrap_or(Path::new("/"));
        if !host.exists(folder) {
            found.push(Finding::error(
                "flow-log-missing",
                format!("the flow log's directory {} does not exist", folder.display()),
                format!("run `mkdir -p {}`", folder.display()),
            ));
        }
        found.extend(directory(host, folder, "the flow log"));
    }
    found
}

/// Whether a file system takes more.
fn directory(host: &HostView, path: &Path, what: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let shown = path.display();
    if let Some(mount) = host.mount_of(path).filter(|mount| mount.is_read_only) {
        let at = mount.at.display();
        found.push(Finding::error(
            "disk-read-only",
            format!("{shown}, for {what}, is on a file system that is read-only ({at})"),
            format!("run `dmesg`, mend the disk, then `mount -o remount,rw {at}`"),
        ));
    }
    let Some(room) = host.room_at(path) else { return found };
    if room.free < LEAST_BYTES {
        found.push(Finding::error(
            "disk-full",
            format!("{} MiB are left for {what} at {shown}", room.free >> 20),
            format!("make room: `du -xh {} | sort -h | tail`", host.nearest(path).display()),
        ));
    }
    if room.files < LEAST_FILES {
        found.push(Finding::error(
            "disk-files",
            format!("the file system of {shown}, for {what}, takes {} more files", room.files),
            "remove files that are not needed: `df -i` shows how many there are",
        ));
    }
    found
}
