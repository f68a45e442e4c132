//! The token with which a scrape sees the series of tenants.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use axum::http::{HeaderMap, header::AUTHORIZATION};

use crate::model::Secret;

/// What a token has at least, so that nobody finds it by trying.
const SHORTEST: usize = 16;
/// What a file with a token has at most.
const LARGEST: u64 = 4_096;

/// The token of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Secret);

/// Why a file has no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read `metrics_token_file` {}: {source}; scrapes see totals only", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Every user of the host can read it.
    #[error(
        "`metrics_token_file` {} is readable by all users: `chmod o-r` it; until then scrapes see \
         totals only",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// What it holds is no token.
    #[error(
        "`metrics_token_file` {} must hold one line of {SHORTEST} or more printable characters; \
         until then scrapes see totals only",
        path.display()
    )]
    Unfit {
        /// The file.
        path: PathBuf,
    },
}

/// What a request is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It brings no token.
    None,
    /// It brings the token.
    Holder,
    /// It brings another one.
    Wrong,
}

impl Token {
    /// Reads the token of a file.
    ///
    /// # Errors
    /// When the file cannot be read, everybody can read it, or it holds no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Read { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.permissions().mode() & 0o004 != 0 {
            return Err(TokenError::Open { path: path.to_owned() });
        }
        let unfit = || TokenError::Unfit { path: path.to_owned() };
        if metadata.len() > LARGEST {
            return Err(unfit());
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let token = text.trim_end();
        let fits = token.len() >= SHORTEST && token.chars().all(|one| one.is_ascii_graphic());
        if fits { Ok(Self(Secret::new(token))) } else { Err(unfit()) }
    }
}

impl Claim {
    /// What the headers of a request claim, where `token` is the one that counts.
    pub fn of(headers: &HeaderMap, token: Option<&Token>) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else { return Self::None };
        let brought = value.to_str().ok().and_then(|value| value.split_once(' '));
        let brought = brought.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match (brought, token) {
            (Some((_, brought)), Some(token)) if token.0.is(brought.trim()) => Self::Holder,
            _ => Self::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_that_all_can_read_or_that_holds_no_token_is_refused() {
        let token = "0123456789abcdef";
        let (_folder, path) = file(&format!("{token}\n"), 0o640);
        Token::read(&path).unwrap();
        for (text, mode, part) in [
            (token, 0o644, "readable by all"),
            ("", 0o600, "must hold"),
            ("short", 0o600, "must hold"),
            ("0123456789 abcdef", 0o600, "must hold"),
            ("0123456789abcdef\n0123456789abcdef\n", 0o600, "must hold"),
        ] {
            let (_folder, path) = file(text, mode);
            let error = Token::read(&path).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("0123"), "{error}");
        }
        let error = Token::read(Path::new("/nonexistent/token")).unwrap_err().to_string();
        assert!(error.contains("cannot read"), "{error}");
    }

    #[test]
    fn only_the_token_itself_is_admitted() {
        let (_folder, path) = file("0123456789abcdef", 0o600);
        let token = Token::read(&path).unwrap();
        let claim = |value: Option<&str>, token: Option<&Token>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(AUTHORIZATION, value.parse().unwrap());
            }
            Claim::of(&headers, token)
        };
        let right = Some("Bearer 0123456789abcdef");
        assert_eq!(claim(right, Some(&token)), Claim::Holder);
        assert_eq!(claim(Some("bearer 0123456789abcdef"), Some(&token)), Claim::Holder);
        assert_eq!(claim(right, None), Claim::Wrong);
        assert_eq!(claim(None, Some(&token)), Claim::None);
        for wrong in ["Bearer", "Bearer x", "Basic 0123456789abcdef", "0123456789abcdef", ""] {
            assert_eq!(claim(Some(wrong), Some(&token)), Claim::Wrong, "{wrong}");
        }
    }
}
