//! Keys and what they hold.

use bytes::Bytes;

use super::{Revision, wire::KeyValue};

/// A key and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Bytes,
    /// When it was last written.
    pub revision: Revision,
    /// The lease that it ends with; 0 is none.
    pub lease: i64,
}

impl From<KeyValue> for Entry {
    fn from(kv: KeyValue) -> Self {
        Self {
            // Others' keys may be no text, and are none that a reader knows.
            key: String::from_utf8_lossy(&kv.key).into_owned(),
            value: kv.value,
            revision: kv.mod_revision,
            lease: kv.lease,
        }
    }
}

/// All keys below a prefix at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment. A watch that misses nothing begins at the revision after it.
    pub revision: Revision,
    /// The keys in order.
    pub entries: Vec<Entry>,
}

/// The least key after all of those with a prefix.
pub(super) fn prefix_end(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    // No byte of a text is 255, so the last one can grow.
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_next_sibling() {
        assert_eq!(&prefix_end("/pl/v1/g/a/")[..], b"/pl/v1/g/a0");
    }
}
