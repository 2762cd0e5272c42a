//! DescribeUserScramCredentials 0 and AlterUserScramCredentials 0 (KIP-554).

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
        DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
        alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion},
        alter_user_scram_credentials_response::AlterUserScramCredentialsResult,
        describe_user_scram_credentials_response::{
            CredentialInfo, DescribeUserScramCredentialsResult,
        },
    },
    protocol::StrBytes,
};
use weir_access::{Access, Hash, MAX_ITERATIONS, MIN_ITERATIONS, User, Verifier, is_valid_name};
use weir_broker::api::{
    Request,
    access::{AccessChanged, ChangeAccess},
};

use super::plan::{AccessPlan, Answer, Client, MapError, Mapped, Plan, Refused};
use crate::{codec::header::Head, wire_code};

/// Most users that one request changes: each is a decision of the cluster.
pub const MAX_CHANGED_COUNT: usize = 1_000;

fn hash(code: i8) -> Option<Hash> {
    Hash::ALL.into_iter().find(|hash| wire(*hash) == code)
}

fn wire(hash: Hash) -> i8 {
    match hash {
        Hash::Sha256 => 1,
        Hash::Sha512 => 2,
    }
}

/// Answers DescribeUserScramCredentials.
pub fn describe(
    head: &Head,
    request: DescribeUserScramCredentialsRequest,
    access: &Access,
) -> Result<Mapped, MapError> {
    let named = request.users.unwrap_or_default();
    let results: Vec<_> = if named.is_empty() {
        let all = access.users_after(None);
        let all = all.filter(|user| !user.verifiers.is_empty());
        all.map(|user| described(StrBytes::from_string(user.name.to_string()), user))
            .collect()
    } else {
        let mut times = BTreeMap::<StrBytes, usize>::new();
        for user in named {
            *times.entry(user.name).or_default() += 1;
        }
        let each = times.into_iter();
        each.map(|(name, times)| found(name, times, access))
            .collect()
    };
    let response = DescribeUserScramCredentialsResponse::default()
        .with_error_message(None)
        .with_results(results);
    let frame = head.frame(&response)?;
    Ok(Mapped::Answered(Answer::Frame(vec![frame])))
}

fn found(name: StrBytes, times: usize, access: &Access) -> DescribeUserScramCredentialsResult {
    let known = access.user(&name);
    let known = known.filter(|user| !user.verifiers.is_empty());
    let (code, words) = match known {
        _ if times > 1 => (
            wire_code::DUPLICATE_RESOURCE,
            "Cannot describe SCRAM credentials for the same user twice in a single request: ",
        ),
        Some(user) => return described(name, user),
        None => (
            wire_code::RESOURCE_NOT_FOUND,
            "Attempt to describe a user credential that does not exist: ",
        ),
    };
    let message = StrBytes::from_string(format!("{words}{name}"));
    DescribeUserScramCredentialsResult::default()
        .with_user(name)
        .with_error_code(code)
        .with_error_message(Some(message))
}

fn described(name: StrBytes, user: &User) -> DescribeUserScramCredentialsResult {
    let infos = user.verifiers.iter().map(|verifier| {
        CredentialInfo::default()
            .with_mechanism(wire(verifier.hash))
            .with_iterations(i32::try_from(verifier.iterations).unwrap_or(i32::MAX))
    });
    DescribeUserScramCredentialsResult::default()
        .with_user(name)
        .with_error_message(None)
        .with_credential_infos(infos.collect())
}

/// A user, and why the node is not asked to change it.
pub type AskedUser = (StrBytes, Option<Refused>);

/// Maps AlterUserScramCredentials. A user is changed once, or not at all.
pub fn map_alter(
    head: &Head,
    request: AlterUserScramCredentialsRequest,
    client: &Client,
) -> Result<Mapped, MapError> {
    let access = client.access.load();
    let mut changes = BTreeMap::<StrBytes, Result<ChangeAccess, Refused>>::new();
    let mut put = |name: StrBytes, change: Result<ChangeAccess, Refused>| {
        let twice = || {
            let words = "A user credential cannot be altered twice in the same request";
            Err(Refused::new(wire_code::DUPLICATE_RESOURCE, words))
        };
        changes
            .entry(name)
            .and_modify(|known| {
                // What was wrong first is told.
                if known.is_ok() {
                    *known = twice();
                }
            })
            .or_insert(change);
    };
    for deletion in request.deletions {
        let change = read_deletion(&deletion, &access);
        put(deletion.name, change);
    }
    for upsertion in request.upsertions {
        let change = read_upsertion(&upsertion);
        put(upsertion.name, change);
    }
    let (asked, commands) = parted(changes);
    if commands.is_empty() {
        return Ok(Mapped::Answered(answer_alter(head, asked, Vec::new())?));
    }
    let plan = Plan::Access(AccessPlan::AlterUsers(asked));
    Ok(Mapped::Ask(Request::ChangeAccess(commands), plan))
}

fn parted(
    changes: BTreeMap<StrBytes, Result<ChangeAccess, Refused>>,
) -> (Vec<AskedUser>, Vec<ChangeAccess>) {
    let is_too_much = changes.len() > MAX_CHANGED_COUNT;
    let mut commands = Vec::new();
    let asked = changes.into_iter().map(|(name, change)| {
        let refused = match change {
            Ok(_) if is_too_much => Some(Refused::new(
                wire_code::INVALID_REQUEST,
                format!("Cannot alter more than {MAX_CHANGED_COUNT} users in a single request."),
            )),
            Ok(command) => {
                commands.push(command);
                None
            }
            Err(refused) => Some(refused),
        };
        (name, refused)
    });
    let asked = asked.collect();
    (asked, commands)
}

fn unacceptable(message: impl Into<String>) -> Refused {
    Refused::new(wire_code::UNACCEPTABLE_CREDENTIAL, message)
}

fn read_mechanism(name: &str, mechanism: i8) -> Result<Hash, Refused> {
    if name.is_empty() {
        return Err(unacceptable("Username must not be empty"));
    }
    hash(mechanism).ok_or_else(|| {
        Refused::new(
            wire_code::UNSUPPORTED_SASL_MECHANISM,
            "Unknown SCRAM mechanism",
        )
    })
}

fn read_deletion(
    deletion: &ScramCredentialDeletion,
    access: &Access,
) -> Result<ChangeAccess, Refused> {
    let hash = read_mechanism(&deletion.name, deletion.mechanism)?;
    let known = access.user(&deletion.name);
    match known.and_then(|user| user.verifier(hash)) {
        Some(_) => Ok(ChangeAccess::RemoveVerifier {
            user: deletion.name.to_string(),
            hash,
        }),
        None => Err(Refused::new(
            wire_code::RESOURCE_NOT_FOUND,
            "Attempt to delete a user credential that does not exist",
        )),
    }
}

fn read_upsertion(upsertion: &ScramCredentialUpsertion) -> Result<ChangeAccess, Refused> {
    let hash = read_mechanism(&upsertion.name, upsertion.mechanism)?;
    let iterations = u32::try_from(upsertion.iterations).unwrap_or(0);
    if iterations < MIN_ITERATIONS {
        return Err(unacceptable("Too few iterations"));
    }
    if iterations > MAX_ITERATIONS {
        return Err(unacceptable("Too many iterations"));
    }
    is_valid_name(&upsertion.name)
        .map_err(|fault| unacceptable(format!("The username {fault}")))?;
    let (salted, salt) = (&upsertion.salted_password, &upsertion.salt);
    let verifier = Verifier::of_salted_password(hash, salted, salt, iterations);
    let verifier = verifier.ok_or_else(|| {
        unacceptable("The salt or the salted password has not the length that it must have")
    })?;
    Ok(ChangeAccess::PutVerifier {
        user: upsertion.name.to_string(),
        verifier,
    })
}

/// What became of each user.
pub fn answer_alter(
    head: &Head,
    asked: Vec<AskedUser>,
    outcome: Vec<AccessChanged>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let results = asked.into_iter().map(|(user, refused)| {
        let refused = refused.or_else(|| match outcome.next() {
            Some(Ok(_)) => None,
            Some(Err(refused)) => Some(Refused::from(&refused)),
            None => Some(wire_code::UNKNOWN_SERVER_ERROR.into()),
        });
        let (code, message) = refused.map_or((wire_code::NONE, None), |refused| {
            (refused.code, refused.message)
        });
        AlterUserScramCredentialsResult::default()
            .with_user(user)
            .with_error_code(code)
            .with_error_message(message)
    });
    let response = AlterUserScramCredentialsResponse::default().with_results(results.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
