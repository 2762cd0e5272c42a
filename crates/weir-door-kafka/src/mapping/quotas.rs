//! DescribeClientQuotas and AlterClientQuotas 0 and 1 (KIP-546).

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
        DescribeClientQuotasResponse,
        alter_client_quotas_request::{EntityData, EntryData, OpData},
        alter_client_quotas_response::{EntityData as ToldPart, EntryData as ToldEntry},
        describe_client_quotas_response::{
            EntityData as FoundPart, EntryData as FoundEntry, ValueData,
        },
    },
    protocol::StrBytes,
};
use weir_broker::{
    api::{
        Request,
        access::{AccessChanged, ChangeAccess},
    },
    quota::{
        EntityType, Named, QuotaChanges, QuotaEntity, QuotaKey, QuotaTable, QuotaValue,
        checked_entity, checked_value,
    },
};

use super::plan::{AccessPlan, Answer, MapError, Mapped, Plan, Refused};
use crate::{codec::header::Head, wire_code};

/// Most entities that one request changes: each is a decision of the cluster.
pub const MAX_CHANGED_COUNT: usize = 1_000;

// How a component of a filter matches.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(wire_code::INVALID_REQUEST, message)
}

/// Names that are meant, by type; `None`: whatever name of this type.
type Wanted = BTreeMap<EntityType, Option<Named>>;

/// Answers DescribeClientQuotas.
pub fn describe(
    head: &Head,
    request: &DescribeClientQuotasRequest,
    quotas: &QuotaTable,
) -> Result<Mapped, MapError> {
    let found = wanted(request).map(|wanted| described(&wanted, request.strict, quotas));
    let response = match found {
        Ok(entries) => DescribeClientQuotasResponse::default()
            .with_error_message(None)
            .with_entries(Some(entries)),
        Err(refused) => DescribeClientQuotasResponse::default()
            .with_error_code(refused.code)
            .with_error_message(refused.message)
            .with_entries(None),
    };
    let frame = head.frame(&response)?;
    Ok(Mapped::Answered(Answer::Frame(vec![frame])))
}

/// In Kafka's words (`ClientQuotasImage`).
fn wanted(request: &DescribeClientQuotasRequest) -> Result<Wanted, Refused> {
    let mut wanted = Wanted::new();
    for component in &request.components {
        let word = &*component.entity_type;
        if word.is_empty() {
            return Err(invalid("Invalid empty entity type."));
        }
        let kind = EntityType::named(word).ok_or_else(|| {
            let words = format!("Unsupported entity type {word}");
            Refused::new(wire_code::UNSUPPORTED_VERSION, words)
        })?;
        let name = component._match.as_deref();
        let named = match (component.match_type, name) {
            (EXACT, Some(name)) => Some(Named::of(Some(name))),
            (EXACT, None) => {
                return Err(invalid(
                    "Request specified MATCH_TYPE_EXACT, but set match string to null.",
                ));
            }
            (DEFAULT, None) => Some(Named::Default),
            (ANY, None) => None,
            (DEFAULT, Some(_)) => {
                return Err(invalid(
                    "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.",
                ));
            }
            (ANY, Some(_)) => {
                return Err(invalid(
                    "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.",
                ));
            }
            (other, _) => return Err(invalid(format!("Unknown match type {other}"))),
        };
        if wanted.insert(kind, named).is_some() {
            return Err(invalid(format!(
                "Entity type {word} cannot appear more than once in the filter."
            )));
        }
    }
    Ok(wanted)
}

fn described(wanted: &Wanted, is_strict: bool, quotas: &QuotaTable) -> Vec<FoundEntry> {
    let is_meant = |entity: &QuotaEntity| {
        let mut all = wanted.iter();
        let has_all = all.all(|(kind, named)| {
            let part = entity.part(*kind);
            part.is_some_and(|part| named.as_ref().is_none_or(|named| named == part))
        });
        has_all && (!is_strict || entity.parts().count() == wanted.len())
    };
    let found = quotas.all().filter(|(entity, _)| is_meant(entity));
    let entries = found.map(|(entity, values)| {
        let parts = entity.parts().map(|(kind, named)| {
            FoundPart::default()
                .with_entity_type(StrBytes::from_static_str(kind.name()))
                .with_entity_name(named.name().map(text))
        });
        let values = values.iter().map(|(key, value)| {
            ValueData::default()
                .with_key(StrBytes::from_static_str(key.name()))
                .with_value(value.get())
        });
        FoundEntry::default()
            .with_entity(parts.collect())
            .with_values(values.collect())
    });
    entries.collect()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// An entity as it was asked for, and why the node is not asked to change it.
#[derive(Debug)]
pub struct AskedEntity {
    parts: Vec<EntityData>,
    /// `None`: nothing is wrong with it.
    refused: Option<Refused>,
    /// The node is asked.
    is_asked: bool,
}

/// Maps AlterClientQuotas. All changes of an entity are made, or none.
pub fn map_alter(head: &Head, request: &AlterClientQuotasRequest) -> Result<Mapped, MapError> {
    let is_too_much = request.entries.len() > MAX_CHANGED_COUNT;
    let mut changes = Vec::new();
    let asked = request.entries.iter().map(|entry| {
        let checked = match is_too_much {
            true => Err(invalid(format!(
                "Cannot alter more than {MAX_CHANGED_COUNT} entities in a single request."
            ))),
            false => read_entry(entry),
        };
        let (refused, is_asked) = match checked {
            Ok(_) if request.validate_only => (None, false),
            Ok(change) => {
                changes.push(change);
                (None, true)
            }
            Err(refused) => (Some(refused), false),
        };
        AskedEntity {
            parts: entry.entity.clone(),
            refused,
            is_asked,
        }
    });
    let asked = asked.collect();
    if changes.is_empty() {
        return Ok(Mapped::Answered(answer_alter(head, asked, Vec::new())?));
    }
    let plan = Plan::Access(AccessPlan::AlterQuotas(asked));
    Ok(Mapped::Ask(Request::ChangeAccess(changes), plan))
}

fn read_entry(entry: &EntryData) -> Result<ChangeAccess, Refused> {
    let parts = entry.entity.iter();
    let parts = parts.map(|part| (&*part.entity_type, part.entity_name.as_deref()));
    let entity = checked_entity(parts).map_err(|fault| invalid(fault.to_string()))?;
    let mut changes = QuotaChanges::new();
    for op in &entry.ops {
        let (key, value) = read_op(&entity, op)?;
        if changes.insert(key, value).is_some() {
            let words = format!("Duplicate quota key {} not updated in batch", op.key);
            return Err(invalid(words));
        }
    }
    Ok(ChangeAccess::AlterQuota { entity, changes })
}

type Change = (QuotaKey, Option<QuotaValue>);

fn read_op(entity: &QuotaEntity, op: &OpData) -> Result<Change, Refused> {
    let value = (!op.remove).then_some(op.value);
    checked_value(entity, &op.key, value).map_err(|fault| invalid(fault.to_string()))
}

/// What became of each entity.
pub fn answer_alter(
    head: &Head,
    asked: Vec<AskedEntity>,
    outcome: Vec<AccessChanged>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let entries = asked.into_iter().map(|entity| {
        let refused = entity.refused.or_else(|| match entity.is_asked {
            false => None,
            true => match outcome.next() {
                Some(Ok(_)) => None,
                Some(Err(refused)) => Some(Refused::from(&refused)),
                None => Some(wire_code::UNKNOWN_SERVER_ERROR.into()),
            },
        });
        answered(&entity.parts, refused)
    });
    let response = AlterClientQuotasResponse::default().with_entries(entries.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// What became of an entity.
pub fn answered(parts: &[EntityData], refused: Option<Refused>) -> ToldEntry {
    let parts = parts.iter().map(|part| {
        ToldPart::default()
            .with_entity_type(part.entity_type.clone())
            .with_entity_name(part.entity_name.clone())
    });
    let (code, message) = refused.map_or((wire_code::NONE, None), |refused| {
        (refused.code, refused.message)
    });
    ToldEntry::default()
        .with_error_code(code)
        .with_error_message(message)
        .with_entity(parts.collect())
}
