//! What was found.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something does not work, or loses what it must keep.
    Error,
    /// It works, but slowly, or not for long, or not safely.
    Warning,
}

/// Something that is wrong with the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of what was looked at, for programs.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, for people.
    pub detail: String,
    /// The command that mends it, or what else to do.
    pub remedy: String,
}

impl Severity {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Finding {
    /// Something does not work.
    pub fn error(
        check: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, severity: Severity::Error, detail: detail.into(), remedy: remedy.into() }
    }

    /// Something could be better.
    pub fn warning(
        check: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(check, detail, remedy) }
    }
}
