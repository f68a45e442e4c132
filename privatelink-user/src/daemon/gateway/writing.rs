//! Objects that the API makes, changes and deletes: from a request to what packets meet.

use super::{ATTEMPTS, Error, Gateway};
use crate::{
    access::{Caller, Rights},
    api::request::{Refused, Write},
    chain::Chain,
    config::{self, Diagnostics},
    daemon::{
        adoption::{self, Prepared},
        snapshot::failed,
    },
    events::{Event, Kind as EventKind},
    interface::types::{Difference, Problem, Written, WrittenObject},
    objects::{Outcome, WriteError, Writer, Writing},
    state::{
        connection::Acceptance,
        objects::{Kind, ObjectName, Objects, Replies, ReplyKey, StoredReply, remember},
    },
};

impl Gateway {
    /// The objects that the API has made.
    pub fn objects(&self) -> &Objects {
        &self.store.state().objects
    }

    /// Writes objects. Once this returns, they are on disk and in the maps.
    pub async fn write(&mut self, caller: &Caller, write: Write) -> Result<Written, Refused> {
        let mut attempts = ATTEMPTS;
        loop {
            if let Some(written) = self.write_once(caller, &write, attempts == 0).await? {
                return Ok(written);
            }
            // Another gateway was faster: the request is about what has become of the objects.
            attempts -= 1;
            self.take_in().map_err(Refused::from)?;
        }
    }

    /// As [`Self::write`]; `None` if another gateway was faster, unless that is the last attempt.
    async fn write_once(
        &mut self,
        caller: &Caller,
        write: &Write,
        is_last: bool,
    ) -> Result<Option<Written>, Refused> {
        if let Some(answered) = self.answered(caller, write) {
            return answered.map(Some);
        }
        let writing = self.work_out(caller, write)?;
        let mut written = Written { dry_run: write.dry_run, ..Written::default() };
        written.objects = written_objects(&writing);
        if writing.is_empty() {
            written.waiting = self.waiting(caller, &writing);
            return Ok(Some(written));
        }
        if !write.dry_run
            && let Some(added) = self.try_adding(&writing)
        {
            let mut written = self.add(caller, write, &writing, added, written)?;
            written.waiting = self.waiting(caller, &writing);
            return Ok(Some(written));
        }
        let mut next = self.prepare_objects(caller, &writing)?;
        written.difference = self.difference(caller, &writing, &next);
        if write.dry_run {
            return Ok(Some(written));
        }
        self.remember(&mut next.state.replies, caller, write, &written)?;
        match self.adopt_objects(next) {
            Ok(()) => {}
            Err(error) if !is_last && error.is_conflict() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let text = said(caller, &writing);
        self.events.publish(Event::new(EventKind::ConfigurationApplied, text));
        self.converge().await.map_err(|error| {
            let error = Chain(&error);
            Refused::Failed(format!("written, but not yet in force; retrying: {error}"))
        })?;
        written.waiting = self.waiting(caller, &writing);
        Ok(Some(written))
    }

    /// Which objects result from a request, if the caller may make it.
    fn work_out(&self, caller: &Caller, write: &Write) -> Result<Writing, Refused> {
        let writer = Writer {
            model: &self.model,
            origins: &self.origins,
            objects: self.objects(),
            caller,
            now: self.clock.moment().now,
        };
        writer.write(write.steps.clone(), &write.condition).map_err(refused)
    }

    /// Lowers the objects, as a reload lowers files.
    fn prepare_objects(&self, caller: &Caller, writing: &Writing) -> Result<Prepared, Refused> {
        let (objects, names) = (&writing.objects, writing.names());
        let loaded = self.sources.with_objects(objects, &names).load();
        let prepared = loaded.map_err(Error::from).and_then(|loaded| {
            adoption::prepare_objects(&self.snapshot(), loaded, objects.clone())
        });
        prepared.map_err(|error| {
            if let Error::Config(faults) = error {
                let shows = |object: &ObjectName| self.is_shown(caller, writing, object);
                let all = caller.rights == Rights::All;
                return Refused::from(&if all { faults } else { faults.for_author(shows) });
            }
            Refused::from(error)
        })
    }

    /// Whether a caller may see an object that it writes, or that there is.
    fn is_shown(&self, caller: &Caller, writing: &Writing, object: &ObjectName) -> bool {
        let rights = &caller.rights;
        let is_own = match object.kind {
            Kind::Service => {
                let service = self.model.services().get(&object.name);
                service.is_some_and(|one| rights.see_service(one))
            }
            Kind::Endpoint => {
                let endpoint = self.model.endpoints().get(&object.name);
                endpoint.is_some_and(|one| rights.see_endpoint(&self.model, one))
            }
        };
        is_own || writing.outcomes.contains_key(object)
    }

    /// What is said of the difference: of the gateway itself only to those who administer it.
    fn difference(&self, caller: &Caller, writing: &Writing, next: &Prepared) -> Difference {
        let mut difference = adoption::compare(&self.snapshot(), next);
        let is_operator = caller.rights == Rights::All;
        difference.warnings = next.warnings(|kind, name| {
            let is_written = |one: &ObjectName| one.kind.word() == kind.word();
            writing.outcomes.keys().any(|one| is_written(one) && one.name == *name)
                || is_operator && kind == config::ObjectKind::Gateway
        });
        difference
    }

    /// The connections of written endpoints that wait for a decision.
    fn waiting(
        &self,
        caller: &Caller,
        writing: &Writing,
    ) -> Vec<crate::interface::types::Connection> {
        let endpoints = writing.outcomes.keys().filter(|name| name.kind == Kind::Endpoint);
        let snapshot = self.snapshot();
        let connections = endpoints.filter_map(|endpoint| {
            snapshot.connections().describe(&caller.rights, endpoint.name.as_str()).ok()
        });
        connections.filter(|one| one.state == Acceptance::Pending.word()).collect()
    }

    /// The answer to a request that was answered before.
    fn answered(&self, caller: &Caller, write: &Write) -> Option<Result<Written, Refused>> {
        let (key, asked) = reply_key(caller, write)?;
        let reply = self.store.state().replies.get(&key)?;
        if reply.asked != asked {
            let error = "this `Idempotency-Key` was used for another request: choose a new one";
            return Some(Err(Refused::Failed(error.into())));
        }
        let answer = serde_json::from_value::<Written>(reply.answer.clone());
        Some(answer.map(|written| Written { repeated: true, ..written }).map_err(failed))
    }

    /// Keeps the answer together with what it says.
    pub(super) fn remember(
        &self,
        replies: &mut Replies,
        caller: &Caller,
        write: &Write,
        written: &Written,
    ) -> Result<(), Refused> {
        if let Some((key, asked)) = reply_key(caller, write) {
            let answer = serde_json::to_value(written).map_err(failed)?;
            remember(replies, key, StoredReply { at: self.clock.moment().now, asked, answer });
        }
        Ok(())
    }
}

/// The key under which the answer to a request is kept, if the request has one, and a number for
/// what it asks.
fn reply_key(caller: &Caller, write: &Write) -> Option<(ReplyKey, u64)> {
    let (key, asked) = write.key.as_ref()?;
    Some((ReplyKey { user: caller.author.to_string(), key: key.clone() }, *asked))
}

fn written_objects(writing: &Writing) -> Vec<WrittenObject> {
    let objects = writing.outcomes.iter().map(|(name, outcome)| WrittenObject {
        kind: name.kind.word().into(),
        name: name.name.to_string(),
        action: word(*outcome).into(),
        tag: writing.objects.get(name).map(|object| object.tag()),
    });
    objects.collect()
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Added => "added",
        Outcome::Changed => "changed",
        Outcome::Removed => "removed",
        Outcome::Unchanged => "unchanged",
    }
}

/// What has happened, on one line.
pub(super) fn said(caller: &Caller, writing: &Writing) -> String {
    const SHOWN: usize = 3;
    let changed = writing.outcomes.iter().filter(|(_, outcome)| **outcome != Outcome::Unchanged);
    let all: Vec<String> =
        changed.map(|(name, outcome)| format!("{name} was {}", word(*outcome))).collect();
    let shown = all.get(..SHOWN.min(all.len())).unwrap_or_default().join(", ");
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{shown}{more} by {} through the API", caller.author)
}

fn refused(error: WriteError) -> Refused {
    let text = error.to_string();
    match error {
        WriteError::Unknown(_) | WriteError::UnknownTarget { .. } => Refused::Unknown(text),
        WriteError::OwnedByFile { .. } | WriteError::Taken(_) | WriteError::InUse { .. } => {
            Refused::Failed(text)
        }
        WriteError::Precondition(_) => Refused::Unexpected(text),
        WriteError::Denied(denied) => denied.into(),
        WriteError::Faulty { faults, written } => {
            let alone = config::faults_of(&written).err();
            let mut all: Vec<_> = faults.iter().map(|fault| fault.to_json()).collect();
            all.extend(alone.iter().flat_map(Diagnostics::to_json));
            let rendered = alone.map(|faults| faults.render(false));
            let error = format!("{text}\n\n{}", rendered.unwrap_or_default());
            Refused::Faulty(Problem { error: error.trim_end().to_owned() + "\n", faults: all })
        }
    }
}
