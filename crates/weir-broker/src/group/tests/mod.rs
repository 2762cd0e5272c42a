//! The coordinator under requests, time and damage.

mod formats;
mod limits;
mod random;
mod rules;
mod timing;
mod world;
