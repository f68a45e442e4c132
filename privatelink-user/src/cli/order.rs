//! The order in which people expect names: `e2` before `e10`.

use std::cmp::Ordering;

/// Compares two names, numbers in them by their value.
pub(super) fn natural(one: &str, other: &str) -> Ordering {
    let (mut a, mut b) = (one, other);
    loop {
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
        let (x, y) = (digits(a), digits(b));
        if x > 0 && y > 0 {
            let ((left, rest_a), (right, rest_b)) = (a.split_at(x), b.split_at(y));
            let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
            let by_value = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
            if by_value.is_ne() {
                return by_value;
            }
            (a, b) = (rest_a, rest_b);
            continue;
        }
        let (mut left, mut right) = (a.chars(), b.chars());
        match (left.next(), right.next()) {
            (None, None) => return one.cmp(other),
            (c, d) if c != d => return c.cmp(&d),
            _ => (a, b) = (left.as_str(), right.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = ["e10", "e2", "e", "10.0.0.20", "10.0.0.3", "e2b", "f1", "e02"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["10.0.0.3", "10.0.0.20", "e", "e02", "e2", "e2b", "e10", "f1"]);
    }
}
