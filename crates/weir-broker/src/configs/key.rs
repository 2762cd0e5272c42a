//! What is known of a setting.

/// How names of topics for dead letters begin (Kafka's `errors.deadletterqueue.topic.name.prefix`): whoever may set
/// a group up may not have others' topics written to.
pub const DEAD_LETTER_PREFIX: &str = "dlq.";

/// What a value looks like, as Kafka's `ConfigDef` has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    Text,
    /// Where a group begins: [`super::reset::OffsetReset`].
    OffsetReset,
    /// Where dead letters go: a topic whose name begins with [`DEAD_LETTER_PREFIX`], or nowhere.
    DeadLetterTopic,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// Texts with commas between them, none twice; where some are given, each one of these.
    List(&'static [&'static str]),
    /// A 32-bit number from `min` to `max`.
    Int {
        /// Smallest.
        min: i32,
        /// Largest.
        max: i32,
    },
    /// A 16-bit number from `min` on.
    Short {
        /// Smallest.
        min: i16,
    },
    /// A 64-bit number from `min` on.
    Long {
        /// Smallest.
        min: i64,
    },
    /// A number from `min` to `max`.
    Double {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// The name of a Java class.
    Class,
    /// A text that is never shown.
    Password,
}

/// What a setting does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What Kafka's documentation says.
    Enforced,
    /// Any good value is kept and shown, and nothing depends on it: why that breaks no promise.
    Moot(&'static str),
    /// Only the default is taken: why no other value can be.
    Fixed(&'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// What a value looks like.
    pub kind: Kind,
    /// The value where nothing is set; `None`: null.
    pub default: Option<&'static str>,
    /// What it does here.
    pub effect: Effect,
    /// Name of the broker's setting that gives a topic's default; empty where there is none.
    pub broker_name: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
}

impl ConfigKey {
    /// Whether values are kept from readers.
    pub fn is_sensitive(&self) -> bool {
        matches!(self.kind, Kind::Password)
    }
}

/// The key called `name` in a table sorted by name.
pub(super) fn find(table: &'static [ConfigKey], name: &str) -> Option<&'static ConfigKey> {
    let at = table.binary_search_by(|key| key.name.cmp(name)).ok()?;
    table.get(at)
}
