//! `cargo xtask conformance`: other people's judges on the datapath, names, the API, metrics, the
//! flow log and what is packaged; and the page that lists the verdicts.

use anyhow::{Result, bail};

use crate::setup::{flow_reader, openapi_validator, packages, schemathesis};
use crate::test::{self, Selection};
use crate::{docs, setup};

/// The suites that are judges.
const SUITES: [&str; 6] =
    ["oracle", "flow_reader", "packaging", "prometheus", "api", "conformance"];

/// # Errors
/// When a judge cannot be had, or finds something wrong.
pub fn run() -> Result<()> {
    setup::run()?;
    packages::install_missing(&[packages::JUDGES, packages::ORACLE, packages::PROMETHEUS])?;
    openapi_validator::install()?;
    schemathesis::install()?;
    flow_reader::install()?;
    let mut failed = Vec::new();
    for suite in SUITES {
        println!("== {suite}");
        if let Err(error) = test::run(&Selection::of(suite)) {
            println!("== {suite} failed: {error:#}");
            failed.push(suite);
        }
    }
    if !failed.is_empty() {
        bail!("these judges are not content: {}", failed.join(", "));
    }
    docs::run(true)
}
