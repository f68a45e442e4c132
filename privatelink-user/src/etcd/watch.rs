//! The changes of all keys below a prefix, in order, from a revision on.

use bytes::Bytes;

use super::{
    Revision,
    connection::{Connection, Replies},
    entry::{Entry, prefix_end},
    error::Error,
    wire::{WatchCreateRequest, WatchEvent, WatchRequest, WatchResponse},
};

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has this value now.
    Put(Entry),
    /// It is gone.
    Deleted {
        /// The key.
        key: String,
        /// When.
        revision: Revision,
    },
}

/// Changes that were made together are in one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// etcd had this revision when it sent them.
    pub revision: Revision,
    /// The changes, the oldest first.
    pub events: Vec<Event>,
}

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    replies: Replies<WatchResponse>,
    /// What has arrived of a batch that etcd sends in parts.
    parts: Vec<Event>,
}

impl Watch {
    pub(super) async fn begin(
        connection: &mut Connection,
        prefix: &str,
        from: Revision,
    ) -> Result<Self, Error> {
        let create = WatchCreateRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: prefix_end(prefix),
            start_revision: from,
            // etcd says now and then how far it is, so that the revision to go on from after a
            // broken connection is a recent one even where nothing changes.
            progress_notify: true,
            // What does not fit into one message arrives in several.
            fragment: true,
        };
        let request = WatchRequest { create: Some(create) };
        let replies = connection.follow("Watch/Watch", &request).await?;
        let mut watch = Self { replies, parts: Vec::new() };
        // The first answer says that the watch has begun.
        watch.receive().await?;
        Ok(watch)
    }

    /// Waits for changes; a batch without any says how far etcd is.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// When the watch has ended; [`Error::Compacted`] if etcd has forgotten where it should begin.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        loop {
            let reply = self.receive().await?;
            self.parts.extend(reply.events.into_iter().filter_map(event));
            if !reply.fragment {
                let revision = reply.header.map_or(0, |header| header.revision);
                return Ok(Batch { revision, events: std::mem::take(&mut self.parts) });
            }
        }
    }

    async fn receive(&mut self) -> Result<WatchResponse, Error> {
        let reply = self.replies.next().await?;
        let reply = reply.ok_or_else(|| Error::Cancelled("the answer has ended".into()))?;
        if reply.compact_revision > 0 {
            return Err(Error::Compacted { oldest: reply.compact_revision });
        }
        if reply.canceled {
            return Err(Error::Cancelled(reply.cancel_reason));
        }
        Ok(reply)
    }
}

fn event(event: WatchEvent) -> Option<Event> {
    let entry = Entry::from(event.kv?);
    if event.kind == WatchEvent::DELETE {
        return Some(Event::Deleted { key: entry.key, revision: entry.revision });
    }
    Some(Event::Put(entry))
}
