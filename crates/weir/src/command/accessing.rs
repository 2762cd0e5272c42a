//! What `weir user`, `weir acl` and `weir quota` have in common: how they ask, and how they answer.

use clap::Args;
use serde::Serialize;
use weir_broker::access_admin::{AccessAdminAnswer, AccessAdminRequest};

use super::node_arguments::{NodeArguments, Refused, pages};

/// The node that is asked.
#[derive(Debug, Args)]
pub(crate) struct AccessingArguments {
    #[command(flatten)]
    node: NodeArguments,
}

impl AccessingArguments {
    /// Asks the node; a refusal is an error.
    pub(crate) fn ask(&self, request: &AccessAdminRequest) -> anyhow::Result<AccessAdminAnswer> {
        let answer = self
            .node
            .call(request.to_call(), AccessAdminAnswer::decode)?;
        if let AccessAdminAnswer::Refused(refusal) = answer {
            return Err(Refused(refusal.reason).into());
        }
        Ok(answer)
    }

    /// All rows, page after page. `rows`: those of a page; `last`: what stands for its last one.
    pub(crate) fn pages<R, L>(
        &self,
        request: impl Fn(Option<L>) -> AccessAdminRequest,
        rows: impl Fn(AccessAdminAnswer) -> Option<Vec<R>>,
        last: impl Fn(&R) -> L,
    ) -> anyhow::Result<Vec<R>> {
        pages(|after| self.ask(&request(after)), rows, last)
    }

    /// Says what there is: in words, or as JSON.
    pub(crate) fn tell<T: Serialize>(&self, answer: &T, words: &str) -> anyhow::Result<()> {
        self.node.tell(answer, words)
    }

    /// Asks for something to be done, and says that it is.
    pub(crate) fn change(&self, request: &AccessAdminRequest, done: &str) -> anyhow::Result<()> {
        let answer = self.ask(request)?;
        let words = if let AccessAdminAnswer::Counted { acls } = &answer {
            format!("{done}: {acls}\n")
        } else {
            format!("{done}\n")
        };
        self.tell(&answer, &words)
    }
}
