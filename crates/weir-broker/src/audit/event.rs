//! One thing that happened, as it is noted and as it is written.

use serde::Serialize;
use serde_json::Value;
use weir_access::Principal;
use weir_model::NodeId;

use super::requester::Requester;

/// Longest text of an event, in bytes: names may be as long as a client likes.
const MAX_TEXT_BYTES: usize = 512;
/// Longest detail of an event, written, in bytes.
const MAX_DETAIL_BYTES: usize = 4 << 10;
/// Who acts through a port that knows no users: `weir` at a node's peer port.
pub(super) const OPERATOR: &str = "operator";
/// Words of requests that say nothing that may be known.
const SECRETS: [&str; 2] = ["verifiers", "seed"];

/// Something that happened. Never holds what lets anybody log in.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Who did it, by the name by which ACLs know users.
    pub principal: String,
    /// From where; empty where that is not known.
    pub peer: String,
    /// What was done, or tried: a word.
    pub action: String,
    /// To what.
    pub resource: String,
    /// `success`, or why not.
    pub result: String,
    /// More of what was asked for.
    pub detail: Option<Value>,
}

/// The result of what was done.
pub(super) const SUCCESS: &str = "success";

impl AuditEvent {
    /// Somebody did something, or tried to.
    pub fn new(principal: &Principal, peer: &str, action: &str, resource: &str) -> Self {
        Self {
            principal: cut(principal.name()),
            peer: cut(peer),
            action: cut(action),
            resource: cut(resource),
            result: SUCCESS.to_owned(),
            detail: None,
        }
    }

    /// It failed.
    #[must_use]
    pub fn failed(mut self, why: &str) -> Self {
        self.result = cut(why);
        self
    }

    /// A request of a person's: its word is the action, what it says but secrets the detail.
    pub(crate) fn requested(by: &Requester, request: &impl Serialize) -> Self {
        let mut event = Self {
            principal: match by.name() {
                "" => OPERATOR.to_owned(),
                name => cut(name),
            },
            peer: cut(by.peer()),
            action: String::new(),
            resource: String::new(),
            result: SUCCESS.to_owned(),
            detail: None,
        };
        let Ok(Value::Object(mut said)) = serde_json::to_value(request) else {
            return event;
        };
        SECRETS.iter().for_each(|secret| drop(said.remove(*secret)));
        if let Some(Value::String(word)) = said.remove("request") {
            event.action = word;
        }
        let named = ["name", "user", "node", "vhost", "entity"].into_iter();
        let mut named = named.filter_map(|key| said.get(key));
        event.resource = match named.next() {
            Some(Value::String(name)) => cut(name),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let detail = Value::Object(said);
        let is_short = detail.to_string().len() <= MAX_DETAIL_BYTES;
        event.detail = is_short.then_some(detail);
        event
    }

    /// A node has become a member, or is one already.
    pub(crate) fn joined(node: NodeId, peer_address: &str) -> Self {
        Self {
            principal: OPERATOR.to_owned(),
            peer: cut(peer_address),
            action: "join".to_owned(),
            resource: format!("node {node}"),
            result: SUCCESS.to_owned(),
            detail: None,
        }
    }

    /// Bytes that it stands for in memory.
    pub(super) fn size_bytes(&self) -> usize {
        let texts = [
            &self.principal,
            &self.peer,
            &self.action,
            &self.resource,
            &self.result,
        ];
        let detail = self.detail.as_ref().map_or(0, |_| MAX_DETAIL_BYTES);
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>() + detail
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(tag = "request", rename_all = "snake_case")]
    enum Request {
        SetPassword {
            name: String,
            verifiers: Vec<String>,
        },
    }

    #[test]
    fn a_request_is_told_without_what_checks_passwords() {
        let request = Request::SetPassword {
            name: "alice".to_owned(),
            verifiers: vec!["stored key".to_owned()],
        };
        let event = AuditEvent::requested(&Requester::default(), &request);
        assert_eq!(event.principal, OPERATOR);
        assert_eq!(event.action, "set_password");
        assert_eq!(event.resource, "alice");
        assert_eq!(event.detail, Some(serde_json::json!({ "name": "alice" })));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let long = "ü".repeat(1_000);
        let event = AuditEvent::new(&Principal::Anonymous, "", "login", &long);
        assert_eq!(event.resource.len(), MAX_TEXT_BYTES);
    }
}
