//! Users, their passwords, and their permissions in virtual hosts.

use schemars::JsonSchema;
use serde::Deserialize;
use weir_access::{
    DEFAULT_ITERATIONS, Hash, MAX_ITERATIONS, MIN_ITERATIONS, SALT_BYTES, Verifier, acl::Operation,
    password_fault,
};
use weir_broker::access_admin::{
    AccessAdminRequest, PermissionRow, TopicPermissionRow, UserRow, VerifierRow,
};

use super::{
    call::{Answer, Call},
    table::schema,
    word::access_answer,
};
use crate::routing::{
    problem::Problem,
    route::{Act, Body, Gives, Right, Route, Verb, Word},
};

const LOOK: &[Right] = &[Right::Cluster(Operation::Describe)];
const CHANGE: &[Right] = &[Right::Cluster(Operation::Alter)];

// Table: one route an entry.
pub(super) const ROUTES: [Route; 18] = [
    listing(
        "listUsers",
        "/users",
        "Users, by name.",
        Gives::Rows(schema::<UserRow>, &["name"]),
        Word::new("list_users"),
    ),
    listing(
        "getUser",
        "/users/{user}",
        "A user.",
        Gives::One(schema::<UserRow>),
        Word::new("list_users").only("user"),
    ),
    Route {
        id: "putUser",
        verb: Verb::Put,
        path: "/users/{user}",
        summary: "Makes a user, or changes what is said of it. The first one closes the cluster to all whom no rule allows anything.",
        rights: CHANGE,
        query: &[],
        body: Body::Of(schema::<UserBody>),
        gives: Gives::Declared,
        act: Act::Own(|call| Box::pin(put(call))),
    },
    change(
        "deleteUser",
        Verb::Delete,
        "/users/{user}",
        "Deletes a user, with its permissions. ACLs that name it stay.",
        Body::None,
        Word::new("delete_user").renamed("user", "name"),
    ),
    Route {
        id: "putPassword",
        verb: Verb::Put,
        path: "/users/{user}/password",
        summary: "Gives a user another password.",
        rights: CHANGE,
        query: &[],
        body: Body::Of(schema::<PasswordBody>),
        gives: Gives::Nothing,
        act: Act::Own(|call| Box::pin(set_password(call))),
    },
    change(
        "putTags",
        Verb::Put,
        "/users/{user}/tags",
        "Gives a user these tags and no others.",
        Body::Word,
        Word::new("set_tags").renamed("user", "name"),
    ),
    change(
        "putUserLimits",
        Verb::Put,
        "/users/{user}/limits",
        "Sets all limits of a user; none where it is not named.",
        Body::Word,
        Word::new("set_limits").renamed("user", "name"),
    ),
    change(
        "enableUser",
        Verb::Post,
        "/users/{user}/enable",
        "Lets a user log in and act again.",
        Body::None,
        Word::new("set_enabled")
            .renamed("user", "name")
            .with(&[("enabled", true)]),
    ),
    change(
        "disableUser",
        Verb::Post,
        "/users/{user}/disable",
        "Lets a user neither log in nor act, also on connections that are open.",
        Body::None,
        Word::new("set_enabled")
            .renamed("user", "name")
            .with(&[("enabled", false)]),
    ),
    listing(
        "listPermissions",
        "/permissions",
        "Permissions in virtual hosts.",
        Gives::Rows(schema::<PermissionRow>, &["user", "vhost"]),
        Word::new("list_permissions"),
    ),
    listing(
        "listPermissionsOfUser",
        "/users/{user}/permissions",
        "A user's permissions in virtual hosts.",
        Gives::Rows(schema::<PermissionRow>, &["user", "vhost"]),
        Word::new("list_permissions").only("user"),
    ),
    change(
        "putPermissions",
        Verb::Put,
        "/users/{user}/permissions/{vhost}",
        "Sets a user's permissions in a virtual host: regular expressions.",
        Body::Word,
        Word::new("grant"),
    ),
    change(
        "deletePermissions",
        Verb::Delete,
        "/users/{user}/permissions/{vhost}",
        "Takes a user's permissions in a virtual host away.",
        Body::None,
        Word::new("revoke"),
    ),
    listing(
        "listTopicPermissions",
        "/topic-permissions",
        "Permissions for routing keys.",
        Gives::Rows(schema::<TopicPermissionRow>, &["user", "vhost", "exchange"]),
        Word::new("list_topic_permissions"),
    ),
    listing(
        "listTopicPermissionsOfUser",
        "/users/{user}/topic-permissions",
        "A user's permissions for routing keys.",
        Gives::Rows(schema::<TopicPermissionRow>, &["user", "vhost", "exchange"]),
        Word::new("list_topic_permissions").only("user"),
    ),
    change(
        "putTopicPermissions",
        Verb::Put,
        "/users/{user}/topic-permissions/{vhost}/{exchange}",
        "Sets a user's permissions for routing keys of a topic exchange: regular expressions.",
        Body::Word,
        Word::new("grant_topic"),
    ),
    change(
        "deleteTopicPermissions",
        Verb::Delete,
        "/users/{user}/topic-permissions/{vhost}/{exchange}",
        "Takes a user's permissions for routing keys of an exchange away.",
        Body::None,
        Word::new("revoke_topic"),
    ),
    change(
        "deleteAllTopicPermissions",
        Verb::Delete,
        "/users/{user}/topic-permissions/{vhost}",
        "Takes a user's permissions for routing keys of all exchanges of a virtual host away.",
        Body::None,
        Word::new("revoke_topic"),
    ),
];

const fn listing(
    id: &'static str,
    path: &'static str,
    summary: &'static str,
    gives: Gives,
    word: Word,
) -> Route {
    Route {
        id,
        verb: Verb::Get,
        path,
        summary,
        rights: LOOK,
        query: &[],
        body: Body::None,
        gives,
        act: Act::Access(word),
    }
}

const fn change(
    id: &'static str,
    verb: Verb,
    path: &'static str,
    summary: &'static str,
    body: Body,
    word: Word,
) -> Route {
    Route {
        id,
        verb,
        path,
        summary,
        rights: CHANGE,
        query: &[],
        body,
        gives: Gives::Nothing,
        act: Act::Access(word),
    }
}

/// A user that is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewUser")]
struct UserBody {
    /// Its password; none where it is not said: nobody logs in by it, or the one that it has stays.
    #[schemars(length(min = 1, max = 1024))]
    password: Option<String>,
    /// Rounds of the derivation that makes the password slow to guess.
    #[serde(default = "default_iterations")]
    #[schemars(range(min = 4096, max = 16_384))]
    iterations: u32,
    /// All its tags, such as administrator; those that it has stay where none are said.
    #[schemars(length(max = 16))]
    tags: Option<Vec<String>>,
}

/// A password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewPassword")]
struct PasswordBody {
    /// The password.
    #[schemars(length(min = 1, max = 1024))]
    password: String,
    /// Rounds of the derivation that makes it slow to guess.
    #[serde(default = "default_iterations")]
    #[schemars(range(min = 4096, max = 16_384))]
    iterations: u32,
}

fn default_iterations() -> u32 {
    DEFAULT_ITERATIONS
}

/// What checks a password, by each mechanism: made beside the tasks of connections.
async fn verifiers(
    call: &Call,
    password: String,
    iterations: u32,
) -> Result<Vec<VerifierRow>, Problem> {
    password_fault(&password).map_err(|fault| Problem::invalid(format!("the password {fault}")))?;
    let salts = Hash::ALL.map(|_| {
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&call.node.access_seed().0[..SALT_BYTES]);
        salt
    });
    let made = weir_door::work::beside(move || {
        let each = Hash::ALL.into_iter().zip(salts);
        let rows = each.map(|(hash, salt)| {
            let verifier = Verifier::of_password(hash, &password, &salt, iterations);
            verifier.as_ref().map(VerifierRow::of)
        });
        rows.collect::<Option<Vec<VerifierRow>>>()
    });
    let made = made.await.flatten();
    made.ok_or_else(|| Problem::invalid("these rounds are not allowed"))
}

async fn put(call: Call) -> Result<Answer, Problem> {
    let body: UserBody = call.said()?;
    if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&body.iterations) {
        return Err(Problem::invalid("these rounds are not allowed"));
    }
    let name = call.named("user").to_owned();
    let verifiers = match body.password {
        None => None,
        Some(password) => Some(verifiers(&call, password, body.iterations).await?),
    };
    if call.asker.access.load().user(&name).is_none() {
        let create = AccessAdminRequest::CreateUser {
            name,
            verifiers: verifiers.unwrap_or_default(),
            tags: body.tags.unwrap_or_default(),
        };
        access_answer(&call, create).await?;
        return Ok(Answer::declared(false));
    }
    if let Some(verifiers) = verifiers {
        let name = name.clone();
        access_answer(&call, AccessAdminRequest::SetPassword { name, verifiers }).await?;
    }
    if let Some(tags) = body.tags {
        access_answer(&call, AccessAdminRequest::SetTags { name, tags }).await?;
    }
    Ok(Answer::declared(true))
}

async fn set_password(call: Call) -> Result<Answer, Problem> {
    let body: PasswordBody = call.said()?;
    let request = AccessAdminRequest::SetPassword {
        name: call.named("user").to_owned(),
        verifiers: verifiers(&call, body.password, body.iterations).await?,
    };
    access_answer(&call, request)
        .await
        .map(|_| Answer::nothing())
}
