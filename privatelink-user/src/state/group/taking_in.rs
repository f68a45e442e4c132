//! How a gateway takes in what others have changed, and tells them what they have missed.

use log::{info, warn};

use super::{
    fellows::Fellows,
    layout::{Layout, Place},
    link::{News, Order},
    merge,
    store::{GroupStore, TakenIn},
};
use crate::{
    etcd::{Batch, Entry, Event, Revision, Snapshot},
    state::{addresses::Addresses, change::Change, error::Error, kept::State, store::Store as _},
};

impl GroupStore {
    /// Takes in what others have changed.
    ///
    /// # Errors
    /// When the disk refuses to keep it.
    pub fn take_in(&mut self) -> Result<TakenIn, Error> {
        self.collect();
        let mut taken = TakenIn::default();
        let before = (self.down.is_some(), self.differs());
        for news in std::mem::take(&mut self.waiting) {
            match news {
                News::Snapshot(snapshot) => {
                    (self.down, self.is_outdated) = (None, false);
                    self.take_whole(&snapshot, &mut taken)?;
                }
                News::Changes(batch) => self.take_changes(batch, &mut taken)?,
                News::Up => self.down = None,
                News::Down(why) => self.down = Some(why),
            }
        }
        if self.down.is_none() {
            self.push();
        }
        taken.standing = before != (self.down.is_some(), self.differs());
        if taken.objects {
            self.is_followed = false;
        }
        if taken.fellows {
            self.shown.send_replace(self.fellows.all());
        }
        Ok(taken)
    }

    fn take_whole(&mut self, snapshot: &Snapshot, taken: &mut TakenIn) -> Result<(), Error> {
        let entries = &snapshot.entries;
        self.known.replace(entries.iter().map(|entry| (entry.key.as_str(), entry.revision)));
        self.fellows = Fellows::default();
        taken.fellows = true;
        for entry in entries {
            self.note_fellow(&entry.key, Some(&entry.value));
        }
        let is_new = !self.known.has(&self.layout.key(&Place::Structure));
        let state = self.journal.state();
        if is_new {
            // The first gateway of a group brings what it has.
            let own = State { ids: state.ids.own_part(), ..State::default() };
            let changes: Vec<Change> = own.changes_to(state);
            // None of its addresses is in the store yet.
            let (chunks, _) = self.divided(changes, &Addresses::default())?;
            if !chunks.is_empty() {
                info!(
                    "the group `{}` begins with the state of this gateway",
                    self.membership.group
                );
                if let Err(error) = self.send(chunks) {
                    warn!("the group is read again: {error}");
                    self.is_outdated = true;
                    self.order(Order::Resync);
                }
            }
            return Ok(());
        }
        let next = merge::whole(&self.layout, entries, state);
        let changes = state.changes_to(&next);
        self.revision = self.revision.max(last_of(entries, &self.layout));
        self.adopt(changes, taken)
    }

    fn take_changes(&mut self, batch: Batch, taken: &mut TakenIn) -> Result<(), Error> {
        let Batch { revision, mut events } = batch;
        events.retain(|event| {
            let (key, is_there, at) = match event {
                Event::Put(entry) => (&entry.key, true, entry.revision),
                Event::Deleted { key, revision } => (key, false, *revision),
            };
            self.known.learn(key, is_there, at)
        });
        self.known.reached(revision);
        for event in &events {
            let (key, value, at) = match event {
                Event::Put(entry) => (&entry.key, Some(&entry.value[..]), entry.revision),
                Event::Deleted { key, revision } => (key, None, *revision),
            };
            let is_fellow = self.note_fellow(key, value);
            taken.fellows |= is_fellow;
            if !is_fellow {
                self.revision = self.revision.max(at);
            }
        }
        let changes = merge::changes(&self.layout, &events, self.journal.state());
        self.adopt(changes, taken)
    }

    /// Keeps what others have changed.
    fn adopt(&mut self, changes: Vec<Change>, taken: &mut TakenIn) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        taken.state = true;
        taken.objects |= changes.iter().any(|change| matches!(change, Change::Object(..)));
        taken.keys |= changes.iter().any(|change| matches!(change, Change::Key(..)));
        for (name, connection) in merge::connections_of(&changes, self.journal.state()) {
            taken.before.entry(name).or_insert(connection);
        }
        let about = changes.clone();
        self.keep(changes);
        taken.after.extend(merge::connections_of(&about, self.journal.state()));
        let state = self.journal.state();
        taken.after.retain(|name, _| state.connections.contains_key(name));
        Ok(())
    }

    fn note_fellow(&mut self, key: &str, value: Option<&[u8]>) -> bool {
        match self.layout.place(key) {
            Some(Place::Hello(gateway)) => self.fellows.hello(gateway, value),
            Some(Place::Applied(gateway)) => self.fellows.applied(gateway, value),
            _ => return false,
        }
        true
    }

    /// Tells the group what was rejected while it was away.
    fn push(&mut self) {
        for name in self.journal.state().unpushed.clone() {
            let connection = self.journal.state().connections.get(&name).cloned();
            let mut changes = vec![Change::Unpushed(name.clone(), false)];
            let key = self.layout.key(&Place::Connection(name.clone()));
            if let Some(connection) = connection.filter(|_| self.known.has(&key)) {
                changes.push(Change::Connection(name.clone(), Some(Box::new(connection))));
            }
            match self.commit(changes) {
                Ok(()) => info!("the group has learned that `{name}` was rejected here"),
                // It is tried again with the next news.
                Err(error) => warn!("cannot tell the group that `{name}` was rejected: {error}"),
            }
        }
    }
}

/// The last change of the state among these keys.
fn last_of(entries: &[Entry], layout: &Layout) -> Revision {
    let is_state = |entry: &&Entry| {
        !matches!(layout.place(&entry.key), Some(Place::Hello(_) | Place::Applied(_)))
    };
    entries.iter().filter(is_state).map(|entry| entry.revision).max().unwrap_or_default()
}
