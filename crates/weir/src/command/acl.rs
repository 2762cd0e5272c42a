//! `weir acl`: Kafka's ACLs.

use clap::{Args, Subcommand, ValueEnum};
use weir_broker::access_admin::{AccessAdminAnswer, AccessAdminRequest, AclRow, AclWanted};

use super::{accessing::AccessingArguments, table::Table};

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct AclArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    accessing: AccessingArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show ACLs.
    List(WantedArguments),
    /// Add an ACL.
    Add {
        /// What it says.
        #[arg(value_name = "EFFECT")]
        effect: EffectArgument,
        /// About whom: a user's name, ANONYMOUS, or * for everybody.
        #[arg(value_name = "USER")]
        principal: String,
        /// What is done: all, read, write, create, delete, alter, describe, cluster-action,
        /// describe-configs, alter-configs, idempotent-write, create-tokens, describe-tokens or
        /// two-phase-commit.
        #[arg(value_name = "OPERATION")]
        operation: String,
        /// To what: topic, group, cluster, transactional-id, delegation-token or user.
        #[arg(value_name = "RESOURCE")]
        resource: String,
        /// Its name; * for all. Of the cluster: kafka-cluster.
        #[arg(value_name = "NAME", default_value = "kafka-cluster")]
        name: String,
        /// How the name is meant: literal, prefixed, or glob, where * stands for any characters.
        #[arg(long, default_value = "literal", value_name = "TYPE")]
        pattern: String,
        /// From where: an address.
        #[arg(long, default_value = "*", value_name = "ADDRESS")]
        host: String,
    },
    /// Delete all ACLs that are meant.
    Delete(WantedArguments),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EffectArgument {
    Allow,
    Deny,
}

/// Which are meant. What is not given may be anything.
#[derive(Debug, Args)]
struct WantedArguments {
    /// About this user.
    #[arg(long, value_name = "USER")]
    principal: Option<String>,
    /// About this operation.
    #[arg(long)]
    operation: Option<String>,
    /// About resources of this type.
    #[arg(long)]
    resource: Option<String>,
    /// With this name.
    #[arg(long)]
    name: Option<String>,
    /// With names that are meant so: literal, prefixed, glob; or match: all that mean --name.
    #[arg(long, value_name = "TYPE")]
    pattern: Option<String>,
    /// From this address.
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// That say this.
    #[arg(long)]
    effect: Option<EffectArgument>,
    /// All there are, where nothing else is said.
    #[arg(long)]
    all: bool,
}

impl EffectArgument {
    fn name(self) -> String {
        match self {
            Self::Allow => "allow".to_owned(),
            Self::Deny => "deny".to_owned(),
        }
    }
}

impl WantedArguments {
    fn wanted(&self) -> AclWanted {
        AclWanted {
            principal: self.principal.clone(),
            host: self.host.clone(),
            effect: self.effect.map(EffectArgument::name),
            operation: self.operation.clone(),
            resource: self.resource.clone(),
            pattern: self.pattern.clone(),
            name: self.name.clone(),
        }
    }
}

/// Does it, and says so.
pub(crate) fn run(arguments: &AclArguments) -> anyhow::Result<()> {
    let accessing = &arguments.accessing;
    match &arguments.verb {
        Verb::List(wanted) => list(accessing, &wanted.wanted()),
        Verb::Add {
            effect,
            principal,
            operation,
            resource,
            name,
            pattern,
            host,
        } => {
            let acl = AclRow {
                principal: principal.clone(),
                host: host.clone(),
                effect: effect.name(),
                operation: operation.clone(),
                resource: resource.clone(),
                pattern: pattern.clone(),
                name: name.clone(),
            };
            accessing.change(&AccessAdminRequest::AddAcl { acl }, "acl: added")
        }
        Verb::Delete(arguments) => {
            let wanted = arguments.wanted();
            if wanted == AclWanted::default() && !arguments.all {
                let reason = "say which ACLs are meant, or --all".to_owned();
                return Err(crate::exit_code::Usage(reason).into());
            }
            accessing.change(&AccessAdminRequest::DeleteAcls { wanted }, "acls deleted")
        }
    }
}

fn list(accessing: &AccessingArguments, wanted: &AclWanted) -> anyhow::Result<()> {
    let rows: Vec<AclRow> = accessing.pages(
        |after| AccessAdminRequest::ListAcls {
            wanted: wanted.clone(),
            after,
        },
        |answer| {
            let AccessAdminAnswer::Acls { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        Clone::clone,
    )?;
    let mut table = Table::new(&[
        "EFFECT",
        "USER",
        "OPERATION",
        "RESOURCE",
        "NAME",
        "PATTERN",
        "HOST",
    ]);
    for row in &rows {
        table.row(vec![
            row.effect.clone(),
            row.principal.clone(),
            row.operation.clone(),
            row.resource.clone(),
            row.name.clone(),
            row.pattern.clone(),
            row.host.clone(),
        ]);
    }
    accessing.tell(&rows, &table.render())
}
