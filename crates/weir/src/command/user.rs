//! `weir user`: users, their passwords, and their permissions in virtual hosts.

use clap::{Args, Subcommand};
use serde_json::json;
use weir_broker::access_admin::{
    AccessAdminAnswer, AccessAdminRequest, PermissionRow, TopicPermissionRow, UserRow,
};

use super::{accessing::AccessingArguments, password::PasswordArguments, table::Table};

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct UserArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    accessing: AccessingArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all users.
    List,
    /// Add a user. From the first one on, nobody may do what no rule allows.
    Add {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
        /// A role, such as administrator, whom ACLs do not bind. May be repeated.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// No password logs in.
        #[arg(long, conflicts_with_all = ["password_file", "iterations"])]
        no_password: bool,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// Give a user another password.
    SetPassword {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// Give a user these tags and no others.
    SetTags {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
        /// The tags. None: it has none.
        #[arg(value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Set how much of something a user may have at once.
    SetLimits {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Most connections. Without it: no limit.
        #[arg(long, value_name = "COUNT")]
        max_connections: Option<u32>,
        /// Most AMQP channels. Without it: no limit.
        #[arg(long, value_name = "COUNT")]
        max_channels: Option<u32>,
    },
    /// Let a user log in and act again.
    Enable {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Let a user neither log in nor act, also on connections that are open.
    Disable {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Delete a user, with its permissions. ACLs that name it stay.
    Delete {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Give a user permissions in a virtual host, in place of those it has there.
    Grant(GrantArguments),
    /// Take a user's permissions in a virtual host away.
    Revoke {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
        /// The virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
        /// Only those for the routing keys of this exchange.
        #[arg(long, value_name = "NAME")]
        exchange: Option<String>,
    },
    /// Show permissions in virtual hosts.
    Permissions {
        /// Whose. None: everybody's.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
struct GrantArguments {
    /// The name.
    #[arg(value_name = "NAME")]
    name: String,
    /// The virtual host.
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Which exchanges and queues it may make, change and delete, by their names: a regular expression.
    #[arg(
        long,
        default_value = "",
        value_name = "PATTERN",
        conflicts_with = "exchange"
    )]
    configure: String,
    /// Which it may send to.
    #[arg(long, default_value = "", value_name = "PATTERN")]
    write: String,
    /// Which it may receive from.
    #[arg(long, default_value = "", value_name = "PATTERN")]
    read: String,
    /// The patterns are of routing keys of this topic exchange; {username} and {vhost} in them are these
    /// names.
    #[arg(long, value_name = "NAME")]
    exchange: Option<String>,
}

/// Does it, and says so.
pub(crate) fn run(arguments: &UserArguments) -> anyhow::Result<()> {
    let accessing = &arguments.accessing;
    let (request, done) = match &arguments.verb {
        Verb::List => return list(accessing),
        Verb::Permissions { name } => return permissions(accessing, name.as_deref()),
        Verb::Add {
            name,
            tags,
            no_password,
            password,
        } => (
            AccessAdminRequest::CreateUser {
                name: name.clone(),
                verifiers: match no_password {
                    true => Vec::new(),
                    false => password.verifiers()?,
                },
                tags: tags.clone(),
            },
            format!("user {name}: added"),
        ),
        Verb::SetPassword { name, password } => (
            AccessAdminRequest::SetPassword {
                name: name.clone(),
                verifiers: password.verifiers()?,
            },
            format!("user {name}: has another password"),
        ),
        Verb::SetTags { name, tags } => (
            AccessAdminRequest::SetTags {
                name: name.clone(),
                tags: tags.clone(),
            },
            format!("user {name}: tags set"),
        ),
        Verb::SetLimits {
            name,
            max_connections,
            max_channels,
        } => (
            AccessAdminRequest::SetLimits {
                name: name.clone(),
                max_connections: *max_connections,
                max_channels: *max_channels,
            },
            format!("user {name}: limits set"),
        ),
        Verb::Enable { name } => set_enabled(name, true),
        Verb::Disable { name } => set_enabled(name, false),
        Verb::Delete { name } => (
            AccessAdminRequest::DeleteUser { name: name.clone() },
            format!("user {name}: deleted"),
        ),
        Verb::Grant(grant) => (
            grant.request(),
            format!("user {}: granted in vhost {}", grant.name, grant.vhost),
        ),
        Verb::Revoke {
            name,
            vhost,
            exchange,
        } => (
            revocation(name, vhost, exchange.as_deref()),
            format!("user {name}: revoked in vhost {vhost}"),
        ),
    };
    accessing.change(&request, &done)
}

fn set_enabled(name: &str, enabled: bool) -> (AccessAdminRequest, String) {
    let word = if enabled { "enabled" } else { "disabled" };
    let request = AccessAdminRequest::SetEnabled {
        name: name.to_owned(),
        enabled,
    };
    (request, format!("user {name}: {word}"))
}

fn revocation(name: &str, vhost: &str, exchange: Option<&str>) -> AccessAdminRequest {
    let (user, vhost) = (name.to_owned(), vhost.to_owned());
    match exchange {
        None => AccessAdminRequest::Revoke { user, vhost },
        Some(exchange) => AccessAdminRequest::RevokeTopic {
            user,
            vhost,
            exchange: Some(exchange.to_owned()),
        },
    }
}

impl GrantArguments {
    fn request(&self) -> AccessAdminRequest {
        let (user, vhost) = (self.name.clone(), self.vhost.clone());
        let (write, read) = (self.write.clone(), self.read.clone());
        match self.exchange.clone() {
            None => AccessAdminRequest::Grant {
                user,
                vhost,
                configure: self.configure.clone(),
                write,
                read,
            },
            Some(exchange) => AccessAdminRequest::GrantTopic {
                user,
                vhost,
                exchange,
                write,
                read,
            },
        }
    }
}

fn list(accessing: &AccessingArguments) -> anyhow::Result<()> {
    let rows: Vec<UserRow> = accessing.pages(
        |after| AccessAdminRequest::ListUsers { after, only: None },
        |answer| {
            let AccessAdminAnswer::Users { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| row.name.clone(),
    )?;
    let mut table = Table::new(&["USER", "ENABLED", "PASSWORD BY", "TAGS", "LIMITS"]);
    for row in &rows {
        let limits = [
            ("max-connections", row.max_connections),
            ("max-channels", row.max_channels),
        ];
        let limits = limits.iter().filter_map(|(name, limit)| {
            let limit = limit.as_ref()?;
            Some(format!("{name}={limit}"))
        });
        table.row(vec![
            row.name.clone(),
            if row.enabled { "yes" } else { "no" }.to_owned(),
            or_dash(&row.mechanisms),
            or_dash(&row.tags),
            or_dash(&limits.collect::<Vec<_>>()),
        ]);
    }
    accessing.tell(&rows, &table.render())
}

fn or_dash(words: &[String]) -> String {
    match words.is_empty() {
        true => "-".to_owned(),
        false => words.join(","),
    }
}

fn permissions(accessing: &AccessingArguments, name: Option<&str>) -> anyhow::Result<()> {
    let rows: Vec<PermissionRow> = accessing.pages(
        |after| AccessAdminRequest::ListPermissions {
            after,
            only: name.map(str::to_owned),
        },
        |answer| {
            let AccessAdminAnswer::Permissions { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| (row.user.clone(), row.vhost.clone()),
    )?;
    let topics: Vec<TopicPermissionRow> = accessing.pages(
        |after| AccessAdminRequest::ListTopicPermissions {
            after,
            only: name.map(str::to_owned),
        },
        |answer| {
            let AccessAdminAnswer::TopicPermissions { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| (row.user.clone(), row.vhost.clone(), row.exchange.clone()),
    )?;
    let mut table = Table::new(&["USER", "VHOST", "KEYS OF", "CONFIGURE", "WRITE", "READ"]);
    for row in &rows {
        let texts = [&row.user, &row.vhost, "-", &row.configure, &row.write];
        table.row(quoted(&texts, &row.read));
    }
    for row in &topics {
        let texts = [&row.user, &row.vhost, &*row.exchange, "-", &row.write];
        table.row(quoted(&texts, &row.read));
    }
    let all = json!({ "permissions": rows, "topic_permissions": topics });
    accessing.tell(&all, &table.render())
}

/// An empty pattern is shown as what it means.
fn quoted(texts: &[&str], last: &str) -> Vec<String> {
    let texts = texts.iter().chain([&last]);
    let shown = texts.map(|text| if text.is_empty() { "^$" } else { text });
    shown.map(str::to_owned).collect()
}
