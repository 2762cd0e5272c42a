//! Requests are checked against what this node knows, and carried out by group 0's leader.

use std::sync::Arc;

use bytes::Bytes;
use weir_access::{
    Access, AccessError, TopicPermissions, User, UserLimits, Verifier, is_valid_name,
    permissions_fault,
};

use super::{
    list,
    words::{AccessAdminAnswer, AccessAdminRequest, VerifierRow},
};
use crate::{
    Node,
    access::{AccessCommand, AccessOutcome, AccessRefused},
    audit::Requester,
    peer::Answer,
    quota::checked_value,
    refusal::Refusal,
};

type Done = Box<dyn FnOnce(AccessAdminAnswer) + Send>;

/// Answers a call.
pub(crate) fn serve(node: &Arc<Node>, request: &Bytes, answer: Answer) {
    let done: Done = Box::new(move |said| answer(said.encode()));
    match AccessAdminRequest::decode(request) {
        Ok(request) => node.access_admin(&Requester::default(), request, done),
        Err(error) => done(AccessAdminAnswer::refused(error)),
    }
}

/// The body of a call as it is understood, written again.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    let request = AccessAdminRequest::decode(body).ok()?;
    Some(request.to_call())
}

/// A request as it is carried out.
enum Work {
    Command(AccessCommand),
    Answered(AccessAdminAnswer),
}

impl Node {
    /// Does what a person or a script asks for, from this node. Whether they may is looked at before.
    pub fn access_admin(
        self: &Arc<Self>,
        by: &Requester,
        request: AccessAdminRequest,
        done: Box<dyn FnOnce(AccessAdminAnswer) + Send>,
    ) {
        let done = self.noted(by, &request, AccessAdminAnswer::refusal, done);
        match self.access_work(request) {
            Ok(Work::Command(command)) => carry_out(self, command, 0, done),
            Ok(Work::Answered(answer)) => done(answer),
            Err(why) => done(AccessAdminAnswer::refused(why)),
        }
    }

    // Table: one request a row.
    fn access_work(&self, request: AccessAdminRequest) -> Result<Work, Refusal> {
        use AccessAdminRequest as Request;
        let access = self.access().load();
        Ok(match request {
            Request::ListUsers { after, only } => {
                Work::Answered(list::users(&access, after.as_deref(), only.as_deref()))
            }
            Request::ListPermissions { after, only } => {
                Work::Answered(list::permissions(&access, after, only.as_deref()))
            }
            Request::ListTopicPermissions { after, only } => {
                let only = only.as_deref();
                Work::Answered(list::topic_permissions(&access, after.as_ref(), only))
            }
            Request::ListAcls { wanted, after } => {
                Work::Answered(list::acls(&access, &wanted.filter()?, after)?)
            }
            Request::CreateUser {
                name,
                verifiers,
                tags,
            } => {
                is_valid_name(&name).map_err(|fault| format!("the name {fault}"))?;
                let mut user = User::new(&name);
                let verifiers = parsed(verifiers)?.into_iter();
                verifiers.for_each(|verifier| user.put_verifier(verifier));
                user.tags = tags.into_iter().collect();
                let seed = self.access_seed();
                Work::Command(AccessCommand::CreateUser { user, seed })
            }
            Request::SetPassword { name, verifiers } => {
                known(&access, &name)?;
                Work::Command(AccessCommand::PutVerifiers {
                    user: name,
                    verifiers: parsed(verifiers)?,
                    makes: false,
                    seed: self.access_seed(),
                })
            }
            Request::DeleteUser { name } => {
                known(&access, &name)?;
                Work::Command(AccessCommand::DeleteUser { user: name })
            }
            Request::SetTags { name, tags } => Work::Command(AccessCommand::SetTags {
                user: name,
                tags: tags.into_iter().collect(),
            }),
            Request::SetEnabled { name, enabled } => Work::Command(AccessCommand::SetEnabled {
                user: name,
                is_enabled: enabled,
            }),
            Request::SetLimits {
                name,
                max_connections,
                max_channels,
            } => Work::Command(AccessCommand::SetLimits {
                user: name,
                limits: UserLimits {
                    max_connections,
                    max_channels,
                },
            }),
            Request::Grant {
                user,
                vhost,
                configure,
                write,
                read,
            } => {
                let fault = permissions_fault(&[&configure, &write, &read]);
                fault.map_err(|fault| format!("a pattern: {fault}"))?;
                Work::Command(AccessCommand::SetPermissions {
                    user,
                    vhost,
                    configure,
                    write,
                    read,
                })
            }
            Request::Revoke { user, vhost } => {
                Work::Command(AccessCommand::ClearPermissions { user, vhost })
            }
            Request::GrantTopic {
                user,
                vhost,
                exchange,
                write,
                read,
            } => {
                let fault = TopicPermissions::fault(&user, &vhost, &[&write, &read]);
                fault.map_err(|fault| format!("a pattern: {fault}"))?;
                Work::Command(AccessCommand::SetTopicPermissions {
                    user,
                    vhost,
                    exchange,
                    write,
                    read,
                })
            }
            Request::RevokeTopic {
                user,
                vhost,
                exchange,
            } => Work::Command(AccessCommand::ClearTopicPermissions {
                user,
                vhost,
                exchange,
            }),
            Request::AddAcl { acl } => Work::Command(AccessCommand::AddAcls {
                acls: vec![acl.acl()?],
            }),
            Request::DeleteAcls { wanted } => Work::Command(AccessCommand::DeleteAcls {
                filters: vec![wanted.filter()?],
            }),
            Request::ListQuotas { after } => Work::Answered(list::quotas(
                &self.access().quotas().load(),
                after.as_ref(),
            )?),
            Request::AlterQuota { entity, changes } => {
                let entity = list::entity_of(&entity)?;
                let checked = changes.iter().map(|(key, value)| {
                    checked_value(&entity, key, *value).map_err(|fault| fault.to_string())
                });
                let changes = checked.collect::<Result<_, _>>()?;
                Work::Command(AccessCommand::AlterQuota { entity, changes })
            }
        })
    }
}

fn known(access: &Access, name: &str) -> Result<(), Refusal> {
    match access.user(name) {
        Some(_) => Ok(()),
        None => Err(AccessRefused::Refused(AccessError::NoUser).into()),
    }
}

fn parsed(verifiers: Vec<VerifierRow>) -> Result<Vec<Verifier>, String> {
    verifiers.into_iter().map(VerifierRow::verifier).collect()
}

/// Proposes a command until there is nothing more for it to remove.
fn carry_out(node: &Arc<Node>, command: AccessCommand, gone_count: u64, done: Done) {
    let again = Arc::clone(node);
    node.change_access(command.clone(), move |outcome| match outcome {
        Ok(AccessOutcome::AclsDeleted { acls, has_more }) => {
            let gone_count = gone_count + acls.len() as u64;
            match has_more {
                true => carry_out(&again, command, gone_count, done),
                false => done(AccessAdminAnswer::Counted { acls: gone_count }),
            }
        }
        Ok(AccessOutcome::Done | AccessOutcome::Refused(_)) => done(AccessAdminAnswer::Done),
        Err(refused) => done(AccessAdminAnswer::refused(refused)),
    });
}
