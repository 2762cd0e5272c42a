//! Users and ACLs as bytes. A verifier: `u8` hash, bytes salt, `u32` rounds, bytes stored key, bytes server
//! key. A user: text name, `u32` verifiers, `u32` tags as text, flag enabled, limits. Limits: each a flag, and
//! `u32` where it is set. An ACL: `u8` resource type, `u8` pattern type, text name, text principal, text host,
//! `u8` operation, `u8` effect. A filter: the same, each where a flag says that it is set; the pattern: `u8`
//! its type, or 0 for any and 1 for those that match.

use std::{collections::BTreeSet, sync::Arc};

use weir_access::{
    Hash, Seed, User, UserLimits, Verifier,
    acl::{Acl, AclFilter, Effect, Operation, PatternFilter, PatternType, ResourceType},
};

use crate::encoding::{DecodeError, Reader, Writer};

pub(super) const ACL_MIN_BYTES: usize = 1 + 1 + 4 + 4 + 4 + 1 + 1;
pub(super) const FILTER_MIN_BYTES: usize = 1 + 1 + 1 + 1 + 1 + 1 + 1;
pub(super) const VERIFIER_MIN_BYTES: usize = 1 + 4 + 4 + 4 + 4;
pub(super) const USER_MIN_BYTES: usize = 4 + 4 + 4 + 1 + 1 + 1;

const SHA_256: u8 = 1;
const SHA_512: u8 = 2;

const ANY_PATTERN: u8 = 0;
const MATCHING_PATTERN: u8 = 1;

type Decoded<T> = Result<T, DecodeError>;

pub(super) fn write_hash(writer: &mut Writer, hash: Hash) {
    writer.u8(match hash {
        Hash::Sha256 => SHA_256,
        Hash::Sha512 => SHA_512,
    });
}

pub(super) fn read_hash(reader: &mut Reader<'_>) -> Decoded<Hash> {
    match reader.u8()? {
        SHA_256 => Ok(Hash::Sha256),
        SHA_512 => Ok(Hash::Sha512),
        tag => Err(reader.unknown_tag("hash", tag)),
    }
}

pub(super) fn write_seed(writer: &mut Writer, seed: &Seed) {
    writer.bytes(&seed.0);
}

pub(super) fn read_seed(reader: &mut Reader<'_>) -> Decoded<Seed> {
    let bytes = reader.bytes()?.try_into();
    bytes.map(Seed).map_err(|_| reader.invalid("seed"))
}

pub(super) fn write_verifiers(writer: &mut Writer, verifiers: &[Verifier]) {
    writer.count(verifiers.len());
    for verifier in verifiers {
        write_hash(writer, verifier.hash);
        writer.bytes(&verifier.salt);
        writer.u32(verifier.iterations);
        writer.bytes(&verifier.stored_key);
        writer.bytes(&verifier.server_key);
    }
}

pub(super) fn read_verifiers(reader: &mut Reader<'_>) -> Decoded<Vec<Verifier>> {
    let mut verifiers = Vec::new();
    for _ in 0..reader.count(VERIFIER_MIN_BYTES)? {
        verifiers.push(Verifier {
            hash: read_hash(reader)?,
            salt: reader.bytes()?.into(),
            iterations: reader.u32()?,
            stored_key: reader.bytes()?.into(),
            server_key: reader.bytes()?.into(),
        });
    }
    Ok(verifiers)
}

pub(super) fn write_tags(writer: &mut Writer, tags: &BTreeSet<String>) {
    writer.count(tags.len());
    tags.iter().for_each(|tag| writer.text(tag));
}

pub(super) fn read_tags(reader: &mut Reader<'_>) -> Decoded<BTreeSet<String>> {
    let mut tags = BTreeSet::new();
    for _ in 0..reader.count(4)? {
        tags.insert(reader.text()?.to_owned());
    }
    Ok(tags)
}

pub(super) fn write_limits(writer: &mut Writer, limits: UserLimits) {
    for limit in [limits.max_connections, limits.max_channels] {
        write_flag(writer, limit.is_some());
        limit.iter().for_each(|limit| writer.u32(*limit));
    }
}

pub(super) fn read_limits(reader: &mut Reader<'_>) -> Decoded<UserLimits> {
    let mut limit = || match reader.flag()? {
        true => reader.u32().map(Some),
        false => Ok(None),
    };
    Ok(UserLimits {
        max_connections: limit()?,
        max_channels: limit()?,
    })
}

pub(super) fn write_user(writer: &mut Writer, user: &User) {
    writer.text(&user.name);
    write_verifiers(writer, &user.verifiers);
    write_tags(writer, &user.tags);
    write_flag(writer, user.is_enabled);
    write_limits(writer, user.limits);
}

pub(super) fn read_user(reader: &mut Reader<'_>) -> Decoded<User> {
    Ok(User {
        name: reader.text()?.into(),
        verifiers: read_verifiers(reader)?,
        tags: read_tags(reader)?,
        is_enabled: reader.flag()?,
        limits: read_limits(reader)?,
    })
}

pub(super) fn write_acl(writer: &mut Writer, acl: &Acl) {
    writer.u8(acl.resource.code());
    writer.u8(acl.pattern.code());
    writer.text(&acl.name);
    writer.text(&acl.principal);
    writer.text(&acl.host);
    writer.u8(acl.operation.code());
    writer.u8(acl.effect.code());
}

pub(super) fn read_acl(reader: &mut Reader<'_>) -> Decoded<Acl> {
    Ok(Acl {
        resource: coded(reader, "resource type", ResourceType::from_code)?,
        pattern: coded(reader, "pattern type", PatternType::from_code)?,
        name: reader.text()?.into(),
        principal: reader.text()?.into(),
        host: reader.text()?.into(),
        operation: coded(reader, "operation", Operation::from_code)?,
        effect: coded(reader, "effect", Effect::from_code)?,
    })
}

pub(super) fn write_acls<'a>(writer: &mut Writer, acls: impl ExactSizeIterator<Item = &'a Acl>) {
    writer.count(acls.len());
    acls.for_each(|acl| write_acl(writer, acl));
}

pub(super) fn read_acls(reader: &mut Reader<'_>) -> Decoded<Vec<Arc<Acl>>> {
    let mut acls = Vec::new();
    for _ in 0..reader.count(ACL_MIN_BYTES)? {
        acls.push(Arc::new(read_acl(reader)?));
    }
    Ok(acls)
}

pub(super) fn write_filter(writer: &mut Writer, filter: &AclFilter) {
    write_code(writer, filter.resource.map(ResourceType::code));
    writer.u8(match filter.pattern {
        PatternFilter::Any => ANY_PATTERN,
        PatternFilter::Match => MATCHING_PATTERN,
        PatternFilter::Only(pattern) => pattern.code(),
    });
    writer.optional_text(filter.name.as_deref());
    writer.optional_text(filter.principal.as_deref());
    writer.optional_text(filter.host.as_deref());
    write_code(writer, filter.operation.map(Operation::code));
    write_code(writer, filter.effect.map(Effect::code));
}

pub(super) fn read_filter(reader: &mut Reader<'_>) -> Decoded<AclFilter> {
    Ok(AclFilter {
        resource: read_code(reader, "resource type", ResourceType::from_code)?,
        pattern: match reader.u8()? {
            ANY_PATTERN => PatternFilter::Any,
            MATCHING_PATTERN => PatternFilter::Match,
            code => {
                let pattern = PatternType::from_code(code);
                let pattern = pattern.ok_or_else(|| reader.unknown_tag("pattern type", code))?;
                PatternFilter::Only(pattern)
            }
        },
        name: reader.optional_text()?.map(Into::into),
        principal: reader.optional_text()?.map(Into::into),
        host: reader.optional_text()?.map(Into::into),
        operation: read_code(reader, "operation", Operation::from_code)?,
        effect: read_code(reader, "effect", Effect::from_code)?,
    })
}

fn write_code(writer: &mut Writer, code: Option<u8>) {
    write_flag(writer, code.is_some());
    code.iter().for_each(|code| writer.u8(*code));
}

fn read_code<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    from: impl Fn(u8) -> Option<T>,
) -> Decoded<Option<T>> {
    match reader.flag()? {
        true => coded(reader, what, from).map(Some),
        false => Ok(None),
    }
}

fn coded<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    from: impl Fn(u8) -> Option<T>,
) -> Decoded<T> {
    let code = reader.u8()?;
    from(code).ok_or_else(|| reader.unknown_tag(what, code))
}

pub(super) fn write_flag(writer: &mut Writer, is_set: bool) {
    writer.u8(u8::from(is_set));
}
