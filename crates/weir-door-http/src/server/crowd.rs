//! A bounded number of connections: one too many ends the one whose client has kept it waiting the longest,
//! so that those who say nothing keep nobody out, and waits where all were heard of a moment ago.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// A client has this long to say something before it may have to go: a thousand that say nothing keep the
/// next one waiting for a second.
const GRACE: Duration = Duration::from_millis(250);

/// The connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Crowd {
    max_count: usize,
    /// A mutex: taken when a connection comes or goes, and twice a request.
    state: Arc<Mutex<State>>,
    /// Told where a place is given back, or a client is waited for again.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Those that wait for their clients first, in the order in which they began to; then those that are
    /// worked for.
    held: BTreeMap<(bool, u64), Held>,
}

struct Held {
    /// Its receiver hears that it is gone.
    keep: oneshot::Sender<()>,
    since: Instant,
}

/// A connection's place; given back when dropped.
pub(super) struct Place {
    crowd: Crowd,
    at: Mutex<(bool, u64)>,
}

/// Hears that a place went to somebody else.
pub(super) type Evicted = oneshot::Receiver<()>;

/// What is to be done about one connection more.
enum Turn {
    Enter(Place, Evicted),
    /// Nobody may have to go before.
    Wait(Instant),
    /// All are worked for.
    Full,
}

impl Crowd {
    /// At most so many.
    pub(super) fn new(max_count: usize) -> Self {
        Self {
            max_count,
            state: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// A place, once there is one.
    pub(super) async fn enter(&self) -> (Place, Evicted) {
        loop {
            let changed = self.changed.notified();
            match self.turn() {
                Turn::Enter(place, evicted) => return (place, evicted),
                Turn::Wait(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                },
                Turn::Full => changed.await,
            }
        }
    }

    fn turn(&self) -> Turn {
        let mut state = self.lock();
        let now = Instant::now();
        if state.held.len() >= self.max_count {
            match state.held.first_key_value() {
                Some(((false, _), oldest)) if now < oldest.since + GRACE => {
                    return Turn::Wait(oldest.since + GRACE);
                }
                Some(((false, _), _)) => drop(state.held.pop_first()),
                Some(((true, _), _)) | None => return Turn::Full,
            }
        }
        let (keep, evicted) = oneshot::channel();
        let at = (false, state.number());
        state.held.insert(at, Held { keep, since: now });
        drop(state);
        let place = Place {
            crowd: self.clone(),
            at: Mutex::new(at),
        };
        Turn::Enter(place, evicted)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Place {
    /// It is worked for from now on, or waits for its client again.
    pub(super) fn is_worked_for(&self, is_worked_for: bool) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.crowd.lock();
        if let Some(Held { keep, .. }) = state.held.remove(&at) {
            *at = (is_worked_for, state.number());
            let since = Instant::now();
            state.held.insert(*at, Held { keep, since });
        }
        drop(state);
        if !is_worked_for {
            self.crowd.changed.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let at = self.at.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.crowd.lock().held.remove(at);
        self.crowd.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_out(evicted: &mut Evicted) -> bool {
        evicted.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    /// Whether there is a place at once.
    fn entered(crowd: &Crowd) -> Option<(Place, Evicted)> {
        match crowd.turn() {
            Turn::Enter(place, evicted) => Some((place, evicted)),
            Turn::Wait(_) | Turn::Full => None,
        }
    }

    fn age(crowd: &Crowd) {
        let mut state = crowd.lock();
        let held = state.held.values_mut();
        held.for_each(|held| held.since -= GRACE);
    }

    #[test]
    fn one_too_many_ends_the_one_that_has_waited_for_its_client_the_longest() {
        let crowd = Crowd::new(3);
        let mut all: Vec<_> = (0..3).filter_map(|_| entered(&crowd)).collect();
        all[0].0.is_worked_for(true);
        assert!(entered(&crowd).is_none());
        age(&crowd);
        let _fourth = entered(&crowd).unwrap();
        let outs = |all: &mut [(Place, Evicted)]| -> Vec<bool> {
            all.iter_mut().map(|(_, evicted)| is_out(evicted)).collect()
        };
        assert_eq!(outs(&mut all), [false, true, false]);
        all[0].0.is_worked_for(false);
        all[2].0.is_worked_for(true);
        all[2].0.is_worked_for(false);
        age(&crowd);
        let _fifth = entered(&crowd).unwrap();
        let _sixth = entered(&crowd).unwrap();
        assert_eq!(outs(&mut all), [true, true, false]);
        assert_eq!(crowd.lock().held.len(), 3);
    }

    #[tokio::test]
    async fn where_all_are_worked_for_one_more_waits_until_one_of_them_is_not() {
        let crowd = Crowd::new(1);
        let (first, mut evicted) = entered(&crowd).unwrap();
        first.is_worked_for(true);
        age(&crowd);
        assert!(entered(&crowd).is_none() && !is_out(&mut evicted));
        let waiting = tokio::spawn({
            let crowd = crowd.clone();
            async move { crowd.enter().await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let (second, _evicted) = waiting.await.unwrap();
        drop(second);
        assert!(crowd.lock().held.is_empty());
    }
}
