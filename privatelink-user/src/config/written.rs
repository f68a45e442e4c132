//! How values are written in a file, for the column "default" of the reference.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::decode::List;
use crate::model::{DnsPattern, Name, Number, Period, Quantity, Words};

/// A value that can be the default of a key.
pub(super) trait Written {
    /// The value as code of the reference: as a file would have it, between backticks.
    fn written(&self) -> String;
}

impl Written for bool {
    fn written(&self) -> String {
        format!("`{self}`")
    }
}

/// Types that are written as a string, which `Display` gives.
macro_rules! as_text {
    ($($type:ty)*) => {$(
        impl Written for $type {
            fn written(&self) -> String {
                quoted(&self.to_string())
            }
        }
    )*};
}
as_text! { String IpAddr IpNet DnsPattern }

impl Written for PathBuf {
    fn written(&self) -> String {
        quoted(&self.display().to_string())
    }
}

impl<T: Words> Written for T {
    fn written(&self) -> String {
        quoted(self.word())
    }
}

impl<const MIN: u32, const MAX: u32> Written for Number<MIN, MAX> {
    fn written(&self) -> String {
        grouped(self.get().into())
    }
}

impl Written for Name {
    fn written(&self) -> String {
        quoted(self.as_str())
    }
}

impl Written for Quantity {
    fn written(&self) -> String {
        grouped(self.get())
    }
}

impl<const MIN: u64, const MAX: u64> Written for Period<MIN, MAX> {
    fn written(&self) -> String {
        let (count, unit) = largest_unit(self.get());
        quoted(&format!("{count}{unit}"))
    }
}

impl<T: Written> Written for List<T> {
    fn written(&self) -> String {
        let elements: Vec<_> =
            self.iter().map(|one| one.value.written().replace('`', "")).collect();
        format!("`[{}]`", elements.join(", "))
    }
}

/// Text as code of the reference.
pub(super) fn quoted(text: &str) -> String {
    format!("`\"{text}\"`")
}

/// A bound of a duration, in milliseconds, as a sentence has it: `1 day`.
pub(super) fn bound(millis: u64) -> String {
    match largest_unit(Duration::from_millis(millis)) {
        (0, _) => "0".to_owned(),
        (1, "d") => "1 day".to_owned(),
        (count, "d") => format!("{count} days"),
        (count, "m") => format!("{count} min"),
        (count, unit) => format!("{count} {unit}"),
    }
}

/// A length of time as a whole number of the largest unit that divides it.
fn largest_unit(time: Duration) -> (u128, &'static str) {
    let millis = time.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fits = units.into_iter().find(|(_, size)| millis.is_multiple_of(*size));
    fits.map_or((millis, "ms"), |(unit, size)| (millis / size, unit))
}

/// A number as code, with `_` between groups of three digits once it has five.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return format!("`{digits}`");
    }
    let groups: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    format!("`{}`", groups.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Drain, MaxFlows};

    #[test]
    fn durations_are_written_in_the_largest_unit_that_divides_them() {
        for (text, shown) in
            [("350s", "350s"), ("300s", "5m"), ("1500ms", "1500ms"), ("2h", "2h"), ("48h", "2d")]
        {
            let time: Drain = text.parse().unwrap();
            assert_eq!(time.written(), format!("`\"{shown}\"`"));
            assert_eq!(shown.parse::<Drain>().unwrap(), time);
        }
        let bounds = [0, 10, 60_000, 86_400_000, 7 * 86_400_000].map(bound);
        assert_eq!(bounds, ["0", "10 ms", "1 min", "1 day", "7 days"]);
    }

    #[test]
    fn long_numbers_are_grouped() {
        for (number, shown) in [(10, "`10`"), (9_999, "`9999`"), (1_000_000, "`1_000_000`")] {
            assert_eq!(MaxFlows::try_from(number).unwrap().written(), shown);
        }
    }
}
