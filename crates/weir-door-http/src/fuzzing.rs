//! What fuzz targets need of this crate: a request without a connection, up to what the broker is asked.

use weir_broker::{access_admin::AccessAdminRequest, queue_admin::QueueAdminRequest};

use crate::{
    api::{self, word},
    routing::{
        body, query,
        route::{self, Act},
    },
};

/// Whether a request means something: `target` is path and query below the API's root.
pub fn request(method: &str, target: &str, bytes: &[u8]) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Ok((route, path)) = route::find(api::all(), method, path) else {
        return false;
    };
    let (Ok(query), Ok(body)) = (query::read(&route.parameters(), query), body::object(bytes))
    else {
        return false;
    };
    match route.act {
        Act::Queue(word) => word::request::<QueueAdminRequest>(word, &path, &query, &body).is_ok(),
        Act::Access(word) => {
            word::request::<AccessAdminRequest>(word, &path, &query, &body).is_ok()
        }
        Act::Own(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_means_something_or_is_refused() {
        for (method, target, body, is_meant) in [
            ("PUT", "/vhosts/%2F/queues/q", "{}", true),
            ("PUT", "/vhosts/%2F/queues/q", r#"{"durable":false}"#, true),
            ("PUT", "/vhosts/%2F/queues/q", r#"{"durable":1}"#, false),
            ("PUT", "/vhosts/%2F/queues/q", r#"{"name":"p"}"#, false),
            (
                "PUT",
                "/vhosts/%2F/queues/q",
                r#"{"request":"purge_queue"}"#,
                false,
            ),
            ("PUT", "/vhosts/%2F/queues/q", r#"{"other":1}"#, false),
            ("DELETE", "/vhosts/v/queues/q?if_empty=true", "", true),
            ("DELETE", "/vhosts/v/queues/q?if_empty=yes", "", false),
            ("GET", "/vhosts/v/queues?limit=7&after=ImEi", "", true),
            ("GET", "/vhosts/v/queues?after=MQ", "", false),
            (
                "PUT",
                "/users/u/permissions/v",
                r#"{"configure":"","write":"","read":""}"#,
                true,
            ),
            ("PUT", "/users/u/permissions/v", "{}", false),
            ("POST", "/users/u/disable", "", true),
            (
                "PUT",
                "/vhosts/v/policies/p",
                r#"{"pattern":"^a","definition":{}}"#,
                true,
            ),
            ("BREW", "/topics", "", false),
        ] {
            let is_found = request(method, target, body.as_bytes());
            assert_eq!(is_found, is_meant, "{method} {target} {body}");
        }
    }
}
