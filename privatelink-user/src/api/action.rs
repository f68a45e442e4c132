//! What a request is called in the audit log, and what it asks for.

use serde_json::{Value, json};

use super::request::Request;
use crate::state::connection::Decision;

/// A request in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What is done.
    pub word: &'static str,
    /// To which object.
    pub object: Option<String>,
    /// What is asked for. Secrets are not part of it.
    pub new: Option<Value>,
}

impl Action {
    /// What a request would change; `None` if it changes nothing.
    pub fn of(request: &Request) -> Option<Self> {
        let plain = |word| Some(Self { word, object: None, new: None });
        match request {
            Request::Decide(endpoint, decision, reason, _) => {
                let (word, period) = match decision {
                    Decision::Accept { period } => ("accept", period.map(|one| one.as_secs())),
                    Decision::Reject => ("reject", None),
                    Decision::Request => ("request", None),
                };
                let mut new = json!({ "reason": reason });
                if let Some(period) = period {
                    new["for_seconds"] = period.into();
                }
                Some(Self { word, object: Some(endpoint.clone()), new: Some(new) })
            }
            Request::Reload(_) => plain("reload"),
            Request::Grow(_) => plain("grow"),
            Request::Down(_) => plain("down"),
            Request::MakeKey(wanted, _) => {
                Some(Self { word: "key create", object: None, new: Some(json!(wanted)) })
            }
            Request::RevokeKey(id, _) => {
                Some(Self { word: "key revoke", object: Some(id.to_string()), new: None })
            }
            Request::Reader(_)
            | Request::Status(..)
            | Request::Networks(_)
            | Request::Names(..)
            | Request::Services(..)
            | Request::Endpoints(_)
            | Request::Targets(..)
            | Request::Flows(..)
            | Request::Whois(..)
            | Request::Connections(_)
            | Request::Connection(..)
            | Request::Events(..)
            | Request::Follow(_)
            | Request::Metrics(..)
            | Request::Plan(..)
            | Request::Keys(_)
            | Request::Audit(_) => None,
        }
    }
}
