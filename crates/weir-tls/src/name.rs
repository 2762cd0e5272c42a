//! Distinguished names, and the two ways in which the original brokers write them.

use std::fmt::Write as _;

use x509_parser::{der_parser::asn1_rs::Tag, x509::X509Name};

/// Names of attribute types that Java's RFC 2253 form knows; all others are numbers there.
const KAFKA_NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];
/// Names that RabbitMQ knows besides.
const RABBIT_NAMES: [(&str, &str); 8] = [
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GIVENNAME"),
    ("2.5.4.43", "INITIALS"),
    ("2.5.4.44", "GENERATIONQUALIFIER"),
    ("2.5.4.12", "TITLE"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.65", "PSEUDONYM"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
];
const COMMON_NAME: &str = "2.5.4.3";

/// One attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its type, as numbers with dots.
    pub oid: String,
    /// Its value, where it is text.
    pub text: Option<String>,
    /// Its value as it is encoded, with tag and length.
    pub der: Vec<u8>,
}

/// A name: sets of attributes, the most general one first, as it is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistinguishedName {
    /// The sets, most of them with one attribute.
    pub sets: Vec<Vec<Attribute>>,
}

impl DistinguishedName {
    pub(crate) fn of(name: &X509Name<'_>) -> Self {
        let sets = name.iter_rdn().map(|set| {
            let attributes = set.iter().map(|attribute| {
                let value = attribute.attr_value();
                Attribute {
                    oid: attribute.attr_type().to_id_string(),
                    text: text(value.tag(), value.data),
                    der: encoded(value.tag(), value.data),
                }
            });
            attributes.collect()
        });
        Self {
            sets: sets.collect(),
        }
    }

    /// As Java and with it Kafka writes it (RFC 2253), such as `CN=alice,OU=ops,O=Example,C=DE`.
    pub fn kafka(&self) -> String {
        self.written(|attribute, out| {
            let known = KAFKA_NAMES.iter().find(|(oid, _)| *oid == attribute.oid);
            match (known, &attribute.text) {
                (Some((_, name)), Some(text)) => {
                    out.push_str(name);
                    out.push('=');
                    escape_kafka(text, out);
                }
                (_, _) => {
                    let name = known.map_or(&*attribute.oid, |(_, name)| name);
                    out.push_str(name);
                    out.push_str("=#");
                    for byte in &attribute.der {
                        let _ = write!(out, "{byte:02x}");
                    }
                }
            }
        })
    }

    /// As RabbitMQ writes it (RFC 4514, with what is not printable as numbers).
    pub fn rabbit(&self) -> String {
        self.written(|attribute, out| {
            let mut names = KAFKA_NAMES.iter().chain(&RABBIT_NAMES);
            let known = names.find(|(oid, _)| *oid == attribute.oid);
            out.push_str(known.map_or(&*attribute.oid, |(_, name)| name));
            out.push('=');
            let text = attribute.text.as_deref().unwrap_or_default();
            escape_rabbit(text, out);
        })
    }

    /// All common names, the most general one first.
    pub fn common_names(&self) -> Vec<&str> {
        let all = self.sets.iter().flatten();
        let common = all.filter(|attribute| attribute.oid == COMMON_NAME);
        common.filter_map(|it| it.text.as_deref()).collect()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    fn written(&self, one: impl Fn(&Attribute, &mut String)) -> String {
        let mut out = String::new();
        for set in self.sets.iter().rev() {
            if !out.is_empty() {
                out.push(',');
            }
            for (at, attribute) in set.iter().enumerate() {
                if at > 0 {
                    out.push('+');
                }
                one(attribute, &mut out);
            }
        }
        out
    }
}

fn text(tag: Tag, data: &[u8]) -> Option<String> {
    match tag {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            String::from_utf8(data.to_vec()).ok()
        }
        // In practice Latin 1, as both brokers read it.
        Tag::T61String => Some(data.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = data.chunks_exact(2);
            let is_whole = units.remainder().is_empty();
            let units: Vec<u16> = units.map(|it| u16::from_be_bytes([it[0], it[1]])).collect();
            String::from_utf16(&units).ok().filter(|_| is_whole)
        }
        _ => None,
    }
}

fn encoded(tag: Tag, data: &[u8]) -> Vec<u8> {
    // A string's tag is below 31, thus one byte.
    let mut out = vec![u8::try_from(tag.0 & 0x1f).unwrap_or(0)];
    let length = data.len();
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
        let used = &bytes[skipped..];
        out.push(0x80 | u8::try_from(used.len()).unwrap_or(0));
        out.extend_from_slice(used);
    }
    out.extend_from_slice(data);
    out
}

fn escape_kafka(text: &str, out: &mut String) {
    let leading = text.len() - text.trim_start_matches([' ', '\r']).len();
    let trailing = text.trim_end_matches([' ', '\r']).len();
    for (at, character) in text.char_indices() {
        let is_edge = at < leading || at >= trailing;
        if character == '\0' {
            out.push_str("\\00");
            continue;
        }
        if ",=+<>#;\"\\".contains(character) || is_edge {
            out.push('\\');
        }
        out.push(character);
    }
}

fn escape_rabbit(text: &str, out: &mut String) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b' ' | b'#' if at == 0 => out.push('\\'),
            b' ' if at == last => out.push('\\'),
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => out.push('\\'),
            _ => {}
        }
        if (32..126).contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(oid: &str, value: &str) -> Attribute {
        Attribute {
            oid: oid.to_owned(),
            text: Some(value.to_owned()),
            der: encoded(Tag::Utf8String, value.as_bytes()),
        }
    }

    fn named(attributes: &[(&str, &str)]) -> DistinguishedName {
        let sets = attributes.iter();
        let sets = sets.map(|(oid, value)| vec![attribute(oid, value)]);
        DistinguishedName {
            sets: sets.collect(),
        }
    }

    #[test]
    fn the_most_special_attribute_comes_first() {
        let name = named(&[
            ("2.5.4.6", "DE"),
            ("2.5.4.10", "Example, Inc."),
            ("2.5.4.3", "alice"),
        ]);
        assert_eq!(name.kafka(), "CN=alice,O=Example\\, Inc.,C=DE");
        assert_eq!(name.rabbit(), "CN=alice,O=Example\\, Inc.,C=DE");
        assert_eq!(name.common_names(), ["alice"]);
    }

    #[test]
    fn what_java_has_no_word_for_is_a_number_there_and_a_word_in_rabbitmq() {
        let name = named(&[("1.2.840.113549.1.9.1", "a@b")]);
        assert_eq!(name.kafka(), "1.2.840.113549.1.9.1=#0c03614062");
        assert_eq!(name.rabbit(), "EMAILADDRESS=a@b");
    }

    #[test]
    fn attributes_of_one_set_are_joined() {
        let set = vec![attribute("2.5.4.3", "a"), attribute("2.5.4.11", "b")];
        let name = DistinguishedName { sets: vec![set] };
        assert_eq!(name.kafka(), "CN=a+OU=b");
    }

    #[test]
    fn characters_with_a_meaning_are_escaped() {
        let name = named(&[("2.5.4.3", " a=b#c\"d ")]);
        assert_eq!(name.kafka(), "CN=\\ a\\=b\\#c\\\"d\\ ");
        assert_eq!(name.rabbit(), "CN=\\ a=b#c\\\"d\\ ");
        let name = named(&[("2.5.4.3", "zoë")]);
        assert_eq!(name.kafka(), "CN=zoë");
        assert_eq!(name.rabbit(), "CN=zo\\C3\\AB");
    }

    #[test]
    fn a_long_value_has_its_length_in_more_bytes() {
        let der = encoded(Tag::Utf8String, &[b'x'; 300]);
        assert_eq!(der[..4], [0x0c, 0x82, 0x01, 0x2c]);
    }
}
