//! The journal on a disk that fails at any of its operations, and a daemon that dies at any.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{
    disk::{Disk, OpenFile},
    *,
};
use crate::{
    config,
    host::HostFacts,
    model::{DnsName, Name},
    state::targets::Inputs,
    timestamp::Timestamp,
};

/// How often the daemon is killed for each way in which its disk misbehaves.
const KILLS: u32 = 1_000;

/// A file: what the disk holds for certain, and what a crash of the host may lose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    synced: Vec<u8>,
    written: Vec<u8>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Which file has which name, as programs see it, and as the disk holds it for certain.
    names: BTreeMap<PathBuf, u64>,
    synced_names: BTreeMap<PathBuf, u64>,
    files: BTreeMap<u64, Content>,
    /// Operations until the daemon dies.
    life: Option<u32>,
    /// Operations so far, and which of them fails, how.
    operations: u32,
    fault: Option<(u32, i32)>,
    /// Of 100 operations, how many fail.
    faults: u32,
    /// How many bytes the disk has room for.
    room: usize,
    read_only: bool,
    seed: u64,
}

/// A disk in memory that does as it is told. Clones are the same disk.
#[derive(Clone, Debug, Default)]
struct Unreliable(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Open(Unreliable, u64);

impl Inner {
    /// SplitMix64, so that a run can be repeated.
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// One operation: the daemon is dead by then, or the disk fails, or it is done.
    fn operate(&mut self, writes: bool) -> io::Result<()> {
        self.operations += 1;
        if let Some((_, errno)) = self.fault.filter(|(which, _)| *which == self.operations) {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if let Some(life) = &mut self.life {
            *life = life.saturating_sub(1);
            if *life == 0 {
                return Err(io::Error::from_raw_os_error(libc::EINTR));
            }
        }
        if writes && self.read_only {
            return Err(io::Error::from_raw_os_error(libc::EROFS));
        }
        if self.random(100) < self.faults.into() {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    fn used(&self) -> usize {
        let named = self.names.values().filter_map(|number| self.files.get(number));
        named.map(|content| content.written.len()).sum()
    }
}

impl Unreliable {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The host loses power: of what was not synced, any part may be there.
    fn crash(&self) {
        let mut inner = self.inner();
        let mut files = std::mem::take(&mut inner.files);
        for content in files.values_mut() {
            let least = content.synced.len().min(content.written.len());
            let more = content.written.len() - least;
            let kept = inner.random(more as u64 + 1);
            content.written.truncate(least + usize::try_from(kept).unwrap());
            content.synced = content.written.clone();
        }
        inner.files = files;
        if inner.random(2) == 0 {
            inner.names = inner.synced_names.clone();
        }
        let names = inner.names.clone();
        inner.files.retain(|number, _| names.values().any(|named| named == number));
        inner.synced_names = names;
    }
}

impl Disk for Unreliable {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut inner = self.inner();
        inner.operate(false)?;
        let number = inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(inner.files[number].written.clone())
    }

    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        // One that exists can be "created" on a disk that is read-only.
        self.inner().operate(false)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut inner = self.inner();
        inner.operate(true)?;
        let number = inner.files.keys().next_back().map_or(1, |last| last + 1);
        inner.files.insert(number, Content::default());
        inner.names.insert(path.to_owned(), number);
        Ok(Box::new(Open(self.clone(), number)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate(true)?;
        let number = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate(true)?;
        inner.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate(false)?;
        inner.synced_names = inner.names.clone();
        Ok(())
    }
}

impl OpenFile for Open {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.0.inner();
        let done = inner.operate(true);
        // A write that fails may have written a part.
        let room = inner.room.saturating_sub(inner.used()).min(bytes.len());
        let part = match &done {
            Ok(()) => room,
            Err(_) => usize::try_from(inner.random(room as u64 + 1)).unwrap(),
        };
        inner.files.entry(self.1).or_default().written.extend(&bytes[..part]);
        done?;
        if part < bytes.len() { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.0.inner();
        inner.operate(true)?;
        let content = inner.files.entry(self.1).or_default();
        content.synced = content.written.clone();
        Ok(())
    }
}

/// A decision that can be told from all others.
fn decision(number: u64) -> Change {
    let service: Name = "web".parse().unwrap();
    let name: DnsName = "name.example".parse().unwrap();
    let [.., a, b, c] = number.to_be_bytes();
    Change::Resolved((service, name), Some(vec![[10, a, b, c].into()]))
}

/// The number of the decision that a state holds.
fn decided(state: &State) -> u64 {
    let Some([std::net::IpAddr::V4(address)]) =
        state.inputs.resolved.values().next().map(Vec::as_slice)
    else {
        return 0;
    };
    u64::from(address.to_bits() & 0xff_ffff)
}

/// The state under a configuration, with indices, addresses and connections.
fn configured() -> State {
    let text = include_str!("../desired/tests.toml");
    let model = config::from_text("test.toml", text).unwrap().model;
    let mut state = State::default();
    state
        .follow(&model, &HostFacts::default(), &Inputs::default(), Timestamp::from_millis(1_000))
        .unwrap();
    state
}

/// Opens the journal as soon as that is possible.
fn started(disk: &Unreliable, open: impl Fn(&Unreliable) -> Result<Journal, Error>) -> Journal {
    loop {
        match open(disk) {
            Ok(journal) => return journal,
            Err(Error::Read { .. }) => disk.inner().life = None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Kills the daemon again and again while the disk misbehaves, and looks what it finds afterwards.
fn survive(seed: u64, misbehave: impl Fn(&mut Inner)) -> (u32, u32) {
    let disk = Unreliable::default();
    let directory = Path::new("/state");
    let open = |disk: &Unreliable| {
        Journal::open_on(Box::new(disk.clone()), directory).map(|it| it.compacting_from(3_000))
    };
    (disk.inner().room, disk.inner().seed) = (usize::MAX, seed);
    let mut journal = open(&disk).unwrap();
    journal.commit(State::default().changes_to(&configured())).unwrap();
    let (mut number, mut acknowledged) = (0, 0);
    let (mut kept, mut refused) = (0, 0);
    for kill in 0..KILLS {
        {
            let mut inner = disk.inner();
            inner.life = None;
            misbehave(&mut inner);
            inner.life = Some(u32::try_from(inner.random(40)).unwrap() + 2);
        }
        // It starts whatever the disk does: what cannot be read now is read later.
        let mut journal = started(&disk, open);
        let found = decided(journal.state());
        assert!((acknowledged..=number).contains(&found), "kill {kill}: {found} {acknowledged}");
        assert_eq!(journal.state().ids, configured().ids, "kill {kill}");
        // As at the start: nothing has changed. What was found is certain once it is written anew.
        if journal.commit(Vec::new()).is_ok() {
            acknowledged = found;
        }
        for _ in 0..20 {
            if disk.inner().life == Some(0) {
                break;
            }
            number += 1;
            match journal.commit(vec![decision(number)]) {
                Ok(()) => (acknowledged, kept) = (number, kept + 1),
                Err(Error::Write { .. }) => {
                    refused += 1;
                    assert!(journal.is_behind());
                    assert!(
                        decided(journal.state()) < number,
                        "a refused decision has not happened"
                    );
                }
                Err(error) => panic!("kill {kill}: {error}"),
            }
            let held = decided(journal.state());
            assert_eq!(held, acknowledged.max(found), "kill {kill}");
        }
        if disk.inner().random(2) == 0 {
            disk.crash();
        }
    }
    // With a sound disk, all is well again.
    {
        let mut inner = disk.inner();
        (inner.life, inner.faults, inner.room, inner.read_only) = (None, 0, usize::MAX, false);
    }
    let mut journal = open(&disk).unwrap();
    journal.commit(vec![decision(number + 1)]).unwrap();
    assert_eq!(decided(open(&disk).unwrap().state()), number + 1);
    (kept, refused)
}

/// Makes decisions until some are kept in a file that was rewritten; the disk may fail, or the daemon
/// die. Returns the last decision that was made, and the last that was acknowledged.
fn decide_on(disk: &Unreliable) -> (u64, u64) {
    let open = |disk: &Unreliable| {
        Journal::open_on(Box::new(disk.clone()), Path::new("/state"))
            .map(|journal| journal.compacting_from(3_000))
    };
    let (mut number, mut acknowledged) = (0, 0);
    for _ in 0..2 {
        let mut journal = match open(disk) {
            Ok(journal) => journal,
            // The daemon tries again.
            Err(Error::Read { .. }) if disk.inner().life != Some(0) => open(disk).unwrap(),
            Err(Error::Read { .. }) => return (number, acknowledged),
            Err(error) => panic!("{error}"),
        };
        // As at each start. What is refused here is made up for by the next commit.
        let fresh = journal.state().ids.is_empty();
        let changes = if fresh { State::default().changes_to(&configured()) } else { Vec::new() };
        let _ = journal.commit(changes);
        for _ in 0..20 {
            number += 1;
            match journal.commit(vec![decision(number)]) {
                Ok(()) => acknowledged = number,
                Err(Error::Write { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    (number, acknowledged)
}

#[test]
fn each_operation_can_fail_or_be_the_last_and_no_decision_is_lost() {
    let sound = Unreliable::default();
    sound.inner().room = usize::MAX;
    assert_eq!(decide_on(&sound), (40, 40));
    let all = sound.inner().operations;
    assert!(all > 80, "{all}");
    let faults = [libc::EIO, libc::ENOSPC, libc::EROFS, libc::EDQUOT, libc::ENOMEM];
    let runs = (1..=all).flat_map(|which| {
        faults.map(|errno| (which, Some(errno))).into_iter().chain([(which, None)])
    });
    for (which, errno) in runs {
        let disk = Unreliable::default();
        {
            let mut inner = disk.inner();
            (inner.room, inner.seed) = (usize::MAX, which.into());
            inner.fault = errno.map(|errno| (which, errno));
            inner.life = if errno.is_none() { Some(which) } else { None };
        }
        let (number, acknowledged) = decide_on(&disk);
        // One fault costs one decision at most, and dying the rest.
        assert!(errno.is_none() || number == 40, "{which} {errno:?}");
        disk.crash();
        (disk.inner().fault, disk.inner().life) = (None, None);
        let journal = Journal::open_on(Box::new(disk.clone()), Path::new("/state")).unwrap();
        let found = decided(journal.state());
        assert!((acknowledged..=number).contains(&found), "{which} {errno:?}: {found}");
    }
}

#[test]
fn a_disk_that_fails_at_any_operation_loses_no_decision() {
    let (kept, refused) = survive(1, |inner| inner.faults = 10);
    println!("failing: {kept} decisions kept, {refused} refused, none lost");
    assert!(kept > 1_000 && refused > 1_000);
}

#[test]
fn a_full_disk_loses_no_decision() {
    let (kept, refused) = survive(2, |inner| {
        // Full most of the time, with a little room now and then.
        let more = inner.random(4) * 2_000;
        inner.room = inner.used() + usize::try_from(more).unwrap();
    });
    println!("full: {kept} decisions kept, {refused} refused, none lost");
    assert!(kept > 1_000 && refused > 1_000);
}

#[test]
fn a_read_only_disk_loses_no_decision() {
    let (kept, refused) = survive(3, |inner| inner.read_only = inner.random(2) == 0);
    println!("read-only: {kept} decisions kept, {refused} refused, none lost");
    assert!(kept > 1_000 && refused > 1_000);
}
