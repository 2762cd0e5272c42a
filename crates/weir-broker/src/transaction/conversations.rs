//! Which connection spoke last for a transactional id: what comes on an earlier one is late.
//!
//! A client that does not raise its epoch with each transaction (all of them before KIP-890) uses
//! one epoch for many. Its request that was held up on the way, and was sent again on a new
//! connection meanwhile, would count for a later transaction, and tear it: half of it would be
//! committed, or an offset set back. Connections are numbered as they are taken, so the late request
//! is the one on the lower number.

use std::collections::BTreeMap;

use weir_model::ErrorKind;

use super::table::MAX_TRANSACTIONAL_IDS;

/// The last connections of a shard's transactional ids. Known to this node alone: another one has
/// none of the client's earlier connections.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    newest: BTreeMap<String, u64>,
}

impl Conversations {
    /// Takes note of a request for `id` on the node's connection number `connection`.
    ///
    /// Errors: `InvalidTxnState` where a later connection has spoken for the id before.
    pub(crate) fn hear(&mut self, id: &str, connection: u64) -> Result<(), ErrorKind> {
        if let Some(newest) = self.newest.get_mut(id) {
            if connection < *newest {
                return Err(ErrorKind::InvalidTxnState);
            }
            *newest = connection;
            return Ok(());
        }
        if self.newest.len() >= MAX_TRANSACTIONAL_IDS {
            self.forget_older_half();
        }
        self.newest.insert(id.to_owned(), connection);
        Ok(())
    }

    fn forget_older_half(&mut self) {
        let mut numbers: Vec<u64> = self.newest.values().copied().collect();
        let middle = numbers.len() / 2;
        let (_, median, _) = numbers.select_nth_unstable(middle);
        let median = *median;
        self.newest.retain(|_, number| *number > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_on_an_earlier_connection_is_late() {
        let mut conversations = Conversations::default();
        assert_eq!(conversations.hear("a", 5), Ok(()));
        assert_eq!(conversations.hear("a", 5), Ok(()));
        assert_eq!(conversations.hear("a", 7), Ok(()));
        assert_eq!(conversations.hear("a", 5), Err(ErrorKind::InvalidTxnState));
        assert_eq!(conversations.hear("b", 5), Ok(()));
    }

    #[test]
    fn the_oldest_are_forgotten_past_the_limit() {
        let mut conversations = Conversations::default();
        let last = MAX_TRANSACTIONAL_IDS as u64;
        for number in 0..=last {
            assert_eq!(conversations.hear(&number.to_string(), number), Ok(()));
        }
        assert!(conversations.newest.len() <= MAX_TRANSACTIONAL_IDS);
        let newest = last.to_string();
        assert_eq!(
            conversations.hear(&newest, last - 1),
            Err(ErrorKind::InvalidTxnState)
        );
    }
}
