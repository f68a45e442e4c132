//! What the daemon changes about the host's interfaces, and how they were before.
//!
//! The record is on disk before the first change, so that whoever ends the forwarding can undo all
//! of them, with or without the daemon that made them. Another boot has other interfaces.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::net::if_::if_indextoname;
use serde::{Deserialize, Serialize};

use super::{facts::Link, settings::Setting};

/// The file in the state directory.
const FILE: &str = "footprint.json";

/// By what the kernel listens to neighbours that it should not obey, and what it is set to.
///
/// The network's hosts are strangers: a router advertisement of theirs would change the host's
/// routes and addresses, and a redirect would do so for one address.
const LISTENS: [(Setting, &str); 8] = [
    (Setting::v6("accept_ra"), "0"),
    (Setting::v6("autoconf"), "0"),
    (Setting::v6("router_solicitations"), "0"),
    (Setting::v6("accept_redirects"), "0"),
    (Setting::v4("accept_redirects"), "0"),
    (Setting::v4("secure_redirects"), "0"),
    (Setting::v4("send_redirects"), "0"),
    (Setting::v4("accept_source_route"), "0"),
];

/// Which senders the kernel takes packets from.
const FILTER: Setting = Setting::v4("rp_filter");
/// All that it has any route to.
const LOOSE: &str = "2";

/// What was changed about interfaces.
#[derive(Debug)]
pub struct Footprint {
    path: PathBuf,
    record: Record,
}

/// How everything was before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The boot that the interfaces are of.
    boot: String,
    /// The interfaces, by index.
    pub interfaces: BTreeMap<u32, Before>,
}

/// How an interface was before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// Its name then.
    name: String,
    /// Values of settings.
    settings: BTreeMap<String, String>,
    /// Whether it did not accept every multicast frame.
    #[serde(default)]
    pub filtered: bool,
}

impl Footprint {
    /// Reads the record in a state directory; without one, nothing was changed.
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let boot = boot();
        let record = read(&path).filter(|record| record.boot == boot);
        Self { path, record: record.unwrap_or(Record { boot, ..Record::default() }) }
    }

    /// Notes that an interface is about to accept every multicast frame. Returns what does not work.
    pub fn note_filter(&mut self, link: &Link) -> Option<String> {
        if link.allmulti {
            return None;
        }
        let error = self.note(link, &[], true).err()?;
        Some(format!("cannot note in {} how {} was: {error}", self.path.display(), link.name))
    }

    /// Notes that neighbours are about to be added to an interface: all of them are removed with the
    /// record. Returns what does not work.
    pub fn note_neighbours(&mut self, link: &Link) -> Option<String> {
        let error = self.note(link, &[], false).err()?;
        Some(format!("cannot note in {} how {} was: {error}", self.path.display(), link.name))
    }

    /// The interfaces about which something was changed.
    pub fn interfaces(&self) -> BTreeSet<u32> {
        self.record.interfaces.keys().copied().collect()
    }

    /// Keeps the kernel from listening to the neighbours on an interface. Returns what does not
    /// work.
    pub fn quieten(&mut self, link: &Link) -> Vec<String> {
        let noisy: Vec<_> = LISTENS
            .iter()
            .filter_map(|(setting, wanted)| {
                let value = setting.read(&link.name)?;
                (value != *wanted).then_some((setting, *wanted, value))
            })
            .collect();
        if noisy.is_empty() {
            return Vec::new();
        }
        if let Err(error) = self.note(link, &noisy, false) {
            return vec![format!(
                "the kernel listens to the neighbours on {}: cannot note in {} how it was set: \
                 {error}",
                link.name,
                self.path.display()
            )];
        }
        let refused = noisy.iter().filter_map(|(setting, wanted, _)| {
            let error = setting.write(&link.name, wanted).err()?;
            let name = setting.name(&link.name);
            Some(format!(
                "the kernel listens to the neighbours on {}: cannot set {name} to {wanted}: \
                 {error}; set it by `sysctl -w {name}={wanted}`",
                link.name
            ))
        });
        refused.collect()
    }

    /// Makes a strict filter of senders loose: it judges by the host's routes, of which only one can
    /// be the best, and so drops answers where networks have the same addresses. Where the datapath
    /// judges instead, it has nothing left to do; elsewhere it gets its value back. Returns what does
    /// not work.
    pub fn loosen(&mut self, link: &Link, is_judged: bool) -> Option<String> {
        let noted = self
            .record
            .interfaces
            .get(&link.index)
            .and_then(|before| before.settings.get(&FILTER.short()).cloned());
        let result = match (is_judged, noted) {
            (true, _) => {
                // The kernel takes the larger value of that and the interface's own.
                let strict = FILTER.number("all").max(FILTER.number(&link.name)) == Some(1);
                let value = FILTER.read(&link.name).filter(|_| strict)?;
                self.note(link, &[(&FILTER, LOOSE, value)], false)
                    .and_then(|()| FILTER.write(&link.name, LOOSE))
            }
            (false, Some(value)) => {
                let mut record = self.record.clone();
                let before = record.interfaces.entry(link.index).or_default();
                before.settings.remove(&FILTER.short());
                FILTER
                    .write(&link.name, &value)
                    .and_then(|()| save(&self.path, &record))
                    .map(|()| self.record = record)
            }
            (false, None) => return None,
        };
        let error = result.err()?;
        let name = FILTER.name(&link.name);
        Some(format!("cannot change {name}, which may drop answers to health checks: {error}"))
    }

    /// Notes how an interface was, unless that is noted already.
    fn note(
        &mut self,
        link: &Link,
        noisy: &[(&Setting, &str, String)],
        unfilters: bool,
    ) -> io::Result<()> {
        let mut record = self.record.clone();
        let before = record.interfaces.entry(link.index).or_default();
        before.name.clone_from(&link.name);
        before.filtered |= unfilters;
        for (setting, _, value) in noisy {
            before.settings.entry(setting.short()).or_insert_with(|| value.clone());
        }
        if record != self.record {
            save(&self.path, &record)?;
            self.record = record;
        }
        Ok(())
    }

    /// Gives interfaces their settings back that `is_kept` does not speak for. Returns what does
    /// not work.
    pub fn release(&mut self, is_kept: impl Fn(u32) -> bool) -> Vec<String> {
        let mut record = self.record.clone();
        let mut problems = Vec::new();
        record.interfaces.retain(|index, before| {
            if !is_kept(*index) {
                problems.extend(before.restore(*index));
            }
            is_kept(*index)
        });
        if record != self.record {
            if let Err(error) = save(&self.path, &record) {
                problems.push(format!("cannot write {}: {error}", self.path.display()));
            }
            self.record = record;
        }
        problems
    }

    /// The record, without which nothing can be undone any more.
    pub(super) fn take(self) -> Record {
        // One that cannot be removed is of another boot soon, and harmless until then.
        let _ = fs::remove_file(&self.path);
        self.record
    }
}

impl Before {
    /// Gives an interface its settings back, by whatever name it has now. Returns what does not
    /// work.
    pub(super) fn restore(&self, index: u32) -> Vec<String> {
        let Some(name) = name_of(index) else { return Vec::new() };
        let settings = LISTENS.iter().map(|(setting, _)| setting).chain([&FILTER]);
        let back = settings.filter_map(|setting| {
            let value = self.settings.get(&setting.short())?;
            let error = setting.write(&name, value).err()?;
            Some(format!("cannot set {} back to {value}: {error}", setting.name(&name)))
        });
        back.collect()
    }
}

/// The name of an interface, if it is still there.
fn name_of(index: u32) -> Option<String> {
    let name = if_indextoname(index).ok()?.to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces the file, which is whole at any moment.
fn save(path: &Path, record: &Record) -> io::Result<()> {
    let temporary = path.with_extension("json.new");
    let mut options = OpenOptions::new();
    let mut file: File =
        options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str) -> Link {
        Link {
            index: 4_000_000,
            name: name.into(),
            mac: None,
            mtu: 1500,
            up: true,
            allmulti: false,
            tag: None,
        }
    }

    #[test]
    fn what_was_first_is_what_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut footprint = Footprint::open(directory.path());
        let setting = Setting::v6("accept_ra");
        for value in ["1", "2"] {
            footprint.note(&link("eth1"), &[(&setting, "0", value.into())], true).unwrap();
        }
        let before = Before {
            name: "eth1".into(),
            settings: [("ipv6.accept_ra".to_owned(), "1".to_owned())].into(),
            filtered: true,
        };
        let again = Footprint::open(directory.path());
        assert_eq!(again.record.interfaces, [(4_000_000, before)].into());
        // An interface that is gone has nothing to get back.
        let mut again = again;
        assert!(again.release(|_| false).is_empty());
        assert_eq!(Footprint::open(directory.path()).record.interfaces, BTreeMap::new());
    }

    #[test]
    fn another_boot_has_other_interfaces() {
        let directory = tempfile::tempdir().unwrap();
        let mut record = Record { boot: "another".into(), ..Record::default() };
        record.interfaces.insert(2, Before::default());
        save(&directory.path().join(FILE), &record).unwrap();
        assert_eq!(Footprint::open(directory.path()).record.interfaces, BTreeMap::new());
    }

    #[test]
    fn an_interface_without_settings_is_no_problem() {
        let directory = tempfile::tempdir().unwrap();
        let mut footprint = Footprint::open(directory.path());
        assert!(footprint.quieten(&link("no-such-interface")).is_empty());
        assert!(!directory.path().join(FILE).exists());
    }
}
