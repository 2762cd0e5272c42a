// Long: one table of requests.
//! Every route of the HTTP API: without a login, without a right, and with exactly the one it wants.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{http_client::Client, trio::Node};

/// A right that somebody is given.
#[derive(Clone, Copy)]
enum Right {
    /// Operation, type of resource, name.
    Acl(&'static str, &'static str, &'static str),
    /// Configure, write and read in the virtual host `/`.
    Granted(&'static str, &'static str, &'static str),
}

use Right::{Acl, Granted};

const LOOK: &[Right] = &[Acl("describe", "cluster", "kafka-cluster")];
const CHANGE: &[Right] = &[Acl("alter", "cluster", "kafka-cluster")];
const SEE_CONFIGS: &[Right] = &[Acl("describe-configs", "cluster", "kafka-cluster")];
const SET_CONFIGS: &[Right] = &[Acl("alter-configs", "cluster", "kafka-cluster")];
const INSIDE: &[Right] = &[Granted("", "", "")];
const OF_Q: &[Right] = &[Granted("^q$", "", "")];
const OF_E: &[Right] = &[Granted("^e$", "", "")];
const READ_Q: &[Right] = &[Granted("", "", "^q$")];
const BIND: &[Right] = &[Granted("", "^q$", "^e$")];
const COMMIT: &[Right] = &[Acl("read", "group", "g"), Acl("read", "topic", "t")];

/// Its route, a request, who may ask, and what comes of it then.
type Sample = (
    &'static str,
    (&'static str, &'static str, &'static str),
    &'static [Right],
    u16,
);

/// In an order in which each finds what it needs.
const SAMPLES: &[Sample] = &[
    (
        "putTopic",
        ("PUT", "/topics/t", r#"{"partitions":1}"#),
        &[Acl("create", "topic", "t")],
        201,
    ),
    (
        "listTopics",
        ("GET", "/topics", ""),
        &[Acl("describe", "topic", "t")],
        200,
    ),
    (
        "getTopic",
        ("GET", "/topics/t", ""),
        &[Acl("describe", "topic", "t")],
        200,
    ),
    (
        "listPartitions",
        ("GET", "/topics/t/partitions", ""),
        &[Acl("describe", "topic", "t")],
        200,
    ),
    (
        "addPartitions",
        ("POST", "/topics/t/partitions", r#"{"count":2}"#),
        &[Acl("alter", "topic", "t")],
        204,
    ),
    (
        "deleteRecords",
        (
            "POST",
            "/topics/t/partitions/0/delete-records",
            r#"{"offset":-1}"#,
        ),
        &[Acl("delete", "topic", "t")],
        200,
    ),
    (
        "getTopicConfig",
        ("GET", "/topics/t/config", ""),
        &[Acl("describe-configs", "topic", "t")],
        200,
    ),
    (
        "changeTopicConfig",
        (
            "PATCH",
            "/topics/t/config",
            r#"{"set":{"retention.ms":"7"}}"#,
        ),
        &[Acl("alter-configs", "topic", "t")],
        204,
    ),
    (
        "setGroupOffsets",
        (
            "PATCH",
            "/groups/g/offsets",
            r#"{"offsets":[{"topic":"t","partition":0,"offset":0}]}"#,
        ),
        COMMIT,
        204,
    ),
    (
        "listGroups",
        ("GET", "/groups", ""),
        &[Acl("describe", "group", "g")],
        200,
    ),
    (
        "getGroup",
        ("GET", "/groups/g", ""),
        &[Acl("describe", "group", "g")],
        200,
    ),
    (
        "listGroupOffsets",
        ("GET", "/groups/g/offsets", ""),
        &[Acl("describe", "group", "g"), Acl("describe", "topic", "t")],
        200,
    ),
    (
        "resetGroupOffsets",
        (
            "POST",
            "/groups/g/reset-offsets",
            r#"{"topics":["t"],"to":"earliest"}"#,
        ),
        COMMIT,
        200,
    ),
    (
        "getGroupConfig",
        ("GET", "/groups/g/config", ""),
        &[Acl("describe-configs", "group", "g")],
        200,
    ),
    (
        "changeGroupConfig",
        (
            "PATCH",
            "/groups/g/config",
            r#"{"set":{"consumer.session.timeout.ms":"50000"}}"#,
        ),
        &[Acl("alter-configs", "group", "g")],
        204,
    ),
    (
        "deleteGroup",
        ("DELETE", "/groups/g", ""),
        &[Acl("delete", "group", "g")],
        204,
    ),
    (
        "deleteGroupOffsets",
        ("DELETE", "/groups/h/offsets/t", ""),
        &[Acl("delete", "group", "h"), Acl("read", "topic", "t")],
        204,
    ),
    (
        "deleteTopic",
        ("DELETE", "/topics/t", ""),
        &[Acl("delete", "topic", "t")],
        204,
    ),
    (
        "getNodeConfig",
        ("GET", "/nodes/1/config", ""),
        SEE_CONFIGS,
        200,
    ),
    (
        "changeNodeConfig",
        (
            "PATCH",
            "/nodes/1/config",
            r#"{"set":{"leader.replication.throttled.rate":"7"}}"#,
        ),
        SET_CONFIGS,
        204,
    ),
    (
        "getClusterConfig",
        ("GET", "/cluster/config", ""),
        SEE_CONFIGS,
        200,
    ),
    (
        "changeClusterConfig",
        (
            "PATCH",
            "/cluster/config",
            r#"{"set":{"log.retention.ms":"86400000"}}"#,
        ),
        SET_CONFIGS,
        204,
    ),
    ("putVhost", ("PUT", "/vhosts/v", ""), CHANGE, 201),
    ("listVhosts", ("GET", "/vhosts", ""), INSIDE, 200),
    ("getVhost", ("GET", "/vhosts/%2F", ""), INSIDE, 200),
    (
        "putVhostLimits",
        ("PUT", "/vhosts/v/limits", r#"{"max_queues":7}"#),
        CHANGE,
        204,
    ),
    ("deleteVhost", ("DELETE", "/vhosts/v", ""), CHANGE, 204),
    (
        "putPolicy",
        (
            "PUT",
            "/vhosts/%2F/policies/p",
            r#"{"pattern":"^q","definition":{"max-length":7}}"#,
        ),
        CHANGE,
        201,
    ),
    (
        "listPolicies",
        ("GET", "/vhosts/%2F/policies", ""),
        INSIDE,
        200,
    ),
    (
        "getPolicy",
        ("GET", "/vhosts/%2F/policies/p", ""),
        INSIDE,
        200,
    ),
    (
        "deletePolicy",
        ("DELETE", "/vhosts/%2F/policies/p", ""),
        CHANGE,
        204,
    ),
    (
        "putOperatorPolicy",
        (
            "PUT",
            "/vhosts/%2F/operator-policies/p",
            r#"{"pattern":"^q","definition":{"max-length":7}}"#,
        ),
        CHANGE,
        201,
    ),
    (
        "listOperatorPolicies",
        ("GET", "/vhosts/%2F/operator-policies", ""),
        INSIDE,
        200,
    ),
    (
        "getOperatorPolicy",
        ("GET", "/vhosts/%2F/operator-policies/p", ""),
        INSIDE,
        200,
    ),
    (
        "deleteOperatorPolicy",
        ("DELETE", "/vhosts/%2F/operator-policies/p", ""),
        CHANGE,
        204,
    ),
    (
        "putExchange",
        ("PUT", "/vhosts/%2F/exchanges/e", r#"{"kind":"direct"}"#),
        OF_E,
        201,
    ),
    (
        "listExchanges",
        ("GET", "/vhosts/%2F/exchanges", ""),
        INSIDE,
        200,
    ),
    (
        "getExchange",
        ("GET", "/vhosts/%2F/exchanges/e", ""),
        INSIDE,
        200,
    ),
    ("putQueue", ("PUT", "/vhosts/%2F/queues/q", ""), OF_Q, 201),
    ("listQueues", ("GET", "/vhosts/%2F/queues", ""), INSIDE, 200),
    ("getQueue", ("GET", "/vhosts/%2F/queues/q", ""), INSIDE, 200),
    (
        "bind",
        (
            "POST",
            "/vhosts/%2F/bindings",
            r#"{"source":"e","destination":"q"}"#,
        ),
        BIND,
        204,
    ),
    (
        "listBindings",
        ("GET", "/vhosts/%2F/bindings", ""),
        INSIDE,
        200,
    ),
    (
        "unbind",
        ("DELETE", "/vhosts/%2F/bindings/1", ""),
        BIND,
        204,
    ),
    (
        "purgeQueue",
        ("POST", "/vhosts/%2F/queues/q/purge", ""),
        READ_Q,
        200,
    ),
    (
        "peekQueue",
        ("POST", "/vhosts/%2F/queues/q/peek", r#"{"count":1}"#),
        READ_Q,
        200,
    ),
    (
        "moveMessages",
        (
            "POST",
            "/vhosts/%2F/queues/q/move",
            r#"{"destination":"q","count":1}"#,
        ),
        READ_Q,
        200,
    ),
    (
        "deleteQueue",
        ("DELETE", "/vhosts/%2F/queues/q", ""),
        OF_Q,
        204,
    ),
    (
        "deleteExchange",
        ("DELETE", "/vhosts/%2F/exchanges/e", ""),
        OF_E,
        204,
    ),
    (
        "putUser",
        ("PUT", "/users/u", r#"{"password":"p"}"#),
        CHANGE,
        201,
    ),
    ("listUsers", ("GET", "/users", ""), LOOK, 200),
    ("getUser", ("GET", "/users/u", ""), LOOK, 200),
    (
        "putPassword",
        ("PUT", "/users/u/password", r#"{"password":"q"}"#),
        CHANGE,
        204,
    ),
    (
        "putTags",
        ("PUT", "/users/u/tags", r#"{"tags":["monitoring"]}"#),
        CHANGE,
        204,
    ),
    (
        "putUserLimits",
        ("PUT", "/users/u/limits", r#"{"max_channels":7}"#),
        CHANGE,
        204,
    ),
    ("disableUser", ("POST", "/users/u/disable", ""), CHANGE, 204),
    ("enableUser", ("POST", "/users/u/enable", ""), CHANGE, 204),
    (
        "putPermissions",
        (
            "PUT",
            "/users/u/permissions/%2F",
            r#"{"configure":"","write":".*","read":""}"#,
        ),
        CHANGE,
        204,
    ),
    ("listPermissions", ("GET", "/permissions", ""), LOOK, 200),
    (
        "listPermissionsOfUser",
        ("GET", "/users/u/permissions", ""),
        LOOK,
        200,
    ),
    (
        "deletePermissions",
        ("DELETE", "/users/u/permissions/%2F", ""),
        CHANGE,
        204,
    ),
    (
        "putTopicPermissions",
        (
            "PUT",
            "/users/u/topic-permissions/%2F/amq.topic",
            r#"{"write":"^a","read":""}"#,
        ),
        CHANGE,
        204,
    ),
    (
        "listTopicPermissions",
        ("GET", "/topic-permissions", ""),
        LOOK,
        200,
    ),
    (
        "listTopicPermissionsOfUser",
        ("GET", "/users/u/topic-permissions", ""),
        LOOK,
        200,
    ),
    (
        "deleteTopicPermissions",
        ("DELETE", "/users/u/topic-permissions/%2F/amq.topic", ""),
        CHANGE,
        204,
    ),
    (
        "deleteAllTopicPermissions",
        ("DELETE", "/users/u/topic-permissions/%2F", ""),
        CHANGE,
        204,
    ),
    ("deleteUser", ("DELETE", "/users/u", ""), CHANGE, 204),
    (
        "addAcl",
        (
            "POST",
            "/acls",
            r#"{"principal":"x","host":"*","effect":"allow","operation":"read","resource":"topic","pattern":"literal","name":"t"}"#,
        ),
        CHANGE,
        204,
    ),
    ("listAcls", ("GET", "/acls", ""), LOOK, 200),
    (
        "deleteAcls",
        ("DELETE", "/acls?principal=x", ""),
        CHANGE,
        200,
    ),
    (
        "changeQuotas",
        (
            "PATCH",
            "/quotas",
            r#"{"entity":{"user":"u"},"changes":{"producer_byte_rate":1e6}}"#,
        ),
        SET_CONFIGS,
        204,
    ),
    ("listQuotas", ("GET", "/quotas", ""), SEE_CONFIGS, 200),
    ("getCluster", ("GET", "/cluster", ""), LOOK, 200),
    (
        "balanceCluster",
        ("POST", "/cluster/balance", ""),
        CHANGE,
        200,
    ),
    ("listNodes", ("GET", "/nodes", ""), LOOK, 200),
    ("getNode", ("GET", "/nodes/1", ""), LOOK, 200),
    // The only node stays, whoever asks.
    ("removeNode", ("DELETE", "/nodes/1", ""), CHANGE, 409),
    ("drainNode", ("POST", "/nodes/1/drain", ""), CHANGE, 409),
    (
        "activateNode",
        ("POST", "/nodes/1/activate", ""),
        CHANGE,
        200,
    ),
    ("listShards", ("GET", "/shards", ""), LOOK, 200),
    (
        "transferShard",
        ("POST", "/shards/1/transfer", r#"{"node":1}"#),
        CHANGE,
        200,
    ),
    ("listSettings", ("GET", "/settings", ""), SEE_CONFIGS, 200),
];

/// Lists that are empty where nothing may be shown, and one that shows nothing of a topic.
const SHOWN: [&str; 3] = ["listTopics", "listGroups", "listVhosts"];

const ROOT: (&str, &str) = ("root", "secret");
const TIM: (&str, &str) = ("tim", "secret");

fn must(client: Client<'_>, method: &str, target: &str, body: &str) {
    let answer = client.ask(method, target, body);
    assert!(
        (200..300).contains(&answer.status),
        "{method} {target}: {answer:?}"
    );
}

fn give(root: Client<'_>, rights: &[Right]) {
    for right in rights {
        match *right {
            Acl(operation, resource, name) => {
                let acl = json!({
                    "principal": TIM.0, "host": "*", "effect": "allow", "operation": operation,
                    "resource": resource, "pattern": "literal", "name": name,
                });
                must(root, "POST", "/acls", &acl.to_string());
            }
            Granted(configure, write, read) => {
                let granted = json!({ "configure": configure, "write": write, "read": read });
                must(
                    root,
                    "PUT",
                    "/users/tim/permissions/%2F",
                    &granted.to_string(),
                );
            }
        }
    }
}

fn take_all(root: Client<'_>) {
    must(root, "DELETE", "/acls?principal=tim", "");
    must(root, "DELETE", "/users/tim/permissions/%2F", "");
}

/// With all rights but one.
fn lacking(rights: &'static [Right]) -> impl Iterator<Item = Vec<Right>> {
    (0..rights.len()).map(move |left_out| {
        let all = rights.iter().enumerate();
        let kept = all.filter(|(at, _)| *at != left_out);
        kept.map(|(_, right)| *right).collect()
    })
}

fn is_empty_list(body: &Value) -> bool {
    body["rows"].as_array().is_some_and(Vec::is_empty)
}

#[test]
fn every_route_wants_its_right_and_no_other() {
    let node = Node::start(&[]);
    let address = node.admin.as_str();
    let nobody = Client {
        address,
        user: None,
    };
    let [root, tim] = [ROOT, TIM].map(|user| Client {
        address,
        user: Some(user),
    });
    let administrator = r#"{"password":"secret","tags":["administrator"]}"#;
    must(nobody, "PUT", "/users/root", administrator);
    must(root, "PUT", "/users/tim", r#"{"password":"secret"}"#);
    must(
        root,
        "PUT",
        "/users/root/permissions/%2F",
        r#"{"configure":".*","write":".*","read":".*"}"#,
    );
    for (id, (method, target, body), rights, status) in SAMPLES {
        if *id == "deleteGroupOffsets" {
            let offsets = r#"{"offsets":[{"topic":"t","partition":0,"offset":0}]}"#;
            must(root, "PATCH", "/groups/h/offsets", offsets);
        }
        assert_eq!(nobody.ask(method, target, body).status, 401, "{id}");
        for rights in lacking(rights) {
            give(root, &rights);
            let answer = tim.ask(method, target, body);
            if SHOWN.contains(id) || (*id == "listGroupOffsets" && rights.len() == 1) {
                let is_hidden = answer.status == 403 || is_empty_list(&answer.body);
                assert!(is_hidden, "{id}: {answer:?}");
            } else {
                assert_eq!(answer.status, 403, "{id}: {answer:?}");
            }
            take_all(root);
        }
        give(root, rights);
        let answer = tim.ask(method, target, body);
        assert_eq!(answer.status, *status, "{id}: {answer:?}");
        if SHOWN.contains(id) || *id == "listGroupOffsets" {
            assert!(!is_empty_list(&answer.body), "{id}: {answer:?}");
        }
        take_all(root);
    }
    let tried: BTreeSet<&str> = SAMPLES.iter().map(|(id, ..)| *id).collect();
    let document = nobody.ask("GET", "/openapi.json", "").body;
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let all: BTreeSet<&str> = operations
        .map(|it| it["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(tried, all);
}
