//! What happens when indices run out.

/// More of a kind than the maps have room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway has room for {limit} {what}, and the configuration asks for more")]
pub struct Exhausted {
    /// What there are too many of, in the plural.
    pub what: &'static str,
    /// How many the maps have room for.
    pub limit: u32,
}
