//! The answers to requests that carried a key of their own, so that a request that is sent again
//! is answered again and not executed again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::timestamp::Timestamp;

/// How many answers are remembered of one user; older ones are forgotten.
const OF_ONE: usize = 128;

/// The latest answers, by the request that they answer.
pub type Replies = BTreeMap<ReplyKey, StoredReply>;

/// A request, as the client that sent it names it. Keys of two users do not meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplyKey {
    /// The user, as decisions are recorded.
    pub user: String,
    /// The key that the user chose.
    pub key: String,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReply {
    /// When.
    pub at: Timestamp,
    /// Tells what was asked for: another request under the same key is a mistake.
    pub asked: u64,
    /// The answer, in JSON.
    pub answer: Value,
}

/// Remembers an answer, and forgets the user's oldest ones beyond what there is room for.
pub fn remember(replies: &mut Replies, key: ReplyKey, reply: StoredReply) {
    let user = key.user.clone();
    replies.insert(key, reply);
    let mut own: Vec<(Timestamp, ReplyKey)> = replies
        .iter()
        .filter(|(key, _)| key.user == user)
        .map(|(key, reply)| (reply.at, key.clone()))
        .collect();
    own.sort();
    let surplus = own.len().saturating_sub(OF_ONE);
    for (_, key) in own.into_iter().take(surplus) {
        replies.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answers_of_a_user_are_forgotten() {
        let mut replies = Replies::new();
        let key = |user: &str, key: u64| ReplyKey { user: user.into(), key: key.to_string() };
        let reply =
            |at| StoredReply { at: Timestamp::from_millis(at), asked: at, answer: Value::Null };
        remember(&mut replies, key("other", 0), reply(0));
        let all = OF_ONE as u64 + 3;
        for at in 0..all {
            remember(&mut replies, key("one", at), reply(at));
        }
        assert_eq!(replies.len(), OF_ONE + 1);
        assert!(!replies.contains_key(&key("one", 2)) && replies.contains_key(&key("one", 3)));
        assert!(replies.contains_key(&key("other", 0)));
    }
}
