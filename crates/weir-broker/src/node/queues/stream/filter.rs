//! Which messages of a stream a consumer wants.

use bytes::Bytes;
use weir_model::{
    fields::{FieldTable, FieldValue},
    message::Envelope,
    record::Records,
};

/// The header that says what a message is to filters.
const VALUE: &str = "x-stream-filter-value";
/// Most values of one filter.
const MAX_VALUES_COUNT: usize = 1_000;

/// A consumer's filter; without values it lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    values: Vec<Bytes>,
    /// Messages that say nothing pass as well.
    takes_unfiltered: bool,
}

impl Filter {
    /// From `x-stream-filter` and `x-stream-match-unfiltered`. `None` where those are no filter.
    pub(super) fn of(arguments: &FieldTable) -> Option<Self> {
        let values = match arguments.get("x-stream-filter") {
            None => Vec::new(),
            Some(FieldValue::LongString(value)) => vec![value.clone()],
            Some(FieldValue::Array(values)) if values.len() <= MAX_VALUES_COUNT => {
                let values = values.iter().map(|value| match value {
                    FieldValue::LongString(value) => Some(value.clone()),
                    _ => None,
                });
                values.collect::<Option<_>>()?
            }
            Some(_) => return None,
        };
        let takes_unfiltered = match arguments.get("x-stream-match-unfiltered") {
            None => false,
            Some(FieldValue::Boolean(is_so)) => *is_so,
            Some(_) => return None,
        };
        Some(Self {
            values,
            takes_unfiltered,
        })
    }

    /// Whether a whole record passes.
    pub(super) fn lets_pass(&self, record: &[u8]) -> bool {
        if self.values.is_empty() {
            return true;
        }
        let record = Records::new(record, 1).next();
        let Some(Ok(record)) = record else {
            return false;
        };
        let own = Envelope::of(&record);
        let value = match &own {
            Some(own) => own.glance.header_bytes(VALUE),
            None => {
                let mut headers = record.headers();
                headers.find_map(|(name, value)| value.filter(|_| name == VALUE.as_bytes()))
            }
        };
        match value {
            Some(value) => self.values.iter().any(|wanted| wanted == value),
            None => self.takes_unfiltered,
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{
        fields::{BasicProperties, ShortString},
        message::MessageForm,
        record::write_record_with,
    };

    use super::*;

    fn short(text: &str) -> ShortString {
        ShortString::new(text).unwrap()
    }

    fn text(text: &'static str) -> FieldValue {
        FieldValue::LongString(Bytes::from_static(text.as_bytes()))
    }

    fn message(value: Option<&'static str>) -> Vec<u8> {
        let headers = value.map(|value| FieldTable(vec![(short(VALUE), text(value))]));
        let properties = BasicProperties {
            headers,
            ..BasicProperties::default()
        };
        let mut form = MessageForm::default();
        form.set(&short(""), &short("s"), &properties);
        let mut record = Vec::new();
        form.write(b"", 0, 0, &mut record);
        record
    }

    fn filter(value: FieldValue, takes_unfiltered: bool) -> Option<Filter> {
        Filter::of(&FieldTable(vec![
            (short("x-stream-filter"), value),
            (
                short("x-stream-match-unfiltered"),
                FieldValue::Boolean(takes_unfiltered),
            ),
        ]))
    }

    #[test]
    fn messages_pass_by_the_value_that_they_say_whichever_protocol_wrote_them() {
        let one = filter(text("a"), false).unwrap();
        let two = FieldValue::Array(vec![text("a"), text("b")]);
        let two = filter(two, true).unwrap();
        let passes = |filter: &Filter| {
            [Some("a"), Some("b"), Some("c"), None].map(|value| filter.lets_pass(&message(value)))
        };
        assert_eq!(passes(&one), [true, false, false, false]);
        assert_eq!(passes(&two), [true, true, false, true]);
        assert_eq!(passes(&Filter::default()), [true; 4]);
        let mut foreign = Vec::new();
        let headers: [(&[u8], Option<&[u8]>); 1] = [(VALUE.as_bytes(), Some(b"a"))];
        write_record_with(0, 0, None, None, &headers, &mut foreign);
        assert!(one.lets_pass(&foreign) && !one.lets_pass(b""));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        assert_eq!(filter(FieldValue::Int32(1), false), None);
        let mixed = FieldValue::Array(vec![text("a"), FieldValue::Void]);
        assert_eq!(filter(mixed, false), None);
    }
}
