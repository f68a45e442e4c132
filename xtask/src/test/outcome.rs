//! What test programs report.

use std::ops::AddAssign;
use std::path::PathBuf;

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that were ignored or left out.
    pub skipped: usize,
}

impl Outcome {
    /// Adds what a line of a test program's output says.
    pub fn read(&mut self, line: &str) {
        let Some(counts) = line.trim().strip_prefix("test result: ") else { return };
        let count = |what: &str| -> usize {
            counts
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
                .unwrap_or(0)
        };
        *self +=
            Self { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
    }

    /// How many tests were really run.
    pub fn executed(&self) -> usize {
        self.passed + self.failed
    }
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Name and path of the test program that a line of cargo's JSON messages announces.
pub fn test_program(message: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let executable = message.get("executable")?.as_str()?;
    let target = message.get("target")?;
    let is_test = target.get("kind")?.as_array()?.iter().any(|kind| kind == "test");
    is_test.then_some((target.get("name")?.as_str()?.to_owned(), executable.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up() {
        let mut outcome = Outcome::default();
        outcome.read("running 3 tests");
        outcome.read("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out");
        outcome.read("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured");
        assert_eq!(outcome, Outcome { passed: 7, failed: 2, skipped: 1 });
        assert_eq!(outcome.executed(), 9);
    }

    #[test]
    fn only_test_programs_are_taken() {
        let test = r#"{"executable":"/x/elf-1","target":{"kind":["test"],"name":"elf"}}"#;
        let library = r#"{"executable":null,"target":{"kind":["lib"],"name":"aya"}}"#;
        let program = r#"{"executable":"/x/demo","target":{"kind":["bin"],"name":"demo"}}"#;
        assert_eq!(test_program(test), Some(("elf".into(), "/x/elf-1".into())));
        assert_eq!(test_program(library), None);
        assert_eq!(test_program(program), None);
        assert_eq!(test_program("Compiling"), None);
    }
}
