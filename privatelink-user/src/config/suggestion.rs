//! Suggestions for mistyped words.

/// "did you mean …", if one of `known` is close to what was written.
pub(crate) fn suggestion<S: AsRef<str>>(
    written: &str,
    known: impl IntoIterator<Item = S>,
) -> Option<String> {
    nearest(written, known).map(|name| format!("did you mean `{}`?", name.as_ref()))
}

/// The one of `known` that is closest to what was written, if it is close enough to be meant.
pub(crate) fn nearest<S: AsRef<str>>(
    written: &str,
    known: impl IntoIterator<Item = S>,
) -> Option<S> {
    // Text of this length is not a mistyped name, and the comparison costs the square of it.
    if written.len() > 128 {
        return None;
    }
    let limit = (written.chars().count() / 3).max(1);
    let written = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&written, &name.as_ref().to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_no_difference_and_a_plural_is_a_small_one() {
        assert_eq!(nearest("TCP", ["udp", "tcp"]), Some("tcp"));
        assert_eq!(nearest("interfaces", ["subnets", "interface"]), Some("interface"));
        assert_eq!(nearest("weather", ["udp", "tcp"]), None);
    }
}
