//! Whether what is there is what somebody declares, by RabbitMQ's rules and in its words.

use weir_model::fields::{FieldTable, FieldValue, ShortString};

use super::{
    headers::are_same,
    record::{ExchangeRecord, QueueRecord, QueueType},
};
use crate::api::queues::Refused;

/// The argument of exchanges that is compared.
const EXCHANGE_ARGUMENTS: [&str; 1] = ["alternate-exchange"];
/// The type of a queue that does not say.
const QUEUE_TYPE: &str = "x-queue-type";

/// What is declared, for the refusal.
struct Subject<'a> {
    what: &'static str,
    name: &'a ShortString,
    vhost: &'a str,
}

impl Subject<'_> {
    fn differ(&self, argument: &str, received: String, current: String) -> Refused {
        Refused::Inequivalent {
            what: self.what,
            name: self.name.clone(),
            vhost: self.vhost.to_owned(),
            argument: argument.to_owned(),
            received,
            current,
        }
    }

    fn flag(&self, argument: &str, received: bool, current: bool) -> Result<(), Refused> {
        if received == current {
            return Ok(());
        }
        Err(self.differ(argument, format!("'{received}'"), format!("'{current}'")))
    }

    fn argument(
        &self,
        name: &str,
        received: Option<&FieldValue>,
        current: Option<&FieldValue>,
    ) -> Result<(), Refused> {
        match (received, current) {
            (None, None) => Ok(()),
            (Some(received), Some(current)) if are_same(received, current) => Ok(()),
            (Some(received), Some(current)) => Err(self.differ(
                name,
                format!("'{}'", plain(received)),
                format!("'{}'", plain(current)),
            )),
            (received, current) => Err(self.differ(name, typed(received), typed(current))),
        }
    }
}

/// Whether an exchange that is declared is the one that is there.
pub(crate) fn exchange(
    current: &ExchangeRecord,
    vhost: &str,
    received: &ExchangeRecord,
) -> Result<(), Refused> {
    let subject = Subject {
        what: "exchange",
        name: &current.name,
        vhost,
    };
    let (old, new) = (kind_name(current), kind_name(received));
    if old != new {
        return Err(subject.differ("type", format!("'{new}'"), format!("'{old}'")));
    }
    subject.flag("durable", received.is_durable, current.is_durable)?;
    subject.flag(
        "auto_delete",
        received.is_auto_delete,
        current.is_auto_delete,
    )?;
    subject.flag("internal", received.is_internal, current.is_internal)?;
    for name in EXCHANGE_ARGUMENTS {
        let (new, old) = (received.arguments.get(name), current.arguments.get(name));
        subject.argument(name, new, old)?;
    }
    Ok(())
}

/// The type as clients name it.
pub(crate) fn kind_name(exchange: &ExchangeRecord) -> &'static str {
    match exchange.is_delayed {
        true => "x-delayed-message",
        false => exchange.kind.name(),
    }
}

/// A queue as it is declared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeclaredAs<'a> {
    pub(crate) is_durable: bool,
    pub(crate) is_auto_delete: bool,
    pub(crate) kind: QueueType,
    pub(crate) arguments: &'a FieldTable,
}

/// Whether a queue that is declared is the one that is there. `compared`: the arguments that have a
/// meaning; others are of no account.
pub(crate) fn queue(
    current: &QueueRecord,
    vhost: &str,
    received: &DeclaredAs<'_>,
    compared: &[&str],
) -> Result<(), Refused> {
    let subject = Subject {
        what: "queue",
        name: &current.name,
        vhost,
    };
    subject.flag("durable", received.is_durable, current.is_durable)?;
    subject.flag(
        "auto_delete",
        received.is_auto_delete,
        current.is_auto_delete,
    )?;
    // A type that is not said is the default one.
    if received.kind != current.kind {
        let (new, old) = (received.kind.name(), current.kind.name());
        return Err(subject.differ(QUEUE_TYPE, format!("'{new}'"), format!("'{old}'")));
    }
    for name in compared.iter().filter(|name| **name != QUEUE_TYPE) {
        let (new, old) = (received.arguments.get(name), current.arguments.get(name));
        subject.argument(name, new, old)?;
    }
    Ok(())
}

fn typed(value: Option<&FieldValue>) -> String {
    let Some(value) = value else {
        return "none".to_owned();
    };
    format!(
        "the value '{}' of type '{}'",
        plain(value),
        type_name(value)
    )
}

/// A value for people.
pub(crate) fn plain(value: &FieldValue) -> String {
    if let Some(number) = value.as_int() {
        return number.to_string();
    }
    match value {
        FieldValue::Boolean(value) => value.to_string(),
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        FieldValue::Float32(bits) => f32::from_bits(*bits).to_string(),
        FieldValue::Float64(bits) => f64::from_bits(*bits).to_string(),
        FieldValue::Timestamp(at) => at.to_string(),
        FieldValue::Void => "undefined".to_owned(),
        FieldValue::Decimal(_)
        | FieldValue::Array(_)
        | FieldValue::Table(_)
        | FieldValue::Int8(_)
        | FieldValue::UInt8(_)
        | FieldValue::Int16(_)
        | FieldValue::UInt16(_)
        | FieldValue::Int32(_)
        | FieldValue::UInt32(_)
        | FieldValue::Int64(_)
        | FieldValue::Int64Upper(_) => format!("{value:?}"),
    }
}

/// RabbitMQ's name of a type.
pub(crate) fn type_name(value: &FieldValue) -> &'static str {
    match value {
        FieldValue::Boolean(_) => "bool",
        FieldValue::Int8(_) => "byte",
        FieldValue::UInt8(_) => "unsignedbyte",
        FieldValue::Int16(_) => "short",
        FieldValue::UInt16(_) => "unsignedshort",
        FieldValue::Int32(_) => "signedint",
        FieldValue::UInt32(_) => "unsignedint",
        FieldValue::Int64(_) | FieldValue::Int64Upper(_) => "long",
        FieldValue::Float32(_) => "float",
        FieldValue::Float64(_) => "double",
        FieldValue::Decimal(_) => "decimal",
        FieldValue::LongString(_) => "longstr",
        FieldValue::Bytes(_) => "binary",
        FieldValue::Array(_) => "array",
        FieldValue::Timestamp(_) => "timestamp",
        FieldValue::Table(_) => "table",
        FieldValue::Void => "void",
    }
}
