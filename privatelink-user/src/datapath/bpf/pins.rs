//! The pin directory: what keeps forwarding while no daemon runs.
//!
//! It holds `SETTINGS`, the maps and the programs by name, and two directories:
//!
//! - `links`: one attachment per interface, by interface index, with `-tc` behind it for one by tc. An index does not change with the
//!   name, and the kernel says which interface a link is on, so a reused index cannot be mistaken
//!   for the interface that was.
//! - `stages`: the map through which a program calls its later stages, by the id of the program.
//!   The kernel empties such a map when its last pin and descriptor go, so each stays until no
//!   interface runs its program any more.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    iter,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use nix::{
    fcntl::{Flock, FlockArg},
    net::if_::if_indextoname,
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use privatelink_common::{FLOW_LAYOUTS_READ, Stage, flow::Region, maps};

use super::{
    batch,
    error::Error,
    fdinfo::{self, Hook, Object, Shape},
    former,
    maps::adoptable,
    mode::Mode,
    settings::{self, Settings},
    sys,
};

/// The directory of the attachments.
const LINKS: &str = "links";
/// How the name of an attachment by tc ends.
const TC: &str = "-tc";
/// The directory of the later stages.
const STAGES: &str = "stages";
/// The flow table that is being replaced, until its flows are in the new one; the version of its
/// layout follows.
const BEFORE: &str = "SLOTS_BEFORE_";
/// The kernel truncates a map's name to this length.
const NAME_LENGTH: usize = 15;

/// The programs, by the names of their pins.
pub(super) fn programs() -> impl Iterator<Item = &'static str> {
    tc_programs()
        .chain(iter::once(maps::PROGRAM))
        .chain(Stage::ALL.iter().map(|stage| stage.program()))
}

/// Those that run in the network stack.
pub(super) fn tc_programs() -> impl Iterator<Item = &'static str> {
    iter::once(maps::TC_PROGRAM).chain(Stage::ALL.iter().map(|stage| stage.tc_program()))
}

/// The version of the layout of a flow table that is being replaced, by the name of its pin.
fn before(name: &str) -> Option<u32> {
    let version = name.strip_prefix(BEFORE)?.parse().ok()?;
    FLOW_LAYOUTS_READ.contains(&version).then_some(version)
}

/// A pin directory.
#[derive(Debug)]
pub(super) struct Pins {
    root: PathBuf,
}

/// What a pin directory holds.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The maps of privatelink.
    pub maps: BTreeMap<&'static str, Shape>,
    /// What the flow table was made with.
    pub settings: Option<Settings>,
    /// The version of the layout of the table that is being replaced, if there is one.
    pub before: Option<u32>,
    /// Objects of other programs, and what they are.
    pub foreign: Vec<(PathBuf, &'static str)>,
}

/// A pinned attachment.
pub(super) struct PinnedLink {
    /// Index of the interface, 0 once it is gone.
    pub ifindex: u32,
    /// Where the program is attached.
    pub hook: Hook,
    /// Id of the program.
    pub program: u32,
    /// The attachment.
    pub link: OwnedFd,
    /// Where it is pinned.
    pub path: PathBuf,
}

/// What was detached and ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The interfaces that the program was taken off.
    pub interfaces: Vec<String>,
    /// The flows that ended; `None` if the table was of another release.
    pub flows: Option<u64>,
}

/// The interfaces that are attached by what is pinned in a directory, by name.
///
/// # Errors
/// When the directory cannot be read.
pub fn pinned_interfaces(pin_dir: &Path) -> Result<Vec<String>, Error> {
    let indices = list(&pin_dir.join(LINKS))?;
    let mut names: Vec<String> = indices
        .iter()
        .filter_map(|path| {
            let name = if_indextoname(number_of(path)?).ok()?;
            name.into_string().ok()
        })
        .collect();
    names.sort();
    Ok(names)
}

/// Whether an entry of a directory of pins is one of privatelink's, by its name.
pub fn is_own_pin(name: &str) -> bool {
    let fixed = [settings::NAME, LINKS, STAGES];
    fixed.contains(&name)
        || maps::ALL.contains(&name)
        || programs().any(|program| program == name)
        || name.starts_with(BEFORE)
}

/// Whether a directory holds what keeps forwarding.
pub fn is_pinned(pin_dir: &Path) -> bool {
    pin_dir.join(settings::NAME).exists() || pin_dir.join(LINKS).exists()
}

impl Pins {
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Creates the directory, and locks it until the result is dropped.
    pub(super) fn prepare(&self) -> Result<Flock<fs::File>, Error> {
        let mut ancestors = self.root.ancestors();
        let existing = ancestors.find(|path| path.exists()).unwrap_or(Path::new("/"));
        self.check_file_system(existing)?;
        for directory in [self.path(LINKS), self.path(STAGES)] {
            fs::create_dir_all(&directory).map_err(Error::path("create", &directory))?;
        }
        let directory = fs::File::open(&self.root).map_err(Error::path("open", &self.root))?;
        Flock::lock(directory, FlockArg::LockExclusiveNonblock)
            .map_err(|_| Error::InUse { path: self.root.clone() })
    }

    /// Looks at everything in the directory.
    pub(super) fn survey(&self) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        for path in list(&self.root)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if [LINKS, STAGES].contains(&name) && path.is_dir() {
                continue;
            }
            let map = adoptable().find(|map| *map == name);
            match (open(&path)?, map) {
                (Some((_, Object::Program(_))), _) if programs().any(|program| program == name) => {
                }
                (Some((fd, Object::Map(shape))), _) if name == settings::NAME => {
                    survey.settings = if shape == settings::SHAPE {
                        Settings::read(fd)
                    } else {
                        former::settings(fd, &shape)
                    };
                }
                (Some((fd, Object::Map(_))), _)
                    if before(name).is_some() && is_named(&fd, maps::SLOTS) =>
                {
                    survey.before = before(name);
                }
                (Some((fd, Object::Map(shape))), Some(map)) if is_named(&fd, map) => {
                    survey.maps.insert(map, shape);
                }
                (found, _) => survey.foreign.push((path, describe(found))),
            }
        }
        let link = |object| matches!(object, Object::Link { .. });
        self.survey_numbered(LINKS, link, &mut survey)?;
        self.survey_numbered(STAGES, |object| matches!(object, Object::Map(_)), &mut survey)?;
        Ok(survey)
    }

    fn survey_numbered(
        &self,
        directory: &str,
        belongs: impl Fn(Object) -> bool,
        survey: &mut Survey,
    ) -> Result<(), Error> {
        for path in list(&self.path(directory))? {
            let found = open(&path)?;
            let ours = found.as_ref().is_some_and(|(_, object)| belongs(*object));
            if !ours || number_of(&path).is_none() {
                survey.foreign.push((path, describe(found)));
            }
        }
        Ok(())
    }

    /// The attachments, dead ones included.
    pub(super) fn links(&self) -> Result<Vec<PinnedLink>, Error> {
        let mut links = Vec::new();
        for path in list(&self.path(LINKS))? {
            if let Some((link, Object::Link { hook, ifindex, program })) = open(&path)?
                && number_of(&path).is_some()
            {
                links.push(PinnedLink { ifindex, hook, program, link, path });
            }
        }
        Ok(links)
    }

    /// Unpins the attachments to interfaces that are gone.
    pub(super) fn remove_dead_links(&self) -> Result<(), Error> {
        let links = self.links()?;
        links.iter().filter(|link| link.ifindex == 0).try_for_each(PinnedLink::remove)
    }

    /// Unpins the later stages of programs that no interface runs, except those of `current` ones.
    pub(super) fn retire_stages(&self, current: &[u32]) -> Result<(), Error> {
        let links = self.links()?;
        let is_used = |id| current.contains(&id) || links.iter().any(|link| link.program == id);
        for path in list(&self.path(STAGES))? {
            if number_of(&path).is_some_and(|id| !is_used(id)) {
                remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Detaches and unpins everything of privatelink; says what that was.
    pub(super) fn remove_all(&self) -> Result<Removed, Error> {
        if !self.root.exists() {
            return Ok(Removed::default());
        }
        self.check_file_system(&self.root)?;
        let survey = self.survey()?;
        let removed =
            Removed { interfaces: pinned_interfaces(&self.root)?, flows: self.live_flows(&survey) };
        for link in self.links()? {
            link.remove()?;
        }
        self.retire_stages(&[])?;
        let befores = FLOW_LAYOUTS_READ.iter().map(|version| self.before_path(*version));
        let names = adoptable().chain(programs()).chain([settings::NAME]);
        for path in names.map(|name| self.path(name)).chain(befores) {
            if !survey.foreign.iter().any(|(foreign, _)| *foreign == path) {
                remove_file(&path)?;
            }
        }
        if let Some((path, what)) = survey.foreign.into_iter().next() {
            return Err(Error::Foreign { path, what });
        }
        for directory in [self.path(LINKS), self.path(STAGES)] {
            absent_is_fine(fs::remove_dir(&directory))
                .map_err(Error::path("remove", &directory))?;
        }
        match absent_is_fine(fs::remove_dir(&self.root)) {
            // Root has made it for a daemon of another user: it stays, empty.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(removed),
            done => done.map(|()| removed).map_err(Error::path("remove", &self.root)),
        }
    }

    /// How many flows the pinned table holds, if it is of this release.
    fn live_flows(&self, survey: &Survey) -> Option<u64> {
        survey.maps.get(maps::REGIONS)?;
        let map = MapData::from_pin(self.path(maps::REGIONS)).ok()?;
        if usize::try_from(map.info().ok()?.value_size()) != Ok(size_of::<Region>()) {
            return None;
        }
        let mut slots = 0;
        batch::for_each_index(&map, |_, region: Region| slots += u64::from(region.live)).ok()?;
        Some(slots / 2)
    }

    /// Refuses a path that is not on a BPF file system.
    fn check_file_system(&self, existing: &Path) -> Result<(), Error> {
        let kind =
            statfs(existing).map_err(io::Error::from).map_err(Error::path("look at", existing))?;
        if kind.filesystem_type() == BPF_FS_MAGIC {
            Ok(())
        } else {
            Err(Error::NotBpffs { path: self.root.clone() })
        }
    }

    /// Puts `settings` in place of those that are pinned, in one step.
    pub(super) fn replace_settings(
        &self,
        pin: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Of all the places in this directory, every release takes a numbered map there for a stage
        // that is not used any more, and removes it.
        let beside = self.stage_path(0);
        remove_file(&beside)?;
        pin(&beside)?;
        let path = self.path(settings::NAME);
        fs::rename(&beside, &path).map_err(Error::path("replace", &path))
    }

    /// Keeps the table of flows, whose layout has this version, under the name of one that is being
    /// replaced.
    pub(super) fn set_flow_table_aside(&self, version: u32) -> Result<(), Error> {
        let (slots, before) = (self.path(maps::SLOTS), self.before_path(version));
        fs::rename(&slots, &before).map_err(Error::path("rename", &slots))
    }

    /// Where a flow table that is being replaced is pinned.
    pub(super) fn before_path(&self, version: u32) -> PathBuf {
        self.path(&format!("{BEFORE}{version}"))
    }

    /// Leaves only what the release before understands.
    pub(super) fn prepare_downgrade(&self) -> Result<(), Error> {
        let survey = self.survey()?;
        if let Some((path, what)) = survey.foreign.into_iter().next() {
            return Err(Error::Foreign { path, what });
        }
        let is_read = |version| former::FLOW_LAYOUTS_READ.contains(&version);
        let settings = survey
            .settings
            .filter(|settings| is_read(settings.flow_version) && survey.before.is_none());
        let Some(settings) = settings else {
            return Err(Error::NoDowngrade { path: self.root.clone() });
        };
        self.leave_tc()?;
        self.retire_stages(&[])?;
        tc_programs().map(|name| self.path(name)).try_for_each(|path| remove_file(&path))?;
        if settings.version == former::LAYOUT {
            return Ok(());
        }
        self.replace_settings(|path| former::pin_settings(&settings, path))?;
        let flow_table = |map: &&str| former::FLOW_TABLE.contains(map);
        let others = adoptable().filter(|map| !flow_table(map)).chain(programs());
        others.map(|name| self.path(name)).try_for_each(|path| remove_file(&path))
    }

    /// Attaches by XDP where the program is attached by tc, which the release before does not know.
    fn leave_tc(&self) -> Result<(), Error> {
        let links = self.links()?;
        for link in links.iter().filter(|link| link.hook == Hook::Tc && link.ifindex != 0) {
            let ifindex = link.ifindex;
            let path = self.path(maps::PROGRAM);
            let program = sys::open(&path).map_err(Error::path("open", &path))?;
            let attach = |mode| sys::create_link(program.as_fd(), ifindex, mode);
            let attached = attach(Mode::Native).or_else(|_| attach(Mode::Generic));
            let attached = attached.map_err(|source| Error::LeaveTc { ifindex, source })?;
            let path = self.link_path(ifindex, Hook::Xdp);
            sys::pin(attached.as_fd(), &path).map_err(Error::path("pin", &path))?;
            link.remove()?;
        }
        Ok(())
    }

    /// Where an object of this name is pinned.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where the attachment to an interface is pinned.
    pub(super) fn link_path(&self, ifindex: u32, hook: Hook) -> PathBuf {
        let name = match hook {
            Hook::Xdp => ifindex.to_string(),
            Hook::Tc => format!("{ifindex}{TC}"),
        };
        self.path(LINKS).join(name)
    }

    /// Where the map of a program's later stages is pinned.
    pub(super) fn stage_path(&self, program: u32) -> PathBuf {
        self.path(STAGES).join(program.to_string())
    }
}

impl PinnedLink {
    /// Detaches and unpins.
    pub(super) fn remove(&self) -> Result<(), Error> {
        if self.ifindex != 0 {
            let ifindex = self.ifindex;
            // Removing the file alone would detach only once the last descriptor is closed.
            match sys::detach_link(self.link.as_fd()) {
                // The interface was removed in the meantime.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                done => done.map_err(|source| Error::Detach { ifindex, source })?,
            }
        }
        remove_file(&self.path)
    }
}

/// Removes a pin that may be absent.
pub(super) fn remove_file(path: &Path) -> Result<(), Error> {
    absent_is_fine(fs::remove_file(path)).map_err(Error::path("remove", path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::path("read", directory))?,
    };
    entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()
        .map_err(Error::path("read", directory))
}

/// Opens a pin; `None` if it is not a BPF object.
fn open(path: &Path) -> Result<Option<(OwnedFd, Object)>, Error> {
    match sys::open(path) {
        Ok(fd) => {
            let object = fdinfo::read(fd.as_fd()).map_err(Error::path("look at", path))?;
            Ok(Some((fd, object)))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(Error::path("open", path)(error))
        }
        Err(_) => Ok(None),
    }
}

fn is_named(fd: &OwnedFd, name: &str) -> bool {
    let copy = fd.try_clone().ok().and_then(|fd| MapData::from_fd(fd).ok());
    let info = copy.and_then(|map| map.info().ok());
    let kept = name.get(..NAME_LENGTH).unwrap_or(name);
    info.is_some_and(|info| info.name() == kept.as_bytes())
}

fn number_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(TC).unwrap_or(name).parse().ok()
}

fn describe(found: Option<(OwnedFd, Object)>) -> &'static str {
    match found {
        None => "not a pinned BPF object",
        Some((_, Object::Map(_))) => "a map of another name",
        Some((_, Object::Program(_))) => "a program",
        Some((_, Object::Link { .. })) => "an attachment",
        Some((_, Object::Other)) => "some other BPF object",
    }
}
