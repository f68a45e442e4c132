//! Numbers and lengths of time that carry their bounds in their type.

use std::{fmt, num::NonZeroU64, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::invalid::Invalid;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Number<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    /// A number known when the program is built; one out of bounds does not compile.
    pub(crate) const fn constant<const VALUE: u32>() -> Self {
        const { assert!(MIN <= VALUE && VALUE <= MAX) };
        Self(VALUE)
    }

    /// The value as a plain integer.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<i64> for Number<MIN, MAX> {
    type Error = Invalid;

    fn try_from(value: i64) -> Result<Self, Invalid> {
        match u32::try_from(value) {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(Invalid::OutOfRange { value, min: MIN.into(), max: MAX.into() }),
        }
    }
}

impl<const MIN: u32, const MAX: u32> From<Number<MIN, MAX>> for i64 {
    fn from(number: Number<MIN, MAX>) -> Self {
        number.0.into()
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Number<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A length of time from `MIN` to `MAX` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period<const MIN: u64, const MAX: u64>(Duration);

impl<const MIN: u64, const MAX: u64> Period<MIN, MAX> {
    /// A period known when the program is built; one out of bounds does not compile.
    pub(crate) const fn constant<const MILLIS: u64>() -> Self {
        const { assert!(MIN <= MILLIS && MILLIS <= MAX) };
        Self(Duration::from_millis(MILLIS))
    }

    /// The length of time.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Period<MIN, MAX> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let value = humantime::parse_duration(text).map_err(|_| Invalid::Duration(text.into()))?;
        let (min, max) = (Duration::from_millis(MIN), Duration::from_millis(MAX));
        if (min..=max).contains(&value) {
            Ok(Self(value))
        } else {
            Err(Invalid::DurationOutOfRange { value, min, max })
        }
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Display for Period<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A positive amount, written plain or with k, M, G or T for powers of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(NonZeroU64);

impl Quantity {
    /// The value as a plain integer, which is never 0.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl Quantity {
    /// An amount known when the program is built; zero does not compile.
    pub(crate) const fn constant<const VALUE: u64>() -> Self {
        const { assert!(VALUE > 0) };
        match NonZeroU64::new(VALUE) {
            Some(value) => Self(value),
            None => Self(NonZeroU64::MIN),
        }
    }
}

impl TryFrom<i64> for Quantity {
    type Error = Invalid;

    fn try_from(value: i64) -> Result<Self, Invalid> {
        u64::try_from(value)
            .ok()
            .and_then(NonZeroU64::new)
            .map(Self)
            .ok_or_else(|| Invalid::Quantity(value.to_string()))
    }
}

impl FromStr for Quantity {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (digits, unit) = match text.char_indices().next_back() {
            Some((at, 'k')) => (&text[..at], 1_000),
            Some((at, 'M')) => (&text[..at], 1_000_000),
            Some((at, 'G')) => (&text[..at], 1_000_000_000),
            Some((at, 'T')) => (&text[..at], 1_000_000_000_000),
            _ => (text, 1),
        };
        let invalid = || Invalid::Quantity(text.into());
        // `parse` would take a leading plus sign.
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(invalid());
        }
        let number: u64 = digits.replace('_', "").parse().map_err(|_| invalid())?;
        number.checked_mul(unit).and_then(NonZeroU64::new).map(Self).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_take_units() {
        for (text, amount) in [("1", 1), ("5_000", 5_000), ("10k", 10_000), ("10G", 10_000_000_000)]
        {
            assert_eq!(text.parse::<Quantity>().unwrap().get(), amount, "{text}");
        }
        for bad in ["", "G", "0", "0G", "-1", "+1", "1.5G", "1g", "10 G", "99999999T", "1é"] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn periods_have_bounds() {
        type Minute = Period<1_000, 60_000>;
        for (text, millis) in [("1s", 1_000), ("1500ms", 1_500), ("1m", 60_000)] {
            assert_eq!(text.parse::<Minute>().unwrap().get(), Duration::from_millis(millis));
        }
        for bad in ["", "5", "999ms", "61s", "-1s", "1 fortnight", "99999999999999999999d"] {
            assert!(bad.parse::<Minute>().is_err(), "{bad}");
        }
    }
}
