//! Several answers that are sent as one, after some time at the latest.

use std::sync::Arc;

use crate::{
    gather::Gather,
    purgatory::{LimitKey, Purgatory},
};

/// A [`Gather`] with a limit that ends with the last answer.
pub(crate) struct Limited<T> {
    answers: Arc<Gather<T>>,
    limit: Option<(Arc<Purgatory>, LimitKey)>,
}

impl<T> Clone for Limited<T> {
    fn clone(&self) -> Self {
        Self {
            answers: Arc::clone(&self.answers),
            limit: self.limit.clone(),
        }
    }
}

impl<T: Clone + Send + 'static> Limited<T> {
    /// Without a limit.
    pub(crate) fn endless(answers: Gather<T>) -> Self {
        Self {
            answers: Arc::new(answers),
            limit: None,
        }
    }

    /// Sends what is there at `give_up`.
    pub(crate) fn until(
        answers: Gather<T>,
        purgatory: &Arc<Purgatory>,
        give_up: weir_log::Millis,
    ) -> Self {
        let answers = Arc::new(answers);
        let expiring = Arc::clone(&answers);
        let key = purgatory.limit(give_up, Box::new(move || expiring.expire()));
        Self {
            answers,
            limit: Some((Arc::clone(purgatory), key)),
        }
    }

    /// Puts the answer of part `at`: once per part.
    pub(crate) fn settle(&self, at: usize, answer: T) {
        if self.answers.is_settled_by(at, answer)
            && let Some((purgatory, key)) = &self.limit
        {
            purgatory.lift(*key);
        }
    }
}
