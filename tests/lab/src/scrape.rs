//! A gateway's metrics, parsed as Prometheus parses them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};

use super::{Namespace, tool};

/// The token for which the tests' daemons show the series of tenants.
pub const TOKEN: &str = "a-token-of-the-tests";

/// The samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The whole answer.
    pub text: String,
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Scrape {
    /// Scrapes this URL from a namespace with [`TOKEN`], and checks the content type of the response.
    ///
    /// # Errors
    /// When there is no response, or one that is not metrics.
    pub fn of(namespace: &Namespace, url: &str, accept: &str, content_type: &str) -> Result<Self> {
        let mut command = namespace.command("curl");
        command.args(["--silent", "--show-error", "--fail", "--max-time", "30"]);
        command.args(["--header", &format!("accept: {accept}")]);
        command.args(["--header", &format!("authorization: Bearer {TOKEN}")]);
        let text = tool::run(command.args(["--write-out", "%{content_type}", url]))?;
        let end = text.rfind('\n').context("the page does not end a line")? + 1;
        let (page, found) = text.split_at(end);
        ensure!(found == content_type, "the content type is {found}");
        Self::read(page)
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When a line is not what the formats allow, or a sample comes twice.
    pub fn read(page: &str) -> Result<Self> {
        let mut scrape = Self { text: page.to_owned(), samples: BTreeMap::new() };
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').with_context(|| format!("`{line}`"))?;
            let (name, labels) = match series.split_once('{') {
                None => (series, ""),
                Some((name, rest)) => {
                    (name, rest.strip_suffix('}').with_context(|| format!("`{line}`"))?)
                }
            };
            // None of the tests' names has a comma or a quote.
            let pairs = labels.split_terminator(',').map(|pair| {
                let (name, value) = pair.split_once("=\"")?;
                Some((name.to_owned(), value.strip_suffix('"')?.to_owned()))
            });
            let labels: Option<BTreeMap<String, String>> = pairs.collect();
            let key = (name.to_owned(), labels.with_context(|| format!("`{line}`"))?);
            let value = value.parse().with_context(|| format!("`{line}`"))?;
            ensure!(scrape.samples.insert(key, value).is_none(), "`{line}` comes twice");
        }
        Ok(scrape)
    }

    /// The sum of the samples of this name that have these labels, among others; `None` if none
    /// has.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |(of, own): &&(String, BTreeMap<String, String>)| {
            of == name
                && labels.iter().all(|(name, value)| own.get(*name).is_some_and(|v| v == value))
        };
        let mut found = self.samples.iter().filter(|(key, _)| wanted(key)).peekable();
        found.peek()?;
        Some(found.map(|(_, value)| value).sum())
    }

    /// The names of all samples, each with the names of its labels.
    pub fn names(&self) -> BTreeMap<String, BTreeSet<String>> {
        let samples = self.samples.keys();
        samples.map(|(name, labels)| (name.clone(), labels.keys().cloned().collect())).collect()
    }
}
