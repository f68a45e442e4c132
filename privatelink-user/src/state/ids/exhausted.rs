//! What happens when indices run out.

/// More of a kind than the maps have room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway has room for {limit} {what}, and the configuration asks for more")]
pub struct Exhausted {
    /// The kind.
    pub what: &'static str,
    /// How many there can be.
    pub limit: u32,
}
