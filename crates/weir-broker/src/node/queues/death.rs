//! What a dead letter says of its deaths (RabbitMQ's rules).

use bytes::Bytes;
use weir_model::fields::{BasicProperties, FieldTable, FieldValue, ShortString};

use crate::{api::queues::Message, queue::Reason};

const DEATHS: &str = "x-death";
const COPIES: &str = "CC";
const FIRST: [&str; 3] = [
    "x-first-death-queue",
    "x-first-death-reason",
    "x-first-death-exchange",
];
const LAST: [&str; 3] = [
    "x-last-death-queue",
    "x-last-death-reason",
    "x-last-death-exchange",
];
/// Most deaths that a message remembers; past it the oldest are forgotten.
const MAX_DEATHS_COUNT: usize = 100;

/// How a message died.
pub(super) struct Death<'a> {
    pub(super) queue: &'a ShortString,
    pub(super) reason: Reason,
    /// In seconds since 1970.
    pub(super) time: u64,
    /// Where it goes.
    pub(super) exchange: &'a ShortString,
    pub(super) routing_key: Option<&'a ShortString>,
}

fn name(text: &str) -> ShortString {
    ShortString::new(text).expect("names of headers are short")
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongString(Bytes::copy_from_slice(text.as_bytes()))
}

fn is_text(value: Option<&FieldValue>, wanted: &str) -> bool {
    matches!(value, Some(FieldValue::LongString(found)) if found == wanted.as_bytes())
}

/// The message as it is published again. `has_died`: what it says of its deaths is the broker's own
/// word, not a client's.
pub(super) fn letter(mut message: Message, has_died: bool, death: &Death<'_>) -> Message {
    let mut headers = message.properties.headers.take().unwrap_or_default();
    let mut deaths = deaths_of(&headers, has_died);
    let entry = entry_of(&mut deaths, &message, &headers, death);
    deaths.insert(0, entry);
    deaths.truncate(MAX_DEATHS_COUNT);
    let died_in = [
        death.queue.as_str(),
        death.reason.name(),
        message.exchange.as_str(),
    ];
    let is_first_known = has_died && headers.get(FIRST[0]).is_some();
    headers.0.retain(|(each, _)| {
        let each = each.as_str();
        each != DEATHS && !LAST.contains(&each) && (is_first_known || !FIRST.contains(&each))
    });
    headers.0.push((name(DEATHS), FieldValue::Array(deaths)));
    let first = FIRST.iter().filter(|_| !is_first_known).zip(died_in);
    for (header, value) in first.chain(LAST.iter().zip(died_in)) {
        headers.0.push((name(header), text(value)));
    }
    message.properties.expiration = None;
    if let Some(routing_key) = death.routing_key {
        message.routing_key = routing_key.clone();
        headers.0.retain(|(each, _)| each.as_str() != COPIES);
    }
    message.exchange = death.exchange.clone();
    message.is_mandatory = false;
    message.properties.headers = Some(headers);
    message
}

/// Tables, the newest first.
fn deaths_of(headers: &FieldTable, has_died: bool) -> Vec<FieldValue> {
    match headers.get(DEATHS).filter(|_| has_died) {
        Some(FieldValue::Array(deaths)) => deaths.clone(),
        Some(_) | None => Vec::new(),
    }
}

/// Whether an entry is of that queue and that reason.
fn is_of(entry: &FieldValue, queue: &str, reason: &str) -> bool {
    match entry {
        FieldValue::Table(table) => {
            is_text(table.get("queue"), queue) && is_text(table.get("reason"), reason)
        }
        _ => false,
    }
}

/// Takes the entry for the same queue and reason out and counts in it, or begins one.
fn entry_of(
    deaths: &mut Vec<FieldValue>,
    message: &Message,
    headers: &FieldTable,
    death: &Death<'_>,
) -> FieldValue {
    let (queue, reason) = (death.queue.as_str(), death.reason.name());
    let known = deaths.iter().position(|entry| is_of(entry, queue, reason));
    if let Some(at) = known
        && let FieldValue::Table(mut table) = deaths.remove(at)
    {
        for (field, value) in &mut table.0 {
            if field.as_str() == "count" {
                let count = value.as_int().unwrap_or(0);
                *value = FieldValue::Int64(count.saturating_add(1));
            }
        }
        return FieldValue::Table(table);
    }
    let mut keys = vec![text(message.routing_key.as_str())];
    if let Some(FieldValue::Array(copies)) = headers.get(COPIES) {
        keys.extend(copies.iter().cloned());
    }
    let mut fields = vec![
        (name("count"), FieldValue::Int64(1)),
        (name("reason"), text(reason)),
        (name("queue"), text(queue)),
        (name("time"), FieldValue::Timestamp(death.time)),
        (name("exchange"), text(message.exchange.as_str())),
        (name("routing-keys"), FieldValue::Array(keys)),
    ];
    if let Some(expiration) = &message.properties.expiration {
        fields.push((name("original-expiration"), text(expiration.as_str())));
    }
    FieldValue::Table(FieldTable(fields))
}

/// Whether the message, whose newest death is its last one, comes to a queue where it died before
/// without that anybody rejected it since.
pub(super) fn is_cycle(properties: &BasicProperties, queue: &ShortString) -> bool {
    let headers = properties.headers.as_ref();
    let Some(FieldValue::Array(deaths)) = headers.and_then(|headers| headers.get(DEATHS)) else {
        return false;
    };
    for death in deaths {
        let FieldValue::Table(table) = death else {
            continue;
        };
        if is_text(table.get("reason"), Reason::Rejected.name()) {
            return false;
        }
        if is_text(table.get("queue"), queue.as_str()) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            exchange: name("orders"),
            routing_key: name("new"),
            is_mandatory: true,
            properties: BasicProperties {
                expiration: Some(name("500")),
                headers: Some(FieldTable(vec![
                    (name("own"), FieldValue::Int32(7)),
                    (name(COPIES), FieldValue::Array(vec![text("copy")])),
                ])),
                ..BasicProperties::default()
            },
            body: Bytes::from_static(b"body"),
        }
    }

    fn died(message: Message, has_died: bool, queue: &str, reason: Reason) -> Message {
        let (queue, exchange) = (name(queue), name("dlx"));
        let death = Death {
            queue: &queue,
            reason,
            time: 1_000,
            exchange: &exchange,
            routing_key: None,
        };
        letter(message, has_died, &death)
    }

    fn header<'a>(message: &'a Message, header: &str) -> Option<&'a FieldValue> {
        message.properties.headers.as_ref()?.get(header)
    }

    fn deaths(message: &Message) -> Vec<(String, i64)> {
        let Some(FieldValue::Array(deaths)) = header(message, DEATHS) else {
            return Vec::new();
        };
        let told = deaths.iter().map(|death| {
            let FieldValue::Table(table) = death else {
                panic!("{death:?}");
            };
            let Some(FieldValue::LongString(queue)) = table.get("queue") else {
                panic!("{table:?}");
            };
            let count = table.get("count").and_then(FieldValue::as_int).unwrap();
            (String::from_utf8(queue.to_vec()).unwrap(), count)
        });
        told.collect()
    }

    #[test]
    fn a_first_death_tells_everything_and_takes_the_time_to_live_away() {
        let letter = died(message(), false, "q", Reason::Expired);
        let Some(FieldValue::Array(deaths)) = header(&letter, DEATHS) else {
            panic!("{letter:?}");
        };
        let entry = FieldTable(vec![
            (name("count"), FieldValue::Int64(1)),
            (name("reason"), text("expired")),
            (name("queue"), text("q")),
            (name("time"), FieldValue::Timestamp(1_000)),
            (name("exchange"), text("orders")),
            (
                name("routing-keys"),
                FieldValue::Array(vec![text("new"), text("copy")]),
            ),
            (name("original-expiration"), text("500")),
        ]);
        assert_eq!(deaths, &[FieldValue::Table(entry)]);
        assert_eq!(letter.properties.expiration, None);
        let (exchange, key) = (letter.exchange.as_str(), letter.routing_key.as_str());
        assert_eq!((exchange, key, letter.is_mandatory), ("dlx", "new", false));
        for (header_name, value) in [
            ("x-first-death-queue", "q"),
            ("x-first-death-reason", "expired"),
            ("x-first-death-exchange", "orders"),
            ("x-last-death-queue", "q"),
            ("x-last-death-reason", "expired"),
            ("x-last-death-exchange", "orders"),
        ] {
            assert_eq!(header(&letter, header_name), Some(&text(value)));
        }
        assert_eq!(header(&letter, "own"), Some(&FieldValue::Int32(7)));
        assert!(header(&letter, COPIES).is_some());
    }

    #[test]
    fn deaths_are_counted_by_queue_and_reason_the_newest_first() {
        let mut letter = died(message(), false, "a", Reason::Expired);
        letter = died(letter, true, "b", Reason::MaxLength);
        letter = died(letter, true, "a", Reason::Rejected);
        letter = died(letter, true, "a", Reason::Expired);
        let told = deaths(&letter);
        let wanted = [("a", 2), ("a", 1), ("b", 1)].map(|(queue, n)| (queue.to_owned(), n));
        assert_eq!(told, wanted);
        assert_eq!(
            header(&letter, "x-first-death-reason"),
            Some(&text("expired"))
        );
        assert_eq!(header(&letter, "x-last-death-exchange"), Some(&text("dlx")));
    }

    #[test]
    fn what_a_client_says_of_deaths_is_no_death() {
        let once = died(message(), false, "a", Reason::Expired);
        let again = died(once, false, "a", Reason::Expired);
        assert_eq!(deaths(&again), [("a".to_owned(), 1)]);
        let first = header(&again, "x-first-death-exchange");
        assert_eq!(first, Some(&text("dlx")));
    }

    #[test]
    fn another_routing_key_takes_the_place_of_all_others() {
        let (queue, exchange, key) = (name("q"), name("dlx"), name("dead"));
        let death = Death {
            queue: &queue,
            reason: Reason::Rejected,
            time: 1,
            exchange: &exchange,
            routing_key: Some(&key),
        };
        let letter = letter(message(), false, &death);
        assert_eq!(letter.routing_key, key);
        assert_eq!(header(&letter, COPIES), None);
    }

    #[test]
    fn a_way_round_without_a_rejection_is_a_cycle() {
        let once = died(message(), false, "a", Reason::Expired);
        assert!(is_cycle(&once.properties, &name("a")));
        assert!(!is_cycle(&once.properties, &name("b")));
        let twice = died(once.clone(), true, "b", Reason::Expired);
        assert!(is_cycle(&twice.properties, &name("a")));
        let rejected = died(once, true, "b", Reason::Rejected);
        assert!(!is_cycle(&rejected.properties, &name("a")));
        assert!(!is_cycle(&message().properties, &name("a")));
    }

    #[test]
    fn a_message_remembers_so_many_deaths() {
        let mut letter = message();
        for at in 0..=MAX_DEATHS_COUNT {
            letter = died(letter, at > 0, &format!("q{at}"), Reason::Expired);
        }
        let told = deaths(&letter);
        assert_eq!(told.len(), MAX_DEATHS_COUNT);
        assert_eq!(told[0].0, format!("q{MAX_DEATHS_COUNT}"));
    }
}
