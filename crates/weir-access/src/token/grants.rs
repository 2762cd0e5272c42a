//! What RabbitMQ's scopes allow: `configure:`, `write:` or `read:`, then patterns of a virtual host, of a name in it
//! and, for topic exchanges, of a routing key, with `/` between them: `read:*/orders-*`, `write:shop/events/eu.*`.
//!
//! In a pattern `*` stands for any characters, `%2F` for a slash, and so on. Where a scope has no pattern of routing
//! keys it allows nothing with a topic exchange's.

use crate::{check::Need, limit::MAX_GRANTS, permission::Permission};

/// What the scopes of a token allow, beside what rules do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    permission: Permission,
    vhost: Glob,
    name: Glob,
    key: Option<Glob>,
}

/// What stands between the `*` of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(Vec<Vec<u8>>);

impl Grants {
    /// Of the scopes that begin with the prefix: of others, and of those that are none of RabbitMQ's permissions, nothing
    /// follows. `None`: there are more than there may be.
    pub fn of<'a>(scopes: impl Iterator<Item = &'a str>, prefix: &str) -> Option<Self> {
        let mut grants = Vec::new();
        for scope in scopes.flat_map(|text| text.split(' ')) {
            let parsed = scope.strip_prefix(prefix).and_then(Grant::parse);
            grants.extend(parsed);
            if grants.len() > MAX_GRANTS {
                return None;
            }
        }
        Some(Self(grants))
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them allows that. Of what Kafka's ACLs tell they say nothing.
    pub(crate) fn allow(&self, need: Need<'_>) -> bool {
        self.0.iter().any(|grant| match need {
            Need::Acl { .. } | Need::AnyOf { .. } => false,
            Need::Vhost { vhost } => grant.vhost.matches(vhost),
            Need::Named {
                permission,
                vhost,
                name,
            } => grant.is_about(permission, vhost, name),
            Need::RoutingKey {
                permission,
                vhost,
                exchange,
                key,
            } => {
                let keys = grant.key.as_ref();
                grant.is_about(permission, vhost, exchange)
                    && keys.is_some_and(|keys| keys.matches(key))
            }
        })
    }
}

impl Grant {
    fn parse(scope: &str) -> Option<Self> {
        let (word, patterns) = scope.split_once(':')?;
        let all = [Permission::Configure, Permission::Write, Permission::Read];
        let permission = all.into_iter().find(|known| known.name() == word)?;
        let mut patterns = patterns.split('/').map(Glob::parse);
        let (vhost, name) = (patterns.next()??, patterns.next()??);
        let key = patterns.next();
        // A pattern that cannot be understood allows nothing.
        let is_whole = patterns.next().is_none() && !matches!(key, Some(None));
        is_whole.then_some(Self {
            permission,
            vhost,
            name,
            key: key.flatten(),
        })
    }

    fn is_about(&self, permission: Permission, vhost: &str, name: &str) -> bool {
        // The default exchange has no name, and permissions call it so.
        let name = if name.is_empty() { "amq.default" } else { name };
        self.permission == permission && self.vhost.matches(vhost) && self.name.matches(name)
    }
}

impl Glob {
    fn parse(text: &str) -> Option<Self> {
        text.split('*')
            .map(decoded)
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Takes no more steps than the product of both lengths.
    fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return false;
        };
        let Some((last, between)) = rest.split_last() else {
            return name.as_bytes() == first;
        };
        let Some(mut left) = name.as_bytes().strip_prefix(first.as_slice()) else {
            return false;
        };
        for piece in between.iter().filter(|piece| !piece.is_empty()) {
            let mut places = left.windows(piece.len());
            match places.position(|place| place == piece) {
                Some(at) => left = &left[at + piece.len()..],
                None => return false,
            }
        }
        left.ends_with(last)
    }
}

/// A text of a URL's query as it was before: `%41` is an `A`, `+` a blank.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        out.push(match byte {
            b'%' => {
                let number = digit(bytes.next())? * 16 + digit(bytes.next())?;
                u8::try_from(number).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access, Caller, Permissions, Principal, Seed, User,
        acl::{Operation, ResourceType},
    };

    fn grants(scopes: &str) -> Grants {
        Grants::of([scopes].into_iter(), "weir.").unwrap()
    }

    fn allows(scopes: &str, permission: Permission, vhost: &str, name: &str) -> bool {
        grants(scopes).allow(Need::Named {
            permission,
            vhost,
            name,
        })
    }

    #[test]
    fn a_scope_allows_one_permission_where_its_patterns_fit() {
        use Permission::{Configure, Read, Write};
        for (scopes, permission, vhost, name, is_allowed) in [
            ("weir.read:*/*", Read, "/", "orders", true),
            ("weir.read:*/*", Write, "/", "orders", false),
            ("weir.read:%2F/orders-*", Read, "/", "orders-7", true),
            ("weir.read:%2F/orders-*", Read, "/", "order", false),
            ("weir.read:%2f/orders-*", Read, "shop", "orders-7", false),
            ("weir.write:shop/*-eu", Write, "shop", "a-eu-eu", true),
            ("weir.write:shop/a*b*c", Write, "shop", "a-b-b-c", true),
            ("weir.write:shop/a*b*c", Write, "shop", "acb", false),
            ("weir.write:shop/ab*ba", Write, "shop", "aba", false),
            ("weir.write:*/amq.default", Write, "/", "", true),
            ("weir.configure:a+b/%2a", Configure, "a b", "*", true),
            ("weir.configure:a+b/%2a", Configure, "a b", "x", false),
            ("openid weir.read:a/b weir.read:c/d", Read, "c", "d", true),
            ("read:*/*", Read, "/", "orders", false),
            ("weir2.read:*/*", Read, "/", "orders", false),
            ("weir.read:*", Read, "/", "orders", false),
            ("weir.read:*/*/*/*", Read, "/", "orders", false),
            ("weir.read:%zz/*", Read, "/", "orders", false),
            ("weir.read:*/*/%2", Read, "/", "orders", false),
            ("weir.tag:administrator", Read, "/", "orders", false),
            ("weir.", Read, "/", "orders", false),
            ("", Read, "/", "orders", false),
        ] {
            let found = allows(scopes, permission, vhost, name);
            assert_eq!(found, is_allowed, "{scopes} of {name}");
        }
    }

    #[test]
    fn any_scope_of_a_virtual_host_lets_in_and_routing_keys_want_a_pattern_of_their_own() {
        let own = grants("weir.read:shop/orders weir.write:shop/events/eu.*");
        assert!(own.allow(Need::Vhost { vhost: "shop" }));
        assert!(!own.allow(Need::Vhost { vhost: "/" }));
        let key = |permission, exchange, key| {
            own.allow(Need::RoutingKey {
                permission,
                vhost: "shop",
                exchange,
                key,
            })
        };
        assert!(key(Permission::Write, "events", "eu.orders"));
        assert!(!key(Permission::Write, "events", "us.orders"));
        assert!(!key(Permission::Read, "events", "eu.orders"));
        assert!(!key(Permission::Read, "orders", "any"));
    }

    #[test]
    fn scopes_are_texts_with_blanks_between_them_or_several_texts_and_have_a_limit() {
        let several = ["weir.read:a/b", "weir.read:c/d"];
        let found = Grants::of(several.into_iter(), "weir.").unwrap();
        assert_eq!(found, grants("weir.read:a/b weir.read:c/d"));
        for (count, is_taken) in [(MAX_GRANTS, true), (MAX_GRANTS + 1, false)] {
            let many = "weir.read:a/b ".repeat(count);
            let found = Grants::of([many.as_str()].into_iter(), "weir.");
            assert_eq!(found.is_some(), is_taken);
        }
        assert!(grants("openid profile").is_empty());
    }

    #[test]
    fn what_a_token_grants_counts_beside_the_rules_and_not_against_acls_nor_for_one_who_is_disabled()
     {
        let mut access = Access::default();
        access.create_user(User::new("tim"), Seed([1; 32])).unwrap();
        let of_all = Permissions::new(".*", ".*", ".*");
        access.set_permissions("tim", "/", Some(of_all)).unwrap();
        let scopes = "read:shop/orders write:shop/events/eu.*";
        let grants = Grants::of([scopes].into_iter(), "").unwrap();
        let tim = Principal::Vouched("tim".into());
        let may = |access: &Access, need| {
            let caller = Caller {
                principal: &tim,
                host: [10, 0, 0, 1].into(),
                grants: Some(&grants),
            };
            access.check(caller, need).is_allowed()
        };
        let named = |permission, vhost, name| Need::Named {
            permission,
            vhost,
            name,
        };
        let key = |vhost, exchange, key| Need::RoutingKey {
            permission: Permission::Write,
            vhost,
            exchange,
            key,
        };
        assert!(may(&access, Need::Vhost { vhost: "shop" }));
        assert!(may(&access, Need::Vhost { vhost: "/" }));
        assert!(may(&access, named(Permission::Read, "shop", "orders")));
        assert!(!may(&access, named(Permission::Write, "shop", "orders")));
        assert!(may(&access, named(Permission::Write, "/", "orders")));
        assert!(may(&access, key("shop", "events", "eu.a")));
        assert!(!may(&access, key("shop", "events", "us.a")));
        // Where rules let it in, theirs count.
        assert!(may(&access, key("/", "events", "us.a")));
        let acl = Need::Acl {
            operation: Operation::Read,
            resource: ResourceType::Topic,
            name: "orders",
        };
        assert!(!may(&access, acl));
        access.set_enabled("tim", false).unwrap();
        assert!(!may(&access, Need::Vhost { vhost: "shop" }));
    }
}
