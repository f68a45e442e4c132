//! Who asks the gateway, with which keys, and what is recorded of that.

use log::error;

use super::Gateway;
use crate::{
    access::{Caller, Denied, Identity},
    api::{
        action::Action,
        request::{Refused, Request},
    },
    audit::AuditReader,
    chain::Chain,
    daemon::parts::{audit, keys},
    events::Kind,
    interface::types::{AccessKey, MadeKey, NewKey},
    state::{Change, connection::Author, keys::KeyId},
};

impl Gateway {
    /// Records that a caller attempts a change, before anything changes.
    pub fn begin(
        &mut self,
        who: (&Identity, &Caller),
        what: (&Request, Action),
    ) -> Result<audit::Attempt, Refused> {
        let state_dir = &self.model.gateway().state_dir;
        let attempt = audit::begin(&self.audit, self.store.state(), who, what, state_dir)?;
        self.events.set_audit(attempt.number);
        Ok(attempt)
    }

    /// Records what became of an attempt.
    pub fn finish(&mut self, attempt: audit::Attempt, outcome: Option<&Result<(), Refused>>) {
        self.events.set_audit(None);
        audit::finish(&self.audit, attempt, outcome);
    }

    /// What reads the audit log.
    pub fn audit_reader(&self) -> AuditReader {
        self.audit.reader()
    }

    /// What whoever makes a request may see and do, if it may write at all, should it be a write;
    /// notes the use of a key.
    pub fn caller(&mut self, who: &Identity, is_write: bool) -> Result<Caller, Denied> {
        let now = self.clock.moment().now;
        let register = self.register.borrow();
        let caller = register.caller(who, now)?;
        if is_write {
            register.writes(who)?;
        }
        drop(register);
        self.keys.note_use(who, now);
        Ok(caller)
    }

    /// The access keys that a caller may see.
    pub fn access_keys(&self, caller: &Caller) -> Vec<AccessKey> {
        self.keys.list(&self.store.state().keys, &caller.rights, self.clock.moment().ahead)
    }

    /// Makes an access key.
    pub fn make_key(
        &mut self,
        caller: &Caller,
        who: &Identity,
        wanted: &NewKey,
    ) -> Result<MadeKey, Refused> {
        let at = self.clock.moment();
        let (changed, made) =
            keys::make(&self.model, self.store.state(), (caller, who), wanted, at)?;
        self.keep_key(changed, Kind::KeyCreated, &caller.author)?;
        Ok(made)
    }

    /// Revokes an access key: from when this returns, it opens nothing.
    pub fn revoke_key(&mut self, caller: &Caller, id: &KeyId) -> Result<AccessKey, Refused> {
        let ahead = self.clock.moment().ahead;
        let revoked = self.keys.revoke(&self.store.state().keys, caller, id, ahead)?;
        self.keep_key(Change::Key(id.clone(), None), Kind::KeyRevoked, &caller.author)?;
        Ok(revoked)
    }

    fn keep_key(&mut self, change: Change, kind: Kind, by: &Author) -> Result<(), Refused> {
        let event = keys::event(&change, self.store.state(), kind, by);
        let kept = self.store.as_mut().commit(vec![change]);
        kept.map_err(|error| Refused::Failed(Chain(&error).to_string()))?;
        self.follow_keys();
        self.report_applied();
        self.events.publish_all(event);
        Ok(())
    }

    /// Tells the server on the socket which keys there are.
    pub(super) fn follow_keys(&self) {
        self.register.send_modify(|register| register.replace_keys(&self.store.state().keys));
    }

    /// Applies the configuration on disk because of a signal.
    pub async fn reload_on_signal(&mut self) {
        match audit::of_signal(&self.audit) {
            Ok(attempt) => {
                self.events.set_audit(attempt.number);
                // `reload` has logged any error.
                let outcome = self.reload(false).await.map(drop).map_err(Refused::from);
                self.finish(attempt, Some(&outcome));
            }
            Err(error) => error!("not reloaded, because the audit log cannot be written: {error}"),
        }
    }
}
