//! The program on interfaces.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::PoisonError,
};

use super::{
    error::Error,
    fdinfo::Hook,
    loaded::{Datapath, HeldLink},
    mode::Mode,
    netlink,
    pins::PinnedLink,
    sys,
};

/// An interface with our program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Index of the interface.
    pub ifindex: u32,
    /// Where the program runs.
    pub mode: Mode,
}

impl Datapath {
    /// Attaches the program to an interface of the calling thread's network namespace, in the
    /// first of these modes that the interface and the kernel support. Where an earlier daemon's
    /// program is attached, this one takes its place between two packets; one in another mode is
    /// detached after that.
    ///
    /// Fill the maps first: packets are forwarded from here on.
    ///
    /// # Errors
    /// When another program is attached, or no mode is supported; the message says what to do.
    pub fn attach(&self, ifindex: u32, name: &str, modes: &[Mode]) -> Result<Attached, Error> {
        self.remove_dead_links()?;
        let mut refusal = None;
        for mode in modes {
            match self.attach_in(ifindex, name, *mode, modes) {
                Ok(mode) => {
                    self.leave_others(ifindex, mode)?;
                    return Ok(Attached { ifindex, mode });
                }
                // What is said of the first mode helps more than what is said of a substitute.
                Err(error) if error.is_unsupported() => {
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal
            .unwrap_or_else(|| refused(name, io::Error::from_raw_os_error(libc::EOPNOTSUPP))))
    }

    /// Attaches the program in one mode, or puts it in the place of an earlier daemon's, if that
    /// runs in one of `modes`.
    fn attach_in(
        &self,
        ifindex: u32,
        name: &str,
        mode: Mode,
        modes: &[Mode],
    ) -> Result<Mode, Error> {
        let hook = Hook::of(mode);
        let pinned = self.pinned_links()?;
        let mut ours = pinned.iter().filter(|link| link.ifindex == ifindex && link.hook == hook);
        if let Some(link) = ours.next() {
            let found = self.mode_at(hook, ifindex)?;
            if modes.contains(&found) {
                let program = self.program_at(hook);
                sys::update_link(link.link.as_fd(), program)
                    .map_err(|error| refused(name, error))?;
                self.retire_stages()?;
                return Ok(found);
            }
            // An interface has one XDP program, in one mode.
            link.remove()?;
        }
        let link = sys::create_link(self.program_at(hook), ifindex, mode);
        let link = link.map_err(|error| refused_at(ifindex, name, mode, error))?;
        self.keep_link(ifindex, mode, link)?;
        Ok(mode)
    }

    /// Detaches the program from an interface where it runs in another mode.
    fn leave_others(&self, ifindex: u32, mode: Mode) -> Result<(), Error> {
        let others = |hook| hook != Hook::of(mode);
        let mut held = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|link| link.ifindex != ifindex || !others(Hook::of(link.mode)));
        drop(held);
        let pinned = self.pinned_links()?;
        let mut others =
            pinned.iter().filter(|link| link.ifindex == ifindex && others(link.hook)).peekable();
        if others.peek().is_none() {
            return Ok(());
        }
        others.try_for_each(PinnedLink::remove)?;
        self.retire_stages()
    }

    /// Detaches the program from an interface at once. Does nothing if it is not attached.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn detach(&self, ifindex: u32) -> Result<(), Error> {
        self.remove_dead_links()?;
        let mut held = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|link| link.ifindex != ifindex);
        drop(held);
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
        let mut all: Vec<_> = held.iter().map(|link| (link.ifindex, Hook::of(link.mode))).collect();
        drop(held);
        all.extend(self.pinned_links()?.iter().map(|link| (link.ifindex, link.hook)));
        all.sort_unstable();
        // An interface may be removed between the two requests; it is not attached then.
        let one = |(ifindex, hook)| {
            self.mode_at(hook, ifindex).ok().map(|mode| Attached { ifindex, mode })
        };
        Ok(all.into_iter().filter(|(ifindex, _)| *ifindex != 0).filter_map(one).collect())
    }

    fn remove_dead_links(&self) -> Result<(), Error> {
        self.pins.as_ref().map_or(Ok(()), |held| held.pins.remove_dead_links())
    }

    /// Unpins the later stages of earlier programs that no interface runs any more.
    fn retire_stages(&self) -> Result<(), Error> {
        self.pins.as_ref().map_or(Ok(()), |held| held.pins.retire_stages(&self.program_ids))
    }

    fn pinned_links(&self) -> Result<Vec<PinnedLink>, Error> {
        self.pins.as_ref().map_or_else(|| Ok(Vec::new()), |held| held.pins.links())
    }

    fn keep_link(&self, ifindex: u32, mode: Mode, link: OwnedFd) -> Result<(), Error> {
        let Some(held) = &self.pins else {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.push(HeldLink { ifindex, mode, _link: link });
            return Ok(());
        };
        let path = held.pins.link_path(ifindex, Hook::of(mode));
        sys::pin(link.as_fd(), &path).map_err(Error::path("pin", &path))
    }

    /// The program for a hook.
    fn program_at(&self, hook: Hook) -> BorrowedFd<'_> {
        match hook {
            Hook::Xdp => self.program.as_fd(),
            Hook::Tc => self.tc_program.as_fd(),
        }
    }

    fn mode_at(&self, hook: Hook, ifindex: u32) -> Result<Mode, Error> {
        if hook == Hook::Tc {
            return Ok(Mode::Tc);
        }
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
fn refused_at(ifindex: u32, name: &str, mode: Mode, error: io::Error) -> Error {
    let code = error.raw_os_error();
    if mode == Mode::Tc {
        return match code {
            // The kernel answers so, too, if it does not know this kind of attachment.
            Some(libc::EINVAL) => Error::NoTc { interface: name.to_owned() },
            _ => refused(name, error),
        };
    }
    let occupant = netlink::occupant(ifindex);
    match (code, occupant) {
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
