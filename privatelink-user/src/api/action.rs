//! What a request is called in the audit log, and what it asks for.

use serde_json::{Value, json};

use super::request::{Request, Write};
use crate::{
    digest::sha256,
    objects::Step,
    state::{
        connection::Decision,
        objects::{Content, ObjectName},
    },
};

/// The most objects of one request of which the audit log shows the content; of more, it shows
/// digests.
const SHOWN: usize = 16;

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
            Request::Write(write, _) => write.action(),
            Request::Reload(adopt, _) => plain(if *adopt { "reload --adopt" } else { "reload" }),
            Request::Grow(_) => plain("grow"),
            Request::Down(_) => plain("down"),
            Request::MakeKey(wanted, _) => {
                Some(Self { word: "key create", object: None, new: Some(json!(wanted)) })
            }
            Request::RevokeKey(id, _) => {
                Some(Self { word: "key revoke", object: Some(id.to_string()), new: None })
            }
            Request::RotateSiteKey(force, _) => Some(Self {
                word: "site rotate",
                object: None,
                new: Some(json!({ "force": force })),
            }),
            Request::Reader(_)
            | Request::Status(..)
            | Request::Networks(_)
            | Request::Names(..)
            | Request::Services(..)
            | Request::Endpoints(_)
            | Request::Service(..)
            | Request::Endpoint(..)
            | Request::Objects(_)
            | Request::Targets(..)
            | Request::Catalogue(_)
            | Request::Flows(..)
            | Request::Whois(..)
            | Request::Fleet(_)
            | Request::Connections(_)
            | Request::Connection(..)
            | Request::Events(..)
            | Request::Follow(_)
            | Request::Test(..)
            | Request::Metrics(..)
            | Request::Plan(..)
            | Request::Keys(_)
            | Request::Sites(_)
            | Request::Audit(_) => None,
        }
    }
}

impl Write {
    /// What it does; `None` if it only asks what it would do.
    fn action(&self) -> Option<Action> {
        if self.dry_run {
            return None;
        }
        let word = match self.steps.as_slice() {
            [Step::Put(..)] => "put",
            [Step::Delete(_)] => "delete",
            [Step::Register(..)] => "register",
            [Step::Deregister(..)] => "deregister",
            _ => "apply",
        };
        let objects = match self.steps.as_slice() {
            [one] => Some(one.object().to_string()),
            _ => None,
        };
        let with_content = self.steps.len() <= SHOWN;
        let new = self.steps.iter().map(|step| described(step, with_content));
        Some(Action { word, object: objects, new: Some(list(new)) })
    }

    /// What is there before it. `content` knows the objects that the caller may see.
    pub fn before<'a>(&self, content: impl Fn(&ObjectName) -> Option<&'a Content>) -> Value {
        let with_content = self.steps.len() <= SHOWN;
        list(self.steps.iter().filter_map(|step| {
            let object = step.object();
            content(&object).map(|content| shown(&object, content, with_content))
        }))
    }
}

fn list(objects: impl Iterator<Item = Value>) -> Value {
    json!({ "objects": objects.collect::<Vec<_>>() })
}

fn shown(object: &ObjectName, content: &Content, whole: bool) -> Value {
    let object = object.to_string();
    if whole {
        return json!({ "object": object, "content": content });
    }
    json!({ "object": object, "sha256": sha256(json!(content).to_string().as_bytes()) })
}

fn described(step: &Step, with_content: bool) -> Value {
    let object = step.object().to_string();
    match step {
        Step::Put(name, content) => shown(name, content, with_content),
        Step::Delete(_) => json!({ "object": object, "content": null }),
        Step::Register(_, address, keys) => {
            json!({ "object": object, "target": address, "content": keys })
        }
        Step::Deregister(_, address) => {
            json!({ "object": object, "target": address, "content": null })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::request::Reply,
        state::objects::{Kind, ObjectName},
    };

    fn web() -> ObjectName {
        ObjectName { kind: Kind::Service, name: "web".parse().unwrap() }
    }

    fn action(steps: Vec<Step>, dry_run: bool) -> Option<Action> {
        let write = Write { steps, condition: Default::default(), key: None, dry_run };
        Action::of(&Request::Write(write, Reply::channel().0))
    }

    #[test]
    fn a_write_is_described_with_its_content_and_a_dry_run_is_none() {
        let content = json!({ "network": "vendor" }).as_object().cloned().unwrap();
        let put = Step::Put(web(), content.clone());
        assert_eq!(action(vec![put.clone()], true), None);
        let one = action(vec![put.clone()], false).unwrap();
        assert_eq!((one.word, one.object.as_deref()), ("put", Some("the service `web`")));
        assert_eq!(one.new.unwrap()["objects"][0]["content"]["network"], "vendor");
        let many = action(vec![put; SHOWN + 1], false).unwrap();
        assert_eq!((many.word, many.object), ("apply", None));
        let digest = sha256(json!(content).to_string().as_bytes());
        assert_eq!(many.new.unwrap()["objects"][0]["sha256"], digest);
        let removed = action(vec![Step::Deregister(web().name, "10.0.0.10".into())], false);
        let removed = &removed.unwrap().new.unwrap()["objects"];
        assert_eq!(
            (&removed[0]["target"], &removed[0]["content"]),
            (&json!("10.0.0.10"), &json!(null))
        );
    }
}
