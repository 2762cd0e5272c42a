//! Virtual hosts and their policies.

use weir_access::acl::Operation;
use weir_broker::queue_admin::{PolicyRow, VhostRow};

use super::table::schema;
use crate::routing::route::{Act, Body, Gives, Right, Route, Verb, Word};

const CHANGE: &[Right] = &[Right::Cluster(Operation::Alter)];
const OPERATORS: &[(&str, bool)] = &[("operator", true)];
const USERS: &[(&str, bool)] = &[("operator", false)];

// Table: one route an entry.
pub(super) const ROUTES: [Route; 13] = [
    Route {
        id: "listVhosts",
        verb: Verb::Get,
        path: "/vhosts",
        summary: "Virtual hosts, by name.",
        rights: &[Right::VhostsShown],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<VhostRow>, &["name"]),
        act: Act::Queue(Word::new("list_vhosts")),
    },
    Route {
        id: "getVhost",
        verb: Verb::Get,
        path: "/vhosts/{vhost}",
        summary: "A virtual host.",
        rights: &[Right::Vhost],
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<VhostRow>),
        act: Act::Queue(Word::new("list_vhosts").only("vhost")),
    },
    Route {
        id: "putVhost",
        verb: Verb::Put,
        path: "/vhosts/{vhost}",
        summary: "Makes a virtual host, or changes what is said of it.",
        rights: CHANGE,
        query: &[],
        body: Body::Word,
        gives: Gives::Declared,
        act: Act::Queue(Word::new("declare_vhost").renamed("vhost", "name")),
    },
    Route {
        id: "putVhostLimits",
        verb: Verb::Put,
        path: "/vhosts/{vhost}/limits",
        summary: "Sets all limits of a virtual host; none where it is not named.",
        rights: CHANGE,
        query: &[],
        body: Body::Word,
        gives: Gives::Nothing,
        act: Act::Queue(Word::new("set_vhost_limits").renamed("vhost", "name")),
    },
    Route {
        id: "deleteVhost",
        verb: Verb::Delete,
        path: "/vhosts/{vhost}",
        summary: "Deletes a virtual host, with all that is in it.",
        rights: CHANGE,
        query: &[],
        body: Body::None,
        gives: Gives::Nothing,
        act: Act::Queue(Word::new("delete_vhost").renamed("vhost", "name")),
    },
    policies("listPolicies", "/vhosts/{vhost}/policies", USERS),
    policy("getPolicy", "/vhosts/{vhost}/policies/{name}", USERS),
    put_policy("putPolicy", "/vhosts/{vhost}/policies/{name}", USERS),
    delete_policy("deletePolicy", "/vhosts/{vhost}/policies/{name}", USERS),
    policies(
        "listOperatorPolicies",
        "/vhosts/{vhost}/operator-policies",
        OPERATORS,
    ),
    policy(
        "getOperatorPolicy",
        "/vhosts/{vhost}/operator-policies/{name}",
        OPERATORS,
    ),
    put_policy(
        "putOperatorPolicy",
        "/vhosts/{vhost}/operator-policies/{name}",
        OPERATORS,
    ),
    delete_policy(
        "deleteOperatorPolicy",
        "/vhosts/{vhost}/operator-policies/{name}",
        OPERATORS,
    ),
];

type Whose = &'static [(&'static str, bool)];

const fn policies(id: &'static str, path: &'static str, whose: Whose) -> Route {
    Route {
        id,
        verb: Verb::Get,
        path,
        summary: "Policies of a virtual host, by name.",
        rights: &[Right::Vhost],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<PolicyRow>, &["name"]),
        act: Act::Queue(Word::new("list_policies").with(whose)),
    }
}

const fn policy(id: &'static str, path: &'static str, whose: Whose) -> Route {
    Route {
        summary: "A policy.",
        gives: Gives::One(schema::<PolicyRow>),
        act: Act::Queue(Word::new("list_policies").with(whose).only("name")),
        ..policies(id, path, whose)
    }
}

const fn put_policy(id: &'static str, path: &'static str, whose: Whose) -> Route {
    Route {
        id,
        verb: Verb::Put,
        path,
        summary: "Sets a policy.",
        rights: CHANGE,
        query: &[],
        body: Body::Word,
        gives: Gives::Declared,
        act: Act::Queue(Word::new("declare_policy").with(whose)),
    }
}

const fn delete_policy(id: &'static str, path: &'static str, whose: Whose) -> Route {
    Route {
        verb: Verb::Delete,
        summary: "Deletes a policy, where it is there.",
        body: Body::None,
        gives: Gives::Nothing,
        act: Act::Queue(Word::new("delete_policy").with(whose)),
        ..put_policy(id, path, whose)
    }
}
