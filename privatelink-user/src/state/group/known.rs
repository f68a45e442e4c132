//! Which keys of the group there are, and when each was last written.

use std::collections::BTreeMap;

use crate::etcd::{Guard, Revision};

/// What this gateway knows of the group's keys.
#[derive(Debug, Default)]
pub(super) struct Known {
    written: BTreeMap<String, Revision>,
    /// What was removed here, until the watch has come that far: it may still report an older
    /// value.
    removed: BTreeMap<String, Revision>,
}

impl Known {
    /// What a change of this key expects.
    pub fn guard(&self, key: &str) -> Guard {
        match self.written.get(key) {
            Some(revision) => Guard::Unchanged(key.to_owned(), *revision),
            None => Guard::Absent(key.to_owned()),
        }
    }

    /// When a key was last written; 0 if there is none.
    pub fn revision(&self, key: &str) -> Revision {
        self.written.get(key).copied().unwrap_or_default()
    }

    /// Whether there is this key.
    pub fn has(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// This gateway has written or removed a key.
    pub fn wrote(&mut self, key: &str, is_there: bool, revision: Revision) {
        if is_there {
            self.written.insert(key.to_owned(), revision);
            self.removed.remove(key);
        } else {
            self.written.remove(key);
            self.removed.insert(key.to_owned(), revision);
        }
    }

    /// The watch reports a change; `false` if it is known already.
    pub fn learn(&mut self, key: &str, is_there: bool, revision: Revision) -> bool {
        let known = self.revision(key).max(self.removed.get(key).copied().unwrap_or_default());
        if known >= revision {
            return false;
        }
        if is_there {
            self.written.insert(key.to_owned(), revision);
        } else {
            self.written.remove(key);
        }
        true
    }

    /// The watch has come to this revision.
    pub fn reached(&mut self, revision: Revision) {
        self.removed.retain(|_, removed| *removed > revision);
    }

    /// There are these keys and no others.
    pub fn replace<'a>(&mut self, keys: impl Iterator<Item = (&'a str, Revision)>) {
        self.written = keys.map(|(key, revision)| (key.to_owned(), revision)).collect();
        self.removed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_here_is_no_news_however_late_the_watch_is() {
        let mut known = Known::default();
        assert_eq!(known.guard("a"), Guard::Absent("a".into()));
        known.wrote("a", true, 5);
        known.wrote("a", false, 7);
        assert!(!known.learn("a", true, 5) && !known.has("a"));
        assert!(!known.learn("a", false, 7));
        known.reached(7);
        assert!(known.learn("a", true, 8));
        assert_eq!(known.guard("a"), Guard::Unchanged("a".into(), 8));
        assert!(known.learn("a", false, 9) && !known.has("a"));
    }
}
