//! Users and rules as bytes: `u64` generation, flag closed, bytes seed, `u32` users by name, `u32` names
//! with rules, each a text, `u32` permissions (texts virtual host, configure, write, read), `u32` permissions for
//! routing keys (texts virtual host, exchange, write, read) and `u32` ACLs.

use std::sync::Arc;

use weir_access::{Access, Rules};

use super::record::{
    USER_MIN_BYTES, read_acls, read_seed, read_user, write_acls, write_flag, write_seed, write_user,
};
use crate::encoding::{DecodeError, Reader, Writer};

const RULES_MIN_BYTES: usize = 4 + 4 + 4 + 4;
const PERMISSIONS_MIN_BYTES: usize = 4 + 4 + 4 + 4;

pub(crate) fn write(writer: &mut Writer, access: &Access) {
    writer.u64(access.generation());
    write_flag(writer, !access.is_open());
    write_seed(writer, access.seed());
    writer.count(access.user_count());
    for user in access.users_after(None) {
        write_user(writer, user);
    }
    let all: Vec<_> = access.all_rules().collect();
    writer.count(all.len());
    for (name, rules) in all {
        writer.text(name);
        let permissions: Vec<_> = rules.permissions().collect();
        writer.count(permissions.len());
        for (vhost, granted) in permissions {
            writer.text(vhost);
            for wanted in [&granted.configure, &granted.write, &granted.read] {
                writer.text(wanted.text());
            }
        }
        let topics: Vec<_> = rules.topic_permissions().collect();
        writer.count(topics.len());
        for (vhost, exchange, granted) in topics {
            let texts = [vhost, exchange, granted.write(), granted.read()];
            texts.iter().for_each(|text| writer.text(text));
        }
        let acls: Vec<_> = rules.acls().map(|acl| &**acl).collect();
        write_acls(writer, acls.into_iter());
    }
}

pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Access, DecodeError> {
    let (generation, is_closed) = (reader.u64()?, reader.flag()?);
    let seed = read_seed(reader)?;
    let mut users = Vec::new();
    for _ in 0..reader.count(USER_MIN_BYTES)? {
        users.push(read_user(reader)?);
    }
    let mut all = Vec::new();
    for _ in 0..reader.count(RULES_MIN_BYTES)? {
        let name: Arc<str> = reader.text()?.into();
        let mut rules = Rules::default();
        for _ in 0..reader.count(PERMISSIONS_MIN_BYTES)? {
            let vhost = reader.text()?;
            let (configure, write, read) = (reader.text()?, reader.text()?, reader.text()?);
            rules.put_permissions(vhost, configure, write, read);
        }
        for _ in 0..reader.count(PERMISSIONS_MIN_BYTES)? {
            let (vhost, exchange) = (reader.text()?, reader.text()?);
            let (write, read) = (reader.text()?, reader.text()?);
            rules.put_topic_permissions(&name, vhost, exchange, (write, read));
        }
        for acl in read_acls(reader)? {
            if *acl.principal != *name {
                return Err(reader.invalid("principal"));
            }
            rules.put_acl(acl);
        }
        all.push((name, rules));
    }
    let access = Access::from_parts(generation, is_closed, seed, users, all);
    access.ok_or_else(|| reader.invalid("users and rules"))
}
