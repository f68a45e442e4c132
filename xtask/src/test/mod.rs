//! `cargo xtask test`: every suite that this process is privileged enough to run.

mod kernel;
mod outcome;
pub mod privilege;
pub mod suites;
mod upgrade;

use std::fmt;

use anyhow::{Result, bail, ensure};

use self::outcome::Outcome;
use self::privilege::Privilege;
use self::suites::{SUITES, Suite};
use crate::machine;
use crate::setup;
use crate::step::Step;
use crate::workspace;

/// The word that selects the packages on a machine of their own, which no other run includes.
const MACHINE: &str = "machine";

/// The suite that needs an optimised daemon, and the variable that names the daemon's binary.
const CUT: &str = "cut";
const BINARY: &str = "PRIVATELINK_BIN";

/// Which tests to run.
#[derive(clap::Args, Default)]
pub struct Selection {
    /// Run the suites of the BPF object inside this kernel, in a virtual machine
    #[arg(long, value_name = "VERSION", value_parser = machine::KERNELS)]
    kernel: Option<String>,
    /// The name of a suite, or part of the names of the tests to run; `machine` tries the packages
    /// on an emulated machine, `upgrade` builds the previous release and changes between it and
    /// this one, `hour` forwards for an hour without a daemon, `cut` ends a million flows at once
    filter: Option<String>,
}

impl Selection {
    /// A whole suite.
    pub fn of(suite: &str) -> Self {
        Self { kernel: None, filter: Some(suite.to_owned()) }
    }
}

/// What all suites together did.
#[derive(Default)]
pub struct Summary {
    outcome: Outcome,
    /// Suites that could not be run or ended without a verdict.
    broken: Vec<String>,
    /// Suites left out, with the reason.
    left_out: Vec<String>,
}

/// Runs the selected tests and prints the summary.
///
/// # Errors
/// When a test failed, a suite broke, or nothing ran.
pub fn run(selection: &Selection) -> Result<()> {
    if selection.filter.as_deref() == Some(MACHINE) {
        return machine::run(selection.kernel.as_deref());
    }
    let summary = summarise(selection)?;
    println!("{summary}");
    summary.verdict()
}

/// Runs the selected tests.
///
/// # Errors
/// When the machine cannot be set up, or the suites' table does not fit the manifest.
pub fn summarise(selection: &Selection) -> Result<Summary> {
    setup::run()?;
    suites::check_table()?;
    if let Some(version) = &selection.kernel {
        ensure!(version == kernel::VERSION, "only `machine` runs in kernel {version}");
        return kernel::run(selection.filter.as_deref());
    }
    let mut summary = Summary::default();
    let filter = selection.filter.as_deref();
    if filter == Some(upgrade::SUITE) {
        upgrade::build()?;
    }
    let one_suite = SUITES.iter().find(|suite| Some(suite.name) == filter);
    // A name of a suite stands for all of its tests.
    let filter = if one_suite.is_some() { None } else { filter };
    if one_suite.is_none() {
        let others = ["--workspace", "--exclude", suites::PACKAGE];
        summary.add("workspace", cargo_test(&others), filter)?;
        summary.add("lib", cargo_test(&["--package", suites::PACKAGE, "--lib"]), filter)?;
    }
    // Ending a million flows by a daemon that is not optimised takes many minutes.
    build_daemon(one_suite.is_some_and(|suite| suite.name == CUT))?;
    for suite in SUITES {
        if one_suite.is_some_and(|one| one.name != suite.name) {
            continue;
        }
        if suite.privilege == Privilege::Hour && one_suite.is_none() {
            let name = suite.name;
            summary.left_out.push(format!("suite {name}: `cargo xtask test {name}`"));
            continue;
        }
        summary.add_suite(suite, filter)?;
    }
    Ok(summary)
}

/// The suites in namespaces start the daemon as a program of its own.
fn build_daemon(optimised: bool) -> Result<()> {
    let step = Step::cargo("build").args(["--package", "privatelink-user"]);
    if optimised { step.arg("--release").run() } else { step.run() }
}

fn cargo_test(selection: &[&str]) -> Step {
    Step::cargo("test").args(selection)
}

impl Summary {
    /// Runs one suite, or says why it is left out.
    fn add_suite(&mut self, suite: &Suite, filter: Option<&str>) -> Result<()> {
        let step = || {
            let step = cargo_test(&["--package", suites::PACKAGE, "--test", suite.name]);
            if suite.name == upgrade::SUITE {
                step.env(upgrade::VARIABLE, upgrade::binary())
            } else if suite.name == CUT {
                step.env(BINARY, workspace::target_dir().join("release/privatelink"))
            } else {
                step
            }
        };
        let Err(lack) = suite.privilege.check() else {
            return self.add(suite.name, step(), filter);
        };
        let listing = step().args(["--", "--list"]).args(filter).output()?;
        let count = listing.lines().filter(|line| line.ends_with(": test")).count();
        self.outcome.skipped += count;
        self.left_out.push(format!("suite {} ({count} tests): {lack}", suite.name));
        Ok(())
    }

    fn add(&mut self, name: &str, step: Step, filter: Option<&str>) -> Result<()> {
        let mut outcome = Outcome::default();
        let step = if let Some(filter) = filter { step.args(["--", filter]) } else { step };
        let succeeded = step.run_watched(|line| outcome.read(line))?;
        if !succeeded && outcome.failed == 0 {
            self.broken.push(format!("suite {name} ended without naming a failed test"));
        }
        if succeeded && filter.is_none() && outcome.executed() == 0 {
            self.broken.push(format!("suite {name} ran no test"));
        }
        self.outcome += outcome;
        Ok(())
    }

    /// # Errors
    /// When a test failed, a suite broke, or nothing ran.
    pub fn verdict(&self) -> Result<()> {
        if !self.broken.is_empty() {
            bail!("{}", self.broken.join("; "));
        }
        ensure!(self.outcome.failed == 0, "{} tests failed", self.outcome.failed);
        ensure!(self.outcome.executed() > 0, "no test ran");
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for suite in &self.left_out {
            writeln!(f, "skipped {suite}")?;
        }
        for suite in &self.broken {
            writeln!(f, "broken: {suite}")?;
        }
        let Outcome { passed, failed, skipped } = self.outcome;
        // A suite that broke is a failure even where no single test could be named.
        let failed = failed + self.broken.len();
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Where the test programs of `cargo test --no-run` for these suites lie.
fn test_programs(names: &[&str]) -> Result<Vec<(String, std::path::PathBuf)>> {
    let mut step = cargo_test(&["--package", suites::PACKAGE, "--no-run"])
        .arg("--message-format=json-render-diagnostics");
    for name in names {
        step = step.args(["--test", name]);
    }
    let programs = step.output()?.lines().filter_map(outcome::test_program).collect::<Vec<_>>();
    ensure!(
        programs.len() == names.len(),
        "cargo built {} test programs of {} in {}",
        programs.len(),
        names.len(),
        workspace::target_dir().display()
    );
    Ok(programs)
}
