//! What people write about an object: a description, and tags.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::invalid::Invalid;

/// One line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(String);

impl Line {
    /// The most bytes of a line.
    pub const LONGEST: usize = 500;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Line {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_line = !text.is_empty() && !text.chars().any(char::is_control);
        if is_line && text.len() <= Self::LONGEST {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::Line(text.len()))
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words about an object, each with a value, for people and their programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// The most tags of an object.
    pub const MOST: usize = 50;
    /// The most bytes of a value.
    pub const LONGEST: usize = 255;

    /// Adds a tag, or changes its value.
    ///
    /// # Errors
    /// When the word has other characters than letters, digits and `-_./:`, or more than 63 of them;
    /// when the value is longer than a value may be, or has control characters.
    pub fn insert(&mut self, word: &str, value: &str) -> Result<(), Invalid> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
        if !(1..=63).contains(&word.len()) || !word.chars().all(fits) {
            return Err(Invalid::Tag(word.into()));
        }
        if value.len() > Self::LONGEST || value.chars().any(char::is_control) {
            return Err(Invalid::TagValue(value.len()));
        }
        self.0.insert(word.into(), value.into());
        Ok(())
    }

    /// The tags by word.
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<String> =
            self.0.iter().map(|(word, value)| format!("{word}={value}")).collect();
        f.write_str(&tags.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_one() {
        assert_eq!("Pay by card".parse::<Line>().unwrap().as_str(), "Pay by card");
        for wrong in ["", "a\nb", "a\u{1b}[2J", &"x".repeat(501)] {
            wrong.parse::<Line>().unwrap_err();
        }
        "x".repeat(500).parse::<Line>().unwrap();
    }

    #[test]
    fn tags_have_plain_words_and_short_values() {
        let mut tags = Tags::default();
        tags.insert("team", "payments & cards").unwrap();
        tags.insert("cost-center/eu", "").unwrap();
        assert_eq!(tags.to_string(), "cost-center/eu= team=payments & cards");
        for word in ["", "a b", "é", &"x".repeat(64)] {
            assert!(matches!(tags.insert(word, ""), Err(Invalid::Tag(_))), "{word}");
        }
        for value in ["a\n", &"x".repeat(256)] {
            assert!(matches!(tags.insert("a", value), Err(Invalid::TagValue(_))));
        }
    }
}
