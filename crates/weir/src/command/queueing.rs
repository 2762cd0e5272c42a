//! What `weir queue`, `exchange`, `binding`, `vhost` and `policy` have in common: whom they ask, and
//! how they answer.

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use weir_broker::queue_admin::{QueueAdminAnswer, QueueAdminRequest};

use super::node_arguments::{NodeArguments, Refused, pages};

/// The node that is asked, and the virtual host.
#[derive(Debug, Args)]
pub(crate) struct QueueingArguments {
    /// The virtual host.
    #[arg(long, global = true, default_value = "/", value_name = "NAME")]
    pub(crate) vhost: String,
    #[command(flatten)]
    node: NodeArguments,
}

impl QueueingArguments {
    /// Asks the node; a refusal is an error.
    pub(crate) fn ask(&self, request: &QueueAdminRequest) -> anyhow::Result<QueueAdminAnswer> {
        let answer = self
            .node
            .call(request.to_call(), QueueAdminAnswer::decode)?;
        if let QueueAdminAnswer::Refused(refusal) = answer {
            return Err(Refused(refusal.reason).into());
        }
        Ok(answer)
    }

    /// All rows, page after page. `rows`: those of a page; `last`: what stands for its last one.
    pub(crate) fn pages<R, L>(
        &self,
        request: impl Fn(Option<L>) -> QueueAdminRequest,
        rows: impl Fn(QueueAdminAnswer) -> Option<Vec<R>>,
        last: impl Fn(&R) -> L,
    ) -> anyhow::Result<Vec<R>> {
        pages(|after| self.ask(&request(after)), rows, last)
    }

    /// Says what there is or was done: in words, or as JSON.
    pub(crate) fn tell<T: Serialize>(&self, answer: &T, words: &str) -> anyhow::Result<()> {
        self.node.tell(answer, words)
    }

    /// Asks for something to be done, and says that it is.
    pub(crate) fn change(&self, request: &QueueAdminRequest, done: &str) -> anyhow::Result<()> {
        let answer = self.ask(request)?;
        let words = if let QueueAdminAnswer::Counted { messages } = &answer {
            format!("{done}: {messages} messages\n")
        } else {
            format!("{done}\n")
        };
        self.tell(&answer, &words)
    }
}

/// `NAME=VALUE`, where the value is JSON, or else a text as it stands.
pub(crate) fn argument(text: &str) -> Result<(String, Value), String> {
    let (name, value) = super::client_arguments::name_value(text)?;
    let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
    Ok((name, value))
}

pub(crate) fn map(arguments: &[(String, Value)]) -> Map<String, Value> {
    arguments.iter().cloned().collect()
}

/// Arguments on one line.
pub(crate) fn line(arguments: &Map<String, Value>) -> String {
    let each = arguments.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    match arguments.is_empty() {
        true => "-".to_owned(),
        false => each.collect::<Vec<_>>().join(" "),
    }
}

pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

pub(crate) fn flags(named: &[(bool, &str)]) -> String {
    let set = named.iter().filter(|(is_set, _)| *is_set);
    let set: Vec<&str> = set.map(|(_, name)| *name).collect();
    match set.is_empty() {
        true => "-".to_owned(),
        false => set.join(","),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_argument_is_json_where_it_can_be_and_text_otherwise() {
        for (text, name, value) in [
            ("x-message-ttl=1000", "x-message-ttl", json!(1000)),
            ("x-queue-type=quorum", "x-queue-type", json!("quorum")),
            ("a=true", "a", json!(true)),
            ("a=\"7\"", "a", json!("7")),
            ("a=b=c", "a", json!("b=c")),
        ] {
            assert_eq!(argument(text), Ok((name.to_owned(), value)));
        }
        assert!(argument("nothing").is_err());
        assert_eq!(line(&map(&[("a".to_owned(), json!(1))])), "a=1");
    }
}
