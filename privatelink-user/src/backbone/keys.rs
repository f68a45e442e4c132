//! The private keys of this site: made on the first start, kept where only the daemon reads them.

use std::{
    fmt, fs,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom as _, SystemRandom};
use x25519_dalek::StaticSecret;

use super::Error;
use crate::model::PublicKey;

/// The file, in the state directory.
const FILE: &str = "backbone.keys";

/// A private key. It has no `Display`, and `Debug` shows its public key.
#[derive(Clone)]
pub(super) struct PrivateKey(StaticSecret);

impl PrivateKey {
    fn make() -> io::Result<Self> {
        let mut bytes = [0; PublicKey::LENGTH];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        // WireGuard clamps keys when they are made, and `wg` prints them so.
        bytes[0] &= 248;
        bytes[31] = bytes[31] & 127 | 64;
        Ok(Self(StaticSecret::from(bytes)))
    }

    /// The key that other sites know.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; PublicKey::LENGTH] {
        self.0.as_bytes()
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let bytes: [u8; PublicKey::LENGTH] = bytes.try_into().ok()?;
        Some(Self(StaticSecret::from(bytes)))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {}", self.public())
    }
}

/// The key in use, and the one that comes after it.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    present: PrivateKey,
    next: Option<PrivateKey>,
}

impl Keys {
    /// Reads the keys, or makes the first one.
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let path = state_dir.join(FILE);
        let failed = |source| Error::Keys { path: path.display().to_string(), source };
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mut keys = text.lines().map(PrivateKey::parse);
                let damaged = || io::Error::other("the file is damaged: restore it from a backup");
                let present = keys.next().flatten().ok_or_else(damaged).map_err(failed)?;
                let next = match keys.next() {
                    Some(next) => Some(next.ok_or_else(damaged).map_err(failed)?),
                    None => None,
                };
                Ok(Self { path, present, next })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let present = PrivateKey::make().map_err(failed)?;
                let keys = Self { path: path.clone(), present, next: None };
                keys.write().map_err(failed)?;
                Ok(keys)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The key in use.
    pub fn present(&self) -> &PrivateKey {
        &self.present
    }

    /// The key that other sites are to list before it is used.
    pub fn next(&self) -> Option<PublicKey> {
        self.next.as_ref().map(PrivateKey::public)
    }

    /// Makes the next key, if there is none yet, and returns it.
    pub fn prepare(&mut self) -> Result<PublicKey, Error> {
        if let Some(next) = self.next() {
            return Ok(next);
        }
        let made = PrivateKey::make().map_err(|source| self.failed(source))?;
        let public = made.public();
        self.replace(self.present.clone(), Some(made))?;
        Ok(public)
    }

    /// Uses the next key from now on; there must be one.
    pub fn advance(&mut self) -> Result<(), Error> {
        match self.next.clone() {
            Some(next) => self.replace(next, None),
            None => Ok(()),
        }
    }

    /// Keeps other keys, or the ones before if the disk refuses.
    fn replace(&mut self, present: PrivateKey, next: Option<PrivateKey>) -> Result<(), Error> {
        let before = (self.present.clone(), self.next.clone());
        (self.present, self.next) = (present, next);
        self.write().map_err(|source| {
            (self.present, self.next) = before;
            self.failed(source)
        })
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Keys { path: self.path.display().to_string(), source }
    }

    /// Writes a whole new file in place of the old one: a crash leaves either.
    fn write(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)?;
        let temporary = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        for key in [Some(&self.present), self.next.as_ref()].into_iter().flatten() {
            writeln!(file, "{}", STANDARD.encode(key.bytes()))?;
        }
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_public_key_is_the_one_that_wg_computes() {
        let key = PrivateKey::parse("AAIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eH2A=").unwrap();
        let public = "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=";
        assert_eq!(key.public().to_string(), public);
    }

    #[test]
    fn keys_are_kept_for_their_owner_alone() {
        let directory = tempfile::TempDir::new().unwrap();
        let mut keys = Keys::open(directory.path()).unwrap();
        let file = directory.path().join(FILE);
        let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        let first = keys.present().public();
        let next = keys.prepare().unwrap();
        assert_eq!(keys.prepare().unwrap(), next, "there is one next key");
        let again = Keys::open(directory.path()).unwrap();
        assert_eq!((again.present().public(), again.next()), (first, Some(next)));
        keys.advance().unwrap();
        let again = Keys::open(directory.path()).unwrap();
        assert_eq!((again.present().public(), again.next()), (next, None));
        assert_eq!(mode(), 0o600);
        assert!(!format!("{again:?}").contains(&STANDARD.encode(again.present().bytes())));
    }

    #[test]
    fn a_damaged_file_is_never_replaced() {
        let directory = tempfile::TempDir::new().unwrap();
        for text in ["", "no key\n", "AAAA\n"] {
            fs::write(directory.path().join(FILE), text).unwrap();
            assert!(Keys::open(directory.path()).is_err(), "{text:?}");
            assert_eq!(fs::read_to_string(directory.path().join(FILE)).unwrap(), text);
        }
    }

    #[test]
    fn a_key_that_cannot_be_kept_is_not_used() {
        let directory = tempfile::TempDir::new().unwrap();
        let mut keys = Keys::open(directory.path()).unwrap();
        let first = keys.present().public();
        // A directory in the way of the new file.
        fs::create_dir(directory.path().join("backbone.new")).unwrap();
        keys.prepare().unwrap_err();
        assert_eq!((keys.present().public(), keys.next()), (first, None));
    }
}
