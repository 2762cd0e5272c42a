//! The simulated outside of a node: disk, clock and random numbers, all from one seed.

mod clock;
mod counts;
pub mod disk;
mod entropy;
mod rng;
mod trace;

pub use clock::SimClock;
pub use counts::Counts;
pub use entropy::SimEntropy;
pub use rng::Rng;
pub use trace::Trace;
