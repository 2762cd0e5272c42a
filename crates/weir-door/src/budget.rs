//! One budget of request bytes for all connections of a node. A connection that finds it empty
//! stops reading; nothing fails.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The node's budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    free_bytes: Arc<Semaphore>,
    total_bytes: u32,
}

impl Budget {
    /// A budget of `total_bytes`, capped at 4 GiB - 1 and at least 1 byte.
    pub fn new(total_bytes: usize) -> Self {
        let total_bytes = u32::try_from(total_bytes).unwrap_or(u32::MAX).max(1);
        let permits = usize::try_from(total_bytes).expect("usize has 32 bits or more");
        Self {
            free_bytes: Arc::new(Semaphore::new(permits)),
            total_bytes,
        }
    }

    /// Bytes that no connection holds.
    pub fn free_bytes(&self) -> usize {
        self.free_bytes.available_permits()
    }

    /// A connection's share, empty at first.
    pub fn claim(&self) -> Claim {
        Claim {
            budget: self.clone(),
            held: None,
        }
    }
}

/// What one connection holds of the budget. Given back on drop.
#[derive(Debug)]
pub struct Claim {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

impl Claim {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Whether the claim holds `target_bytes`, or the whole budget where that is less.
    pub fn covers(&self, target_bytes: usize) -> bool {
        self.lacking(target_bytes) == 0
    }

    /// As [`Claim::grow_to`] without waiting. Returns whether the claim covers the target.
    pub fn try_grow_to(&mut self, target_bytes: usize) -> bool {
        let lacking = self.lacking(target_bytes);
        if lacking == 0 {
            return true;
        }
        match Arc::clone(&self.budget.free_bytes).try_acquire_many_owned(lacking) {
            Ok(more) => {
                self.add(more);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until the claim covers `target_bytes`. The caller asks for all that a frame will
    /// need before it reads on, so that no two connections wait for each other with half of
    /// their frames each. Cancel-safe.
    pub async fn grow_to(&mut self, target_bytes: usize) {
        let lacking = self.lacking(target_bytes);
        if lacking == 0 {
            return;
        }
        let free = Arc::clone(&self.budget.free_bytes);
        let more = free
            .acquire_many_owned(lacking)
            .await
            .expect("the budget's semaphore is never closed");
        self.add(more);
    }

    fn lacking(&self, target_bytes: usize) -> u32 {
        let target = u32::try_from(target_bytes)
            .unwrap_or(u32::MAX)
            .min(self.budget.total_bytes);
        target.saturating_sub(u32::try_from(self.bytes()).unwrap_or(u32::MAX))
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(permit) => permit.merge(more),
            None => self.held = Some(more),
        }
    }

    /// Gives back what is held over `target_bytes`.
    pub fn shrink_to(&mut self, target_bytes: usize) {
        let over = self.bytes().saturating_sub(target_bytes);
        if let Some(permit) = &mut self.held
            && over > 0
        {
            drop(permit.split(over));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_claim_waits_for_what_another_gives_back() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (budget.claim(), budget.claim());
        first.grow_to(80).await;
        let waiting = tokio::time::timeout(std::time::Duration::ZERO, second.grow_to(21)).await;
        assert!(waiting.is_err(), "21 of 20 free bytes were given");
        second.grow_to(20).await;
        assert_eq!(budget.free_bytes(), 0);
        first.shrink_to(10);
        second.grow_to(90).await;
        assert_eq!((first.bytes(), second.bytes()), (10, 90));
        drop((first, second));
        assert_eq!(budget.free_bytes(), 100);
    }

    #[tokio::test]
    async fn a_claim_over_the_budget_gets_all_of_it() {
        let budget = Budget::new(10);
        let mut claim = budget.claim();
        claim.grow_to(1000).await;
        assert_eq!(claim.bytes(), 10);
    }
}
