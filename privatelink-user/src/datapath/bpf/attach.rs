//! The program on interfaces.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::PoisonError,
};

use super::{error::Error, loaded::Datapath, mode::Mode, netlink, pins::PinnedLink, sys};

/// An interface with our program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Index of the interface.
    pub ifindex: u32,
    /// Where the program runs.
    pub mode: Mode,
}

impl Datapath {
    /// Attaches the program to an interface of the calling thread's network namespace; in the
    /// driver, or else in the network stack. Where an earlier daemon's program is attached, this
    /// one takes its place between two packets.
    ///
    /// Fill the maps first: packets are forwarded from here on.
    ///
    /// # Errors
    /// When another program is attached, or the interface does not support XDP; the message says
    /// what to do.
    pub fn attach(&self, ifindex: u32, name: &str) -> Result<Attached, Error> {
        self.remove_dead_links()?;
        let replaced = self.pinned_links()?.into_iter().find(|link| link.ifindex == ifindex);
        let program = self.program_fd();
        if let Some(link) = replaced {
            sys::update_link(link.link.as_fd(), program).map_err(|error| refused(name, error))?;
            self.retire_stages()?;
            return self.mode_of(ifindex).map(|mode| Attached { ifindex, mode });
        }
        let (link, mode) = match sys::create_link(program, ifindex, Mode::Native) {
            Ok(link) => (link, Mode::Native),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                let link = sys::create_link(program, ifindex, Mode::Generic);
                (link.map_err(|error| refused_at(ifindex, name, error))?, Mode::Generic)
            }
            Err(error) => return Err(refused_at(ifindex, name, error)),
        };
        self.keep_link(ifindex, link)?;
        Ok(Attached { ifindex, mode })
    }

    /// Detaches the program from an interface at once. Does nothing if it is not attached.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn detach(&self, ifindex: u32) -> Result<(), Error> {
        self.remove_dead_links()?;
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(&ifindex);
        let pinned = self.pinned_links()?;
        pinned.iter().filter(|link| link.ifindex == ifindex).try_for_each(PinnedLink::remove)?;
        self.retire_stages()
    }

    /// The interfaces that have our program, also those to which an earlier daemon attached it.
    ///
    /// # Errors
    /// When the pins cannot be read, or the kernel does not answer.
    pub fn attached(&self) -> Result<Vec<Attached>, Error> {
        self.remove_dead_links()?;
        let held = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let mut indices: Vec<u32> = held.keys().copied().collect();
        drop(held);
        indices.extend(self.pinned_links()?.iter().map(|link| link.ifindex));
        indices.sort_unstable();
        // An interface may be removed between the two requests; it is not attached then.
        let mode = |ifindex| self.mode_of(ifindex).ok().map(|mode| Attached { ifindex, mode });
        Ok(indices.into_iter().filter(|ifindex| *ifindex != 0).filter_map(mode).collect())
    }

    fn remove_dead_links(&self) -> Result<(), Error> {
        self.pins.as_ref().map_or(Ok(()), |held| held.pins.remove_dead_links())
    }

    /// Unpins the later stages of earlier programs that no interface runs any more.
    fn retire_stages(&self) -> Result<(), Error> {
        self.pins.as_ref().map_or(Ok(()), |held| held.pins.retire_stages(Some(self.program_id)))
    }

    fn pinned_links(&self) -> Result<Vec<PinnedLink>, Error> {
        self.pins.as_ref().map_or_else(|| Ok(Vec::new()), |held| held.pins.links())
    }

    fn keep_link(&self, ifindex: u32, link: OwnedFd) -> Result<(), Error> {
        let Some(held) = &self.pins else {
            self.links.lock().unwrap_or_else(PoisonError::into_inner).insert(ifindex, link);
            return Ok(());
        };
        let path = held.pins.link_path(ifindex);
        sys::pin(link.as_fd(), &path).map_err(Error::path("pin", &path))
    }

    fn mode_of(&self, ifindex: u32) -> Result<Mode, Error> {
        let occupant =
            netlink::occupant(ifindex).map_err(|source| Error::Netlink { ifindex, source })?;
        let missing = || Error::Netlink {
            ifindex,
            source: io::Error::other("it has no XDP program, though the program is attached"),
        };
        occupant.mode.ok_or_else(missing)
    }
}

/// Finds out what is in the way: the error number alone does not name it.
fn refused_at(ifindex: u32, name: &str, error: io::Error) -> Error {
    let occupant = netlink::occupant(ifindex);
    match (error.raw_os_error(), occupant) {
        (Some(libc::EBUSY | libc::EEXIST), occupant) => {
            let program = occupant.ok().and_then(|occupant| occupant.program);
            Error::Occupied { interface: name.to_owned(), program }
        }
        // The kernel answers "invalid argument" for an interface that does not exist.
        (Some(libc::EINVAL), Err(absent)) => refused(name, absent),
        _ => refused(name, error),
    }
}

fn refused(name: &str, source: io::Error) -> Error {
    Error::Attach { interface: name.to_owned(), source }
}
