//! What the simulator promises of itself, and the kept plans of bugs that were found.

mod regressions;
mod seeded_bugs;
mod seeds;
