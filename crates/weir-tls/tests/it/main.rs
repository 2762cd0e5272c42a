//! Certificates as they are made by others.

#![allow(clippy::unwrap_used)]

mod files;
mod identities;
