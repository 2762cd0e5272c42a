//! The leader epoch that clients are told.

use weir_model::{GroupId, Term};

use super::transient;
use crate::Node;

impl Node {
    /// The last term in which somebody is known to have led the group.
    ///
    /// Clients keep the highest epoch that they were told. Told of a term that nobody wins, they
    /// would take the real leader for an old one; and librdkafka may stay with the wrong node where
    /// two nodes tell it different leaders in the same epoch, as voters do that have not heard of
    /// the new leader yet (its issues 4796 and 5593).
    pub(crate) fn epoch_of(&self, group: GroupId) -> Term {
        if group.is_transient() {
            return transient::TERM;
        }
        let known = self.views.lock().groups.get(&group).map(|view| view.term);
        self.status(group).led_term().max(known.unwrap_or_default())
    }
}
