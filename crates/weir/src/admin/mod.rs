//! What an operator's tools ask over HTTP: is it alive, is it ready, how is it.

mod http;
mod metrics;
mod page;
mod process;
mod watched;

pub(crate) use http::Site;
pub(crate) use watched::Watched;
