//! A replica far behind, beside the node that leads.

mod bodies;
mod rules;
mod world;
