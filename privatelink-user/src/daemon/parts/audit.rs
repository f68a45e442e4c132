//! What the audit log says about a change.

use std::{io, path::Path};

use serde_json::{Value, json};

use crate::{
    access::{Caller, Identity, Rights},
    api::{
        action::Action,
        request::{Refused, Request},
    },
    audit::{Audit, entry_of},
    interface::types::AuditEntry,
    model::Name,
    state::{State, keys::Holder},
};

/// An attempt that has been recorded.
#[derive(Debug)]
pub(in crate::daemon) struct Attempt {
    /// Its number in the audit log, if the disk has accepted it.
    pub number: Option<u64>,
    entry: AuditEntry,
}

/// Records that a caller attempts a change, before anything changes.
///
/// What cannot be recorded is refused, except for the end of forwarding, which needs no daemon.
pub(in crate::daemon) fn begin(
    audit: &Audit,
    state: &State,
    (who, caller): (&Identity, &Caller),
    (request, action): (&Request, Action),
    state_dir: &Path,
) -> Result<Attempt, Refused> {
    let entry = AuditEntry {
        action: action.word.into(),
        object: action.object,
        ..entry_of(Some(who), Some(caller))
    };
    let old = before(state, &caller.rights, request);
    let number = match audit.attempt(AuditEntry { old, new: action.new, ..entry.clone() }) {
        Ok(number) => Some(number),
        Err(_) if matches!(request, Request::Down(_)) => None,
        Err(error) => {
            return Err(Refused::Failed(format!(
                "nothing was changed, because the audit log in {} cannot be written: is the state \
                 directory on a full or read-only disk? {error}",
                state_dir.display()
            )));
        }
    };
    Ok(Attempt { number, entry })
}

/// Records that a signal makes the daemon reload, before anything changes.
pub(in crate::daemon) fn of_signal(audit: &Audit) -> io::Result<Attempt> {
    let (by, action) = ("a signal".to_owned(), "reload".to_owned());
    let entry = AuditEntry { by, action, ..AuditEntry::default() };
    let number = audit.attempt(entry.clone())?;
    Ok(Attempt { number: Some(number), entry })
}

/// Records what became of an attempt.
pub(in crate::daemon) fn finish(
    audit: &Audit,
    attempt: Attempt,
    outcome: Option<&Result<(), Refused>>,
) {
    let Some(number) = attempt.number else { return };
    let (result, error) = match outcome {
        Some(Ok(())) => ("done", None),
        Some(Err(refused)) => (refused.word(), Some(refused.to_string())),
        // A request that is dropped without an answer.
        None => ("failed", None),
    };
    audit.result(number, AuditEntry { result: Some(result.into()), error, ..attempt.entry });
}

/// What is there before a change, as far as the caller may see it.
fn before(state: &State, rights: &Rights, request: &Request) -> Option<Value> {
    if let Request::Decide(endpoint, ..) = request {
        let name: Name = endpoint.parse().ok()?;
        let connection = state.connections.get(&name)?;
        let state = connection.standing.acceptance().word();
        let seen = rights.see_connection(&connection.parties);
        return seen.then(|| json!({ "state": state, "reason": connection.reason() }));
    }
    if let Request::Write(write, _) = request {
        return Some(write.before(|name| {
            let object = state.objects.get(name)?;
            let holder = object.authority.clone().map_or(Holder::Administrators, Holder::Principal);
            rights.cover(&holder).then_some(&object.content)
        }));
    }
    if let Request::RevokeKey(id, _) = request {
        let key = state.keys.get(id).filter(|key| rights.cover(&key.holder))?;
        let holder = key.holder.to_string();
        return Some(json!({ "of": holder, "read_only": key.read_only, "made": key.made }));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::Peer,
        api::request::Reply,
        state::connection::{Author, Decision},
    };

    fn request() -> Request {
        let reason = "because".to_owned();
        Request::Decide("acme-web".into(), Decision::Reject, reason, Reply::channel().0)
    }

    fn attempt(audit: &Audit, request: &Request) -> Result<Attempt, Refused> {
        let who = Identity::User(Peer { uid: 7, user: Some("ops".into()), groups: Vec::new() });
        let author = Author::User { uid: 7, name: Some("ops".into()) };
        let caller = Caller { author, rights: Rights::Of(["vendor".parse().unwrap()].into()) };
        let action = Action::of(request).unwrap();
        begin(audit, &State::default(), (&who, &caller), (request, action), Path::new("/state"))
    }

    #[test]
    fn a_change_that_cannot_be_recorded_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        // No directory can be made there.
        let audit = Audit::new(&file);
        let refused = attempt(&audit, &request()).unwrap_err();
        assert!(refused.to_string().contains("nothing was changed"), "{refused}");
        assert!(refused.to_string().contains("full or read-only disk"), "{refused}");
        let down = Request::Down(Reply::channel().0);
        assert_eq!(attempt(&audit, &down).unwrap().number, None, "the end needs no record");
    }

    #[test]
    fn an_attempt_and_its_result_say_who_and_what() {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::new(directory.path());
        let begun = attempt(&audit, &request()).unwrap();
        finish(&audit, begun, Some(&Err(Refused::Forbidden("not yours".into()))));
        let entries = audit.reader().entries(None, 9, |_| true).unwrap();
        let [first, second] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!(
            (first.uid, first.by.as_str(), first.action.as_str()),
            (Some(7), "ops", "reject")
        );
        assert_eq!(first.principals, ["vendor"]);
        assert_eq!(first.new, Some(json!({ "reason": "because" })));
        assert_eq!((second.attempt, second.result.as_deref()), (Some(1), Some("refused")));
        assert_eq!(second.error.as_deref(), Some("not yours"));
    }
}
