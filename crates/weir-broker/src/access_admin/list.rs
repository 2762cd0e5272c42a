//! Pages of what is there.

use weir_access::{Access, Hash, acl::AclFilter};

use super::words::{
    AccessAdminAnswer, AclRow, EntityRow, PermissionRow, QuotaRow, TopicPermissionRow, UserRow,
};
use crate::{
    queue_admin::PAGE_ROW_COUNT,
    quota::{QuotaEntity, QuotaTable, checked_entity},
};

pub(super) fn users(access: &Access, after: Option<&str>, only: Option<&str>) -> AccessAdminAnswer {
    let rows = access.users_after(after);
    let rows = rows.filter(|user| only.is_none_or(|only| *user.name == *only));
    let rows = rows.take(PAGE_ROW_COUNT).map(|user| {
        let has = |hash: &Hash| user.verifier(*hash).is_some();
        let hashes = Hash::ALL.into_iter().filter(has);
        UserRow {
            name: user.name.to_string(),
            enabled: user.is_enabled,
            tags: user.tags.iter().cloned().collect(),
            mechanisms: hashes.map(|hash| hash.mechanism().to_owned()).collect(),
            max_connections: user.limits.max_connections,
            max_channels: user.limits.max_channels,
        }
    });
    AccessAdminAnswer::Users {
        rows: rows.collect(),
    }
}

pub(super) fn permissions(
    access: &Access,
    after: Option<(String, String)>,
    only: Option<&str>,
) -> AccessAdminAnswer {
    let after = after.unwrap_or_default();
    let all = access.all_rules();
    let all = all.filter(|(user, _)| only.is_none_or(|only| ***user == *only));
    let all = all.flat_map(|(user, rules)| {
        let of_user = rules.permissions();
        of_user.map(move |(vhost, granted)| (&**user, vhost, granted))
    });
    let later = all.filter(|(user, vhost, _)| (*user, *vhost) > (&*after.0, &*after.1));
    let rows = later
        .take(PAGE_ROW_COUNT)
        .map(|(user, vhost, granted)| PermissionRow {
            user: user.to_owned(),
            vhost: vhost.to_owned(),
            configure: granted.configure.text().to_owned(),
            write: granted.write.text().to_owned(),
            read: granted.read.text().to_owned(),
        });
    AccessAdminAnswer::Permissions {
        rows: rows.collect(),
    }
}

pub(super) fn topic_permissions(
    access: &Access,
    after: Option<&(String, String, String)>,
    only: Option<&str>,
) -> AccessAdminAnswer {
    let all = access.all_rules();
    let all = all.filter(|(user, _)| only.is_none_or(|only| ***user == *only));
    let all = all.flat_map(|(user, rules)| {
        let of_user = rules.topic_permissions();
        of_user.map(move |(vhost, exchange, granted)| ((&**user, vhost, exchange), granted))
    });
    let later = all.filter(|(key, _)| {
        after.is_none_or(|(user, vhost, exchange)| *key > (&**user, &**vhost, &**exchange))
    });
    let rows = later.take(PAGE_ROW_COUNT);
    let rows = rows.map(|((user, vhost, exchange), granted)| TopicPermissionRow {
        user: user.to_owned(),
        vhost: vhost.to_owned(),
        exchange: exchange.to_owned(),
        write: granted.write().to_owned(),
        read: granted.read().to_owned(),
    });
    AccessAdminAnswer::TopicPermissions {
        rows: rows.collect(),
    }
}

pub(super) fn acls(
    access: &Access,
    wanted: &AclFilter,
    after: Option<AclRow>,
) -> Result<AccessAdminAnswer, String> {
    let after = after.map(AclRow::acl).transpose()?;
    let later = access.acls(wanted).filter(|acl| {
        let after = after.as_ref();
        after.is_none_or(|after| (&acl.principal, &***acl) > (&after.principal, after))
    });
    let rows = later.take(PAGE_ROW_COUNT).map(|acl| AclRow::of(acl));
    Ok(AccessAdminAnswer::Acls {
        rows: rows.collect(),
    })
}

pub(super) fn entity_of(row: &EntityRow) -> Result<QuotaEntity, String> {
    let parts = row.iter().map(|(kind, name)| (&**kind, name.as_deref()));
    checked_entity(parts).map_err(|fault| fault.to_string())
}

pub(super) fn quotas(
    quotas: &QuotaTable,
    after: Option<&EntityRow>,
) -> Result<AccessAdminAnswer, String> {
    let after = after.map(entity_of).transpose()?;
    let later = quotas.all_after(after.as_ref()).take(PAGE_ROW_COUNT);
    let rows = later.map(|(entity, values)| QuotaRow {
        entity: entity
            .parts()
            .map(|(kind, named)| (kind.name().to_owned(), named.name().map(str::to_owned)))
            .collect(),
        values: values
            .iter()
            .map(|(key, value)| (key.name().to_owned(), value.get()))
            .collect(),
    });
    Ok(AccessAdminAnswer::Quotas {
        rows: rows.collect(),
    })
}
