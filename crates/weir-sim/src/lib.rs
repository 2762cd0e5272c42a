//! The seeded simulator: production code of the log and the node over a simulated disk and
//! clock, single-threaded, from one seed. Same seed, same trace hash, always.

pub mod world;
