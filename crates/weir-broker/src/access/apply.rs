//! What commands do to users and rules. Total: each does what it asks for, or nothing at all.

use weir_access::{AccessError, MAX_ACLS_AT_ONCE, Permissions, acl::AclFilter};

use super::{command::AccessCommand, outcome::AccessOutcome};
use crate::metadata::MetadataState;

impl MetadataState {
    // Table: one command a row.
    pub(crate) fn change_access(&mut self, command: AccessCommand) -> AccessOutcome {
        let changed = match command {
            AccessCommand::CreateUser { user, seed } => self.access_mut().create_user(user, seed),
            AccessCommand::DeleteUser { user } => self.access_mut().delete_user(&user),
            AccessCommand::PutVerifiers {
                user,
                verifiers,
                makes,
                seed,
            } => self
                .access_mut()
                .put_verifiers(&user, verifiers, makes, seed),
            AccessCommand::RemoveVerifier { user, hash } => {
                self.access_mut().remove_verifier(&user, hash)
            }
            AccessCommand::SetTags { user, tags } => self.access_mut().set_tags(&user, tags),
            AccessCommand::SetEnabled { user, is_enabled } => {
                self.access_mut().set_enabled(&user, is_enabled)
            }
            AccessCommand::SetLimits { user, limits } => {
                self.access_mut().set_limits(&user, limits)
            }
            AccessCommand::SetPermissions {
                user,
                vhost,
                configure,
                write,
                read,
            } => self.check_vhost(&vhost).and_then(|()| {
                let to = Permissions::new(&configure, &write, &read);
                self.access_mut().set_permissions(&user, &vhost, Some(to))
            }),
            AccessCommand::ClearPermissions { user, vhost } => {
                self.access_mut().set_permissions(&user, &vhost, None)
            }
            AccessCommand::SetTopicPermissions {
                user,
                vhost,
                exchange,
                write,
                read,
            } => self.check_vhost(&vhost).and_then(|()| {
                let of = (&*vhost, &*exchange);
                self.access_mut()
                    .set_topic_permissions(&user, of, &write, &read)
            }),
            AccessCommand::ClearTopicPermissions {
                user,
                vhost,
                exchange,
            } => self
                .access_mut()
                .clear_topic_permissions(&user, &vhost, exchange.as_deref()),
            AccessCommand::AddAcls { acls } => self.access_mut().add_acls(acls),
            AccessCommand::DeleteAcls { filters } => return self.delete_acls(&filters),
            AccessCommand::AlterQuota { entity, changes } => {
                self.quotas_mut().alter(entity, &changes)
            }
        };
        match changed {
            Ok(()) => AccessOutcome::Done,
            Err(error) => AccessOutcome::Refused(error),
        }
    }

    fn delete_acls(&mut self, filters: &[AclFilter]) -> AccessOutcome {
        if filters.len() > MAX_ACLS_AT_ONCE {
            return AccessOutcome::Refused(AccessError::TooManyAtOnce);
        }
        if !filters.iter().all(AclFilter::is_sound) {
            return AccessOutcome::Refused(AccessError::Invalid);
        }
        let (acls, has_more) = self.access_mut().delete_acls(filters);
        AccessOutcome::AclsDeleted { acls, has_more }
    }

    fn check_vhost(&self, vhost: &str) -> Result<(), AccessError> {
        match self.routing().vhost(vhost) {
            Some(_) => Ok(()),
            None => Err(AccessError::NoVhost),
        }
    }
}
