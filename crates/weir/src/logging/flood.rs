//! Lines that would repeat thousands of times a second are cut to some a second each: a client
//! that fails in a loop must not fill a disk with it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Time over which lines are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Most lines of one place in the code in that time.
const MAX_LINES_COUNT: u64 = 100;
/// Most places that are counted; further ones are not limited.
const MAX_PLACES_COUNT: usize = 4_096;

/// A place in the code, by file and line.
type Place = (&'static str, u32);

#[derive(Debug)]
struct Counted {
    since: Instant,
    lines_count: u64,
    left_out_count: u64,
}

/// Counts lines by the place in the code that writes them. Clones share the counts.
///
/// A mutex: only what is about to be written to stderr, under its own lock, comes here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flood {
    places: Arc<Mutex<BTreeMap<Place, Counted>>>,
}

/// Lines of one place that were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) count: u64,
}

impl Flood {
    fn passes(&self, place: Place, now: Instant) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MAX_PLACES_COUNT && !places.contains_key(&place) {
            return true;
        }
        let counted = places.entry(place).or_insert(Counted {
            since: now,
            lines_count: 0,
            left_out_count: 0,
        });
        if now.saturating_duration_since(counted.since) >= WINDOW {
            counted.since = now;
            counted.lines_count = 0;
        }
        counted.lines_count += 1;
        let passes = counted.lines_count <= MAX_LINES_COUNT;
        counted.left_out_count += u64::from(!passes);
        passes
    }

    /// What was left out since this was asked before.
    pub(crate) fn take_left_out(&self) -> Vec<LeftOut> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = places.iter_mut().filter(|(_, it)| it.left_out_count > 0);
        taken
            .map(|((file, line), counted)| LeftOut {
                file,
                line: *line,
                count: std::mem::take(&mut counted.left_out_count),
            })
            .collect()
    }
}

impl<S> Filter<S> for Flood {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // What asks for an operator is always told.
        if *metadata.level() == Level::ERROR {
            return true;
        }
        match (metadata.file(), metadata.line()) {
            (Some(file), Some(line)) => self.passes((file, line), Instant::now()),
            (_, _) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_cut_at_its_limit_and_goes_on_in_the_next_window() {
        let flood = Flood::default();
        let (begin, here, there) = (Instant::now(), ("a.rs", 1), ("a.rs", 2));
        let passed = |now: Instant, count: u64| {
            let passed = (0..count).filter(|_| flood.passes(here, now)).count();
            u64::try_from(passed).unwrap()
        };
        assert_eq!(passed(begin, MAX_LINES_COUNT), MAX_LINES_COUNT);
        assert_eq!(passed(begin, 7), 0);
        assert!(flood.passes(there, begin));
        let (file, line) = here;
        assert_eq!(
            flood.take_left_out(),
            [LeftOut {
                file,
                line,
                count: 7
            }]
        );
        assert_eq!(flood.take_left_out(), []);
        assert_eq!(passed(begin + WINDOW, MAX_LINES_COUNT + 1), MAX_LINES_COUNT);
    }
}
