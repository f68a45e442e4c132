//! The parts of `docs/` that are generated from code, so that a page cannot contradict it.
//!
//! A page holds a generated section between two markers, each on a line of its own:
//!
//! ```text
//! <!-- generated: NAME -->
//! <!-- end -->
//! ```
//!
//! To generate one more, put the markers into the page and add a line to [`sections`]. Then run
//! `cargo xtask docs`.

mod api;
mod markers;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::conformance;
use anyhow::{Context, Result, bail};
use privatelink_user::{config, events, flow_log, metrics, trial, view::status};

/// Part of a page, and the code that writes it.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The page, from the root of the repository.
    pub page: &'static str,
    /// The name in the marker.
    pub name: &'static str,
    /// Writes the Markdown between the markers.
    pub text: fn() -> String,
}

/// Every generated section.
pub fn sections() -> Vec<Section> {
    const FIXED: [Section; 8] = [
        Section { page: "docs/api.md", name: "paths", text: api::paths },
        Section { page: "docs/conformance.md", name: "requirements", text: conformance::table },
        Section { page: "docs/drop-reasons.md", name: "reasons", text: status::reasons },
        Section { page: "docs/drop-reasons.md", name: "notices", text: status::notices },
        Section { page: "docs/events.md", name: "event-kinds", text: events::kinds_table },
        Section { page: "docs/flow-log.md", name: "vpc-fields", text: flow_log::fields_table },
        Section { page: "docs/metrics.md", name: "metrics", text: metrics::family::table },
        Section { page: "docs/test.md", name: "steps", text: trial::steps_table },
    ];
    let reference = config::REFERENCE.iter().map(|table| Section {
        page: "docs/configuration.md",
        name: table.name,
        text: table.render,
    });
    FIXED.into_iter().chain(reference).collect()
}

/// A page that does not say what the code says.
#[derive(Debug)]
pub struct Stale {
    /// The page, from the root of the repository.
    pub page: String,
    /// The first line that differs.
    pub line: usize,
    path: PathBuf,
    text: String,
}

impl Stale {
    /// Writes the page as it should be.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn rewrite(&self) -> Result<()> {
        fs::write(&self.path, &self.text).with_context(|| format!("cannot write {}", self.page))
    }
}

/// Returns the pages below `root` whose generated sections are out of date.
///
/// # Errors
/// When a page cannot be read, lacks a section, or has markers that no section fills.
pub fn stale(root: &Path, sections: &[Section]) -> Result<Vec<Stale>> {
    let mut stale = Vec::new();
    for page in pages(root, sections)? {
        let path = root.join(&page);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {page}"))?;
        let of_page: Vec<_> = sections.iter().filter(|section| section.page == page).collect();
        let wanted = markers::fill(&text, &of_page).with_context(|| page.clone())?;
        if wanted != text {
            let differs = |(old, new): (&str, &str)| old != new;
            let common = text.lines().zip(wanted.lines()).position(differs);
            let line = common.unwrap_or_else(|| text.lines().count().min(wanted.lines().count()));
            stale.push(Stale { page, line: line + 1, path, text: wanted });
        }
    }
    Ok(stale)
}

/// The pages of `docs/`, and those that a section names.
fn pages(root: &Path, sections: &[Section]) -> Result<BTreeSet<String>> {
    let mut pages: BTreeSet<String> =
        sections.iter().map(|section| section.page.to_owned()).collect();
    for entry in fs::read_dir(root.join("docs")).context("cannot list docs/")? {
        let name = entry.context("cannot list docs/")?.file_name();
        let Some(name) = name.to_str() else { bail!("docs/ holds a name that is not UTF-8") };
        if name.ends_with(".md") {
            pages.insert(format!("docs/{name}"));
        }
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: Section =
        Section { page: "docs/page.md", name: "table", text: || "| a |\n".to_owned() };

    fn repository(page: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        fs::write(root.path().join("docs/page.md"), page).unwrap();
        root
    }

    #[test]
    fn the_pages_say_what_the_code_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let stale = stale(&root, &sections()).unwrap();
        let stale: Vec<_> = stale.iter().map(|stale| &stale.page).collect();
        assert!(stale.is_empty(), "run `cargo xtask docs`: {stale:?}");
    }

    #[test]
    fn a_stale_page_is_found_and_rewritten_once() {
        let root = repository("# Page\n<!-- generated: table -->\nold\n<!-- end -->\nrest\n");
        let found = stale(root.path(), &[SECTION]).unwrap();
        assert_eq!((found.len(), found[0].line), (1, 3));
        found[0].rewrite().unwrap();
        let text = fs::read_to_string(root.path().join("docs/page.md")).unwrap();
        assert_eq!(text, "# Page\n<!-- generated: table -->\n| a |\n<!-- end -->\nrest\n");
        assert!(stale(root.path(), &[SECTION]).unwrap().is_empty());
    }

    #[test]
    fn a_section_without_markers_is_an_error_that_names_page_and_section() {
        let root = repository("# Page\n");
        let error = format!("{:#}", stale(root.path(), &[SECTION]).unwrap_err());
        assert!(error.contains("docs/page.md") && error.contains("generated: table"), "{error}");
    }
}
