//! What the connections of a node share.

use std::{fmt, sync::Arc};

use weir_broker::access::{AccessView, TokenView, TopicNames};
use weir_door::Entropy;
use weir_tls::PrincipalRules;

use super::{answer_budget::AnswerBudget, fetch_cache::FetchCache};

/// What all connections of a node share.
pub struct Shared {
    /// Fetch sessions.
    pub fetches: Arc<FetchCache>,
    /// Bytes of answers.
    pub answers: Arc<AnswerBudget>,
    /// Users and rules.
    pub access: AccessView,
    /// Topics.
    pub names: Arc<dyn TopicNames>,
    /// Makes the nonces of logins.
    pub entropy: Arc<dyn Entropy>,
    /// Whom certificates of clients name.
    pub principals: Arc<PrincipalRules>,
    /// Whose tokens are believed.
    pub tokens: TokenView,
}

impl Shared {
    /// Of connections that go by these users and rules.
    pub fn new(access: AccessView, names: Arc<dyn TopicNames>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            fetches: Arc::default(),
            answers: Arc::default(),
            access,
            names,
            entropy,
            principals: Arc::default(),
            tokens: TokenView::default(),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("fetches", &self.fetches)
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}

/// Topics as the node knows them.
pub struct TopicsOf(pub Arc<dyn TopicNames>);

impl fmt::Debug for TopicsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopicsOf")
    }
}
