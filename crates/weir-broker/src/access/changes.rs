//! Changes that clients ask for, several at a time: one after the other.

use std::{sync::Arc, vec};

use weir_access::acl::Acl;

use super::{command::AccessCommand, outcome::AccessOutcome, propose::AccessRefused};
use crate::{
    Node,
    api::{
        Outcome,
        access::{AccessChanged, ChangeAccess},
    },
    mailbox::Reply,
};

impl Node {
    /// Carries changes out, and tells of each what became of it.
    pub(crate) fn change_access_in_turn(
        self: &Arc<Self>,
        changes: Vec<ChangeAccess>,
        reply: Reply,
    ) {
        let done = Vec::with_capacity(changes.len());
        next(self, changes.into_iter(), done, reply);
    }

    fn command_of(&self, change: ChangeAccess) -> AccessCommand {
        match change {
            ChangeAccess::AddAcls(acls) => AccessCommand::AddAcls { acls },
            ChangeAccess::DeleteAcls(filters) => AccessCommand::DeleteAcls { filters },
            ChangeAccess::PutVerifier { user, verifier } => AccessCommand::PutVerifiers {
                user,
                verifiers: vec![verifier],
                makes: true,
                seed: self.access_seed(),
            },
            ChangeAccess::RemoveVerifier { user, hash } => {
                AccessCommand::RemoveVerifier { user, hash }
            }
            ChangeAccess::AlterQuota { entity, changes } => {
                AccessCommand::AlterQuota { entity, changes }
            }
        }
    }

    /// Proposes a command until there is nothing more for it to take away. `gone`: what it has taken
    /// away before.
    pub(crate) fn change_access_wholly(
        self: &Arc<Self>,
        command: AccessCommand,
        mut gone: Vec<Arc<Acl>>,
        done: impl FnOnce(AccessChanged) + Send + 'static,
    ) {
        let node = Arc::clone(self);
        self.change_access(command.clone(), move |outcome| match outcome {
            Ok(AccessOutcome::AclsDeleted { acls, has_more }) => {
                gone.extend(acls);
                match has_more {
                    true => node.change_access_wholly(command, gone, done),
                    false => done(Ok(gone)),
                }
            }
            Ok(AccessOutcome::Done) => done(Ok(gone)),
            Ok(AccessOutcome::Refused(error)) => done(Err(AccessRefused::Refused(error))),
            Err(refused) => done(Err(refused)),
        });
    }
}

fn next(
    node: &Arc<Node>,
    mut changes: vec::IntoIter<ChangeAccess>,
    mut done: Vec<AccessChanged>,
    reply: Reply,
) {
    let Some(change) = changes.next() else {
        return reply.send(Outcome::AccessChanged(done));
    };
    let command = node.command_of(change);
    let again = Arc::clone(node);
    node.change_access_wholly(command, Vec::new(), move |changed| {
        let undecided = match &changed {
            Err(refused @ AccessRefused::Failed(_)) => Some(*refused),
            Ok(_) | Err(AccessRefused::Refused(_)) => None,
        };
        done.push(changed);
        // Nobody decides: the others would wait as long, each.
        if let Some(refused) = undecided {
            done.extend(changes.by_ref().map(|_| Err(refused)));
        }
        next(&again, changes, done, reply);
    });
}
