//! Whose entry it is.

use crate::{
    access::{Caller, Identity, Rights},
    interface::types::AuditEntry,
    model::Name,
};

/// An entry that says who asks. `caller` is absent where the one who asks has no rights.
pub fn entry_of(who: Option<&Identity>, caller: Option<&Caller>) -> AuditEntry {
    let principals = match caller.map(|caller| &caller.rights) {
        Some(Rights::Of(names)) => names.iter().map(Name::to_string).collect(),
        Some(Rights::All) | None => Vec::new(),
    };
    let mut entry = AuditEntry { principals, ..AuditEntry::default() };
    match who {
        Some(Identity::User(peer)) => {
            entry.uid = Some(peer.uid);
            entry.by = peer.user.clone().unwrap_or_else(|| format!("uid {}", peer.uid));
        }
        Some(Identity::Key { id, .. }) => {
            entry.key = Some(id.to_string());
            entry.by = format!("key {id}");
        }
        Some(Identity::Certificate { digest, holder, .. }) => {
            entry.certificate = Some(digest.clone());
            entry.by = format!("a certificate of {holder}");
        }
        None => {}
    }
    if let Some(caller) = caller {
        entry.by = caller.author.to_string();
    }
    entry.address = who.and_then(Identity::address).map(|address| address.to_string());
    entry
}

/// Whether a caller may see an entry: its own, and an administrator all of them.
pub fn may_see(rights: &Rights, entry: &AuditEntry) -> bool {
    match rights {
        Rights::All => true,
        Rights::Of(_) => entry.principals.iter().any(|name| rights.see_principal(name)),
    }
}
