//! The markers around a generated section.

use anyhow::{Result, bail, ensure};

use super::Section;

const BEGIN: (&str, &str) = ("<!-- generated: ", " -->");
const END: &str = "<!-- end -->";

/// Returns the page with each of its sections written anew.
///
/// # Errors
/// When markers do not match, or the page and `sections` do not name the same ones.
pub(super) fn fill(page: &str, sections: &[&Section]) -> Result<String> {
    let mut filled = String::with_capacity(page.len());
    let mut open: Option<&str> = None;
    let mut seen = Vec::new();
    for line in page.lines() {
        if let Some(name) = opening(line) {
            if let Some(other) = open {
                bail!("`{line}` stands inside the section `{other}`: it lacks `{END}`");
            }
            ensure!(!seen.contains(&name), "it has two sections `{name}`");
            let Some(section) = sections.iter().find(|section| section.name == name) else {
                bail!("no code writes the section `{name}`: add it to sections(), or remove it");
            };
            filled.extend([line, "\n"]);
            filled.push_str(&(section.text)());
            if !filled.ends_with('\n') {
                filled.push('\n');
            }
            open = Some(name);
            seen.push(name);
        } else if line.trim() == END {
            ensure!(open.take().is_some(), "`{END}` closes no section");
            filled.extend([line, "\n"]);
        } else if open.is_none() {
            filled.extend([line, "\n"]);
        }
    }
    if let Some(name) = open {
        bail!("the section `{name}` lacks `{END}`");
    }
    if let Some(absent) = sections.iter().find(|section| !seen.contains(&section.name)) {
        let (before, after) = BEGIN;
        bail!("it lacks the markers `{before}{}{after}` and `{END}`", absent.name);
    }
    Ok(filled)
}

/// The name in an opening marker.
fn opening(line: &str) -> Option<&str> {
    let (before, after) = BEGIN;
    line.trim().strip_prefix(before)?.strip_suffix(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Section = Section { page: "p", name: "one", text: || "1".to_owned() };
    const TWO: Section = Section { page: "p", name: "two", text: || "2\n2\n".to_owned() };

    #[test]
    fn what_is_between_the_markers_is_replaced_and_the_rest_is_kept() {
        let page = "a\n<!-- generated: one -->\nx\ny\n<!-- end -->\nb\n\
                    <!-- generated: two -->\n<!-- end -->\n";
        let wanted = "a\n<!-- generated: one -->\n1\n<!-- end -->\nb\n\
                      <!-- generated: two -->\n2\n2\n<!-- end -->\n";
        assert_eq!(fill(page, &[&ONE, &TWO]).unwrap(), wanted);
        assert_eq!(fill(wanted, &[&ONE, &TWO]).unwrap(), wanted);
    }

    #[test]
    fn markers_that_do_not_match_are_named() {
        for (page, word) in [
            ("<!-- generated: one -->\n", "lacks `<!-- end -->`"),
            ("<!-- end -->\n", "closes no section"),
            ("<!-- generated: one -->\n<!-- generated: one -->\n<!-- end -->\n", "inside"),
            ("<!-- generated: one -->\n<!-- end -->\n<!-- generated: one -->\n", "two sections"),
            ("<!-- generated: other -->\n<!-- end -->\n", "no code writes the section `other`"),
            ("text\n", "<!-- generated: one -->"),
        ] {
            let error = fill(page, &[&ONE]).unwrap_err().to_string();
            assert!(error.contains(word), "{page:?}: {error}");
        }
    }
}
