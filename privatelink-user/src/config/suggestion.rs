//! Suggestions for mistyped words.

/// "did you mean …", if one of `known` is close to what was written.
pub(crate) fn suggestion<S: AsRef<str>>(
    written: &str,
    known: impl IntoIterator<Item = S>,
) -> Option<String> {
    // Text of this length is not a mistyped name, and the comparison costs the square of it.
    if written.len() > 128 {
        return None;
    }
    let limit = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(written, name.as_ref()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| format!("did you mean `{}`?", name.as_ref()))
}
