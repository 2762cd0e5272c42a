//! Quotas of users and clients.

use weir_access::acl::Operation;
use weir_broker::access_admin::QuotaRow;

use super::table::schema;
use crate::routing::route::{Act, Body, Gives, Right, Route, Verb, Word};

pub(super) const ROUTES: [Route; 2] = [
    Route {
        id: "listQuotas",
        verb: Verb::Get,
        path: "/quotas",
        summary: "Quotas of users, clients and defaults.",
        rights: &[Right::Cluster(Operation::DescribeConfigs)],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<QuotaRow>, &["entity"]),
        act: Act::Access(Word::new("list_quotas")),
    },
    Route {
        id: "changeQuotas",
        verb: Verb::Patch,
        path: "/quotas",
        summary: "Sets quotas of a user, a client or a default, and takes those away that are null.",
        rights: &[Right::Cluster(Operation::AlterConfigs)],
        query: &[],
        body: Body::Word,
        gives: Gives::Nothing,
        act: Act::Access(Word::new("alter_quota")),
    },
];
