//! What the machine reports on its console, and how a person reads it.

use std::fmt;

/// How each line of the machine's own begins.
const MARK: &str = "privatelink-machine: ";

/// What happened with one kernel.
#[derive(Debug)]
pub struct Report {
    kernel: String,
    checks: Vec<Check>,
    ended: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Check {
    name: String,
    seconds: u32,
    /// Why it failed, if it did.
    fault: Option<String>,
    /// What it found, such as figures of traffic.
    notes: Vec<String>,
}

impl Report {
    /// An empty report for a kernel.
    pub fn of(kernel: &str) -> Self {
        Self { kernel: kernel.to_owned(), checks: Vec::new(), ended: false }
    }

    /// Reads a line of the console.
    pub fn read(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(note) = line.strip_prefix("    traffic: ") {
            if let Some(check) = self.checks.last_mut() {
                check.notes.push(note.to_owned());
            }
            return;
        }
        // The kernel may have written into the line before it.
        let Some((_, said)) = line.split_once(MARK) else { return };
        self.ended |= said == "ended";
        self.checks.extend(check(said));
    }

    /// How many checks passed.
    pub fn passed(&self) -> usize {
        self.checks.iter().filter(|check| check.fault.is_none()).count()
    }

    /// How many failed; a machine that did not get to the end counts as one.
    pub fn failed(&self) -> usize {
        self.checks.len() - self.passed() + usize::from(!self.ended)
    }
}

fn check(said: &str) -> Option<Check> {
    let mut words = said.splitn(4, ' ');
    let (verdict, name, seconds) = (words.next()?, words.next()?, words.next()?);
    let fault = match verdict {
        "passed" => None,
        "failed" => Some(words.next().unwrap_or("without a reason").to_owned()),
        _ => return None,
    };
    let notes = Vec::new();
    Some(Check { name: name.to_owned(), seconds: seconds.parse().ok()?, fault, notes })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Debian 12 with kernel {}", self.kernel)?;
        for Check { name, seconds, fault, notes } in &self.checks {
            let verdict = if fault.is_some() { "FAILED" } else { "passed" };
            writeln!(f, "  {verdict} {:<45} {seconds:>4} s", name.replace('_', " "))?;
            for note in fault.iter().chain(notes) {
                writeln!(f, "         {note}")?;
            }
        }
        if !self.ended {
            writeln!(f, "  FAILED the machine did not get to the end")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_console_become_a_report() {
        let mut report = Report::of("6.1");
        for line in [
            "[    1.0] Linux version 6.1",
            "privatelink-machine: boot first with kernel 6.1.0",
            "privatelink-machine: passed starts 12\r",
            "    traffic: {\"rounds\": 20}",
            "privatelink-machine: failed stops 3 traffic was lost",
        ] {
            report.read(line);
        }
        assert_eq!((report.passed(), report.failed()), (1, 2), "the end is missing too");
        report.read("privatelink-machine: ended");
        assert_eq!((report.passed(), report.failed()), (1, 1));
        let text = report.to_string();
        assert!(text.contains("FAILED stops") && text.contains("traffic was lost"), "{text}");
        assert!(text.contains("{\"rounds\": 20}"), "{text}");
    }
}
