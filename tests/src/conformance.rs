//! What the gateway is held to: the requirements of `conformance/requirements.toml`, and the page
//! that lists them with their verdicts.

use std::fmt::Write as _;

use serde::Deserialize;

/// The requirements as they are written.
const TEXT: &str = include_str!("../conformance/requirements.toml");

/// One thing that a document asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The check in `datapath.py` that judges it.
    pub id: Option<String>,
    /// The document, with its section or requirement.
    pub source: String,
    /// What it asks for.
    pub text: String,
    /// Where else it is judged.
    pub test: Option<String>,
    /// Why the gateway does otherwise on purpose.
    pub deviation: Option<String>,
}

/// Reads the requirements.
///
/// # Errors
/// When the file is malformed.
pub fn requirements() -> Result<Vec<Requirement>, toml::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        requirement: Vec<Requirement>,
    }
    Ok(toml::from_str::<File>(TEXT)?.requirement)
}

/// The table of requirements and verdicts. The suite `conformance` fails where a verdict is wrong.
pub fn table() -> String {
    // A malformed file yields an empty table, which the suite notices.
    let requirements = requirements().unwrap_or_default();
    let deviations = requirements.iter().filter(|one| one.deviation.is_some()).count();
    let mut text = format!(
        "{} requirements: {} are met, {deviations} are not on purpose.\n\n\
         | document | requirement | verdict | judge |\n|---|---|---|---|\n",
        requirements.len(),
        requirements.len() - deviations,
    );
    for Requirement { id, source, text: asks, test, deviation } in &requirements {
        let verdict = deviation
            .as_ref()
            .map_or_else(|| "met".to_owned(), |reason| format!("deviates: {reason}"));
        let judge = match (id, test) {
            (Some(id), _) => format!("`{id}`"),
            (None, Some(test)) => format!("suite `{test}`"),
            (None, None) => String::new(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {source} | {asks} | {verdict} | {judge} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_has_one_judge_and_every_deviation_a_sentence() {
        let requirements = requirements().unwrap();
        assert!(requirements.len() > 40);
        for one in &requirements {
            assert!(one.id.is_some() != one.test.is_some(), "{one:?}");
            assert!(one.deviation.as_ref().is_none_or(|reason| reason.len() > 40), "{one:?}");
            for text in [&one.source, &one.text].into_iter().chain(&one.deviation) {
                assert!(!text.contains(['|', '\n']), "{text}");
            }
        }
        let text = include_str!("../conformance/datapath.py");
        for id in requirements.iter().filter_map(|one| one.id.as_ref()) {
            assert!(text.contains(&format!("\ndef {id}(path):")), "no check `{id}`");
        }
    }
}
