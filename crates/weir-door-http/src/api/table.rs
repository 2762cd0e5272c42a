//! The whole table, and how a line of it is carried out.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    acls,
    call::{Answer, Call},
    cluster, configs, groups, queues, quotas, topics, users, vhosts, word,
};
use crate::routing::{
    problem::Problem,
    query::{Kind, Parameter},
    route::{Act, Route},
};

/// All routes, by resource.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    let all: [&'static [Route]; 9] = [
        &topics::ROUTES,
        &groups::ROUTES,
        &configs::ROUTES,
        &vhosts::ROUTES,
        &queues::ROUTES,
        &users::ROUTES,
        &acls::ROUTES,
        &quotas::ROUTES,
        &cluster::ROUTES,
    ];
    all.into_iter().flatten()
}

/// Carries a request out.
pub(crate) async fn act(call: Call) -> Result<Answer, Problem> {
    match call.route.act {
        Act::Queue(word) => word::queue(call, word).await,
        Act::Access(word) => word::access(call, word).await,
        Act::Own(act) => act(call).await,
    }
}

/// The schema of a type, for the table.
pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A parameter that is a name.
pub(super) const fn text(name: &'static str, doc: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Text,
        doc,
    }
}

/// A parameter that is true or false.
pub(super) const fn flag(name: &'static str, doc: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Flag,
        doc,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routing::{
        path,
        route::{Body, Verb},
    };

    #[test]
    fn a_route_is_there_once_and_says_what_it_does_and_wants() {
        let (mut ids, mut lines) = (BTreeSet::new(), BTreeSet::new());
        for route in all() {
            assert!(ids.insert(route.id), "{}", route.id);
            assert!(lines.insert((route.path, route.verb)), "{}", route.path);
            assert!(route.summary.ends_with('.'), "{}", route.id);
            assert!(!route.rights.is_empty(), "{}", route.id);
            assert!(route.path.starts_with('/') && !route.path.ends_with('/'));
            let names: Vec<&str> = path::parameters(route.path).collect();
            let once: BTreeSet<&&str> = names.iter().collect();
            assert_eq!(once.len(), names.len(), "{}", route.id);
            let has_body = !matches!(route.body, Body::None);
            assert!(!has_body || route.verb != Verb::Get, "{}", route.id);
        }
    }

    #[test]
    fn no_two_routes_mean_the_same_address() {
        let shape = |path: &'static str| {
            let words = path.split('/');
            let words = words.map(|word| match path::parameter(word) {
                Some(_) => "*",
                None => word,
            });
            words.collect::<Vec<_>>().join("/")
        };
        let shapes: BTreeSet<_> = all().map(|route| (shape(route.path), route.verb)).collect();
        assert_eq!(shapes.len(), all().count());
    }
}
