//! What to do about packets that are not forwarded: the page about drop reasons says it, and
//! nothing else.

use privatelink_common::Reason;

const PAGE: &str = include_str!("../../../../docs/drop-reasons.md");

/// What to do about drops for a reason, in a sentence or two.
pub fn advice(reason: Reason) -> String {
    let name = format!("| `{}` |", reason.name());
    let row = PAGE.lines().find_map(|line| line.strip_prefix(name.as_str()));
    let cell = row.and_then(|row| row.trim_end().trim_end_matches('|').rsplit('|').next());
    without_links(cell.unwrap_or_default().trim())
}

/// The text with the words of each link only.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let parts = link.split_once("](").and_then(|(words, behind)| {
            let (_, behind) = behind.split_once(')')?;
            (!words.contains(['[', ']'])).then_some((words, behind))
        });
        plain.push_str(before);
        match parts {
            Some((words, behind)) => {
                plain.push_str(words);
                rest = behind;
            }
            // A bracket of its own, as a table of the configuration has.
            None => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_advice_on_every_reason() {
        for reason in Reason::ALL {
            let advice = advice(*reason);
            assert!(advice.len() > 10, "{}: {advice:?}", reason.name());
            assert!(!advice.contains("]("), "{}: {advice}", reason.name());
        }
        assert!(advice(Reason::NoListener).starts_with("Add a `[[service.listener]]`, or"));
        assert!(advice(Reason::Pending).ends_with("`reject` (acceptance)"));
    }

    #[test]
    fn only_links_lose_their_brackets() {
        assert_eq!(without_links("a [b](c.md) [[d.e]] f [g](h) ]("), "a b [[d.e]] f g ](");
    }
}
