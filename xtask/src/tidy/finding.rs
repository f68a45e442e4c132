//! A breach of a house rule, and how it is printed.

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    pub file: String,
    pub line: Option<usize>,
    pub message: String,
    pub severity: Severity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Error,
}

impl Finding {
    pub fn error(file: &str, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into(), severity: Severity::Error }
    }

    pub fn warning(file: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { file: file.to_owned(), line: None, message, severity: Severity::Warning }
    }

    pub fn print(&self) {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
        println!("{severity}: {}{line}: {}", self.file, self.message);
    }
}
