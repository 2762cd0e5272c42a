//! A replica far behind, beside the node that leads.

mod rules;
mod world;
