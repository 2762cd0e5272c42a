//! What a quota limits, and to how much.

use std::fmt;

/// What is limited, by Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaKey {
    /// Bytes a second that are published.
    ProducerByteRate,
    /// Bytes a second that are consumed.
    ConsumerByteRate,
}

/// How much: a number above 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QuotaValue {
    bits: u64,
}

/// Numbers that a key's values may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// Whole numbers of 63 bits.
    Long,
}

impl QuotaKey {
    /// How many there are.
    pub(super) const COUNT: usize = Self::ALL.len();
    /// All of them, in order.
    pub const ALL: [Self; 2] = [Self::ProducerByteRate, Self::ConsumerByteRate];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
        }
    }

    /// The one with this word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Stands for it where it is stored. Never used again for another.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::ProducerByteRate => 1,
            Self::ConsumerByteRate => 2,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.code() == code)
    }

    /// Its place among all.
    pub(super) fn at(self) -> usize {
        usize::from(self.code()) - 1
    }

    pub(super) fn range(self) -> Range {
        match self {
            Self::ProducerByteRate | Self::ConsumerByteRate => Range::Long,
        }
    }
}

impl QuotaValue {
    /// `None`: no number above 0, or none at all.
    pub fn new(value: f64) -> Option<Self> {
        let is_sound = value > 0.0 && value.is_finite();
        is_sound.then_some(Self {
            bits: value.to_bits(),
        })
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.bits)
    }
}

impl fmt::Debug for QuotaValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}
