//! `privatelink test`.

use std::{io::Write, net::IpAddr};

use anyhow::Result;
use clap::Args;

use super::table::Table;
use crate::{
    cli::{client, exit::Exit, globals::Globals, print::print},
    interface::{
        path,
        types::{EndpointTest, TestQuery, TestStep},
    },
};

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The endpoint
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,

    /// The client to try, an address of the consumer's network; without one, any that the rules
    /// allow
    #[arg(long, value_name = "IP")]
    pub from: Option<IpAddr>,

    /// The listener's port to try; without one, the first port of each listener
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
}

impl TestArgs {
    /// Tests, prints the steps, and fails if one of them does.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<Exit> {
        let path = path::of(path::ENDPOINT_TEST, &client::name(&self.endpoint)?);
        let query = TestQuery { from: self.from, port: self.port };
        let path = client::with_query(&path, &query)?;
        let test: EndpointTest = client::post(&globals.daemon(), &path)?;
        print(out, globals.json, &test, text)?;
        Ok(if test.passed { Exit::Done } else { Exit::Failed })
    }
}

fn text(test: &EndpointTest) -> String {
    let mut table = Table::new(&["STEP", "OUTCOME", "FOUND"], &[]);
    for step in &test.steps {
        table.row([step.step.clone(), step.outcome.clone(), step.detail.clone()]);
    }
    let mut text = table.render(0);
    let drops = test.drops.iter().flatten();
    let drops: Vec<String> = drops.map(|(reason, count)| format!("{reason} {count}")).collect();
    if !drops.is_empty() {
        text += &format!("\nRefused since the maps were made: {}\n", drops.join(", "));
    }
    let doubtful = test.steps.iter().filter(|step| step.outcome == "doubtful");
    for step in doubtful {
        text += &format!("\nDoubtful: {}\n", advice(step));
    }
    text += &match &test.fault {
        None => format!("\nEndpoint {} passes.\n", test.endpoint),
        Some(fault) => {
            format!(
                "\nEndpoint {} does not pass: step {}: {}\n",
                test.endpoint,
                fault.step,
                advice(fault)
            )
        }
    };
    text
}

/// What was found, and who does what about it.
fn advice(step: &TestStep) -> String {
    match (&step.owner, &step.remedy) {
        (Some(owner), Some(remedy)) => {
            format!("{}.\nThe {owner} can mend it: {remedy}.", step.detail)
        }
        _ => format!("{}.", step.detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: &str, outcome: &str, remedy: Option<&str>) -> TestStep {
        TestStep {
            step: step.into(),
            side: "consumer".into(),
            outcome: outcome.into(),
            detail: "the service is not offered on tcp port 81".into(),
            owner: remedy.map(|_| "consumer".into()),
            remedy: remedy.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn the_fault_stands_last_with_its_owner_and_remedy() {
        let fault = step("listener", "failed", Some("use tcp port 80"));
        let mut test = EndpointTest {
            endpoint: "acme-web".into(),
            service: "web".into(),
            passed: false,
            fault: Some(fault.clone()),
            steps: vec![step("attachment", "passed", None), fault],
            walks: Vec::new(),
            drops: Some([("no_listener".to_owned(), 3)].into()),
            milliseconds: 12,
        };
        let said = text(&test);
        assert!(said.contains("Refused since the maps were made: no_listener 3\n"), "{said}");
        let end = "step listener: the service is not offered on tcp port 81.\nThe consumer can mend \
                   it: use tcp port 80.\n";
        assert!(said.ends_with(end), "{said}");
        (test.passed, test.fault) = (true, None);
        assert!(text(&test).ends_with("\nEndpoint acme-web passes.\n"));
    }
}
