//! What a message may say of itself.

use weir_broker::api::queues::REPLY_QUEUE;
use weir_model::fields::{BasicProperties, FieldValue, ShortString};

use crate::wire_code::{Failure, ReplyCode};

/// Longest time to live, in ms (RabbitMQ's, from Erlang's longest timer).
const MAX_EXPIRATION_MS: u64 = 4_294_967_295;
/// Headers that name more routing keys.
const COPIES: [&str; 2] = ["CC", "BCC"];

/// Refuses a message that says what it must not.
pub(super) fn check(properties: &BasicProperties, user: &ShortString) -> Result<(), Failure> {
    if let Some(claimed) = &properties.user_id
        && claimed != user
    {
        return refused(format!(
            "user_id property set to '{claimed}' but authenticated user was '{user}'"
        ));
    }
    if let Some(expiration) = &properties.expiration {
        check_expiration(expiration.as_str())?;
    }
    for name in COPIES {
        let headers = properties.headers.as_ref();
        match headers.and_then(|headers| headers.get(name)) {
            None | Some(FieldValue::Array(_)) => {}
            Some(_) => return refused(format!("invalid message: header {name} is no array")),
        }
    }
    Ok(())
}

/// Whether answers are to come to this channel's own consumer.
pub(super) fn wants_replies(properties: &BasicProperties) -> bool {
    let reply_to = properties.reply_to.as_ref();
    reply_to.is_some_and(|reply_to| reply_to.as_str() == REPLY_QUEUE)
}

fn check_expiration(text: &str) -> Result<(), Failure> {
    // In Erlang's words, as clients know them.
    let reason = match text.parse::<i128>() {
        Ok(ms) if ms < 0 => format!("{{value_negative,{ms}}}"),
        Ok(ms) if ms > i128::from(MAX_EXPIRATION_MS) => format!("{{value_too_large,{ms}}}"),
        Ok(_) => return Ok(()),
        Err(_) => "no_integer".to_owned(),
    };
    refused(format!("invalid expiration '{text}': {reason}"))
}

fn refused(text: String) -> Result<(), Failure> {
    Err(Failure::new(ReplyCode::PreconditionFailed, text))
}

#[cfg(test)]
mod tests {
    use weir_model::fields::{FieldTable, examples::short};

    use super::*;

    fn is_taken(properties: &BasicProperties) -> bool {
        check(properties, &short("guest")).is_ok()
    }

    #[test]
    fn an_expiration_is_a_whole_number_of_ms_in_its_range() {
        for (text, is_fine) in [
            ("0", true),
            ("4294967295", true),
            ("4294967296", false),
            ("-1", false),
            ("", false),
            ("1.5", false),
            ("1s", false),
        ] {
            let properties = BasicProperties {
                expiration: Some(short(text)),
                ..BasicProperties::default()
            };
            assert_eq!(is_taken(&properties), is_fine, "{text}");
        }
    }

    #[test]
    fn nobody_publishes_in_anothers_name() {
        for (user, is_fine) in [("guest", true), ("other", false)] {
            let properties = BasicProperties {
                user_id: Some(short(user)),
                ..BasicProperties::default()
            };
            assert_eq!(is_taken(&properties), is_fine);
        }
    }

    #[test]
    fn copies_are_lists() {
        for (value, is_fine) in [
            (FieldValue::Array(Vec::new()), true),
            (FieldValue::Void, false),
            (FieldValue::LongString("a".into()), false),
        ] {
            for name in COPIES {
                let headers = FieldTable(vec![(short(name), value.clone())]);
                let properties = BasicProperties {
                    headers: Some(headers),
                    ..BasicProperties::default()
                };
                assert_eq!(is_taken(&properties), is_fine, "{name} {value:?}");
            }
        }
    }
}
