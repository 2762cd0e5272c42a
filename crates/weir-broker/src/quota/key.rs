//! What a quota limits, and to how much.

use std::fmt;

use super::meter::MAX_THROTTLE_MS;

/// A hundredth of a core, in µs a second.
const US_PER_PERCENT: f64 = 10_000.0;
/// Longest that a connection is held for what its requests cost, at a time, in ms: one of Kafka's windows.
const MAX_REQUEST_THROTTLE_MS: u64 = 1_000;
/// Longest that a connection waits for its turn, in ms; one that would wait longer is closed.
pub(super) const MAX_CONNECTION_WAIT_MS: u64 = 10_000;

/// What is limited, by Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaKey {
    /// Bytes a second that are published.
    ProducerByteRate,
    /// Bytes a second that are consumed.
    ConsumerByteRate,
    /// How much of a core connections keep busy, in percent.
    RequestPercentage,
    /// Partitions a second that are made or deleted.
    ControllerMutationRate,
    /// Connections a second.
    ConnectionCreationRate,
    /// Partitions that there may be.
    PartitionCount,
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
    /// Whole numbers of 31 bits.
    Int,
    /// All.
    Double,
}

impl QuotaKey {
    /// How many there are.
    pub(super) const COUNT: usize = Self::ALL.len();
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::RequestPercentage,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
        Self::PartitionCount,
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
            Self::PartitionCount => "partition_count",
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
            Self::RequestPercentage => 3,
            Self::ControllerMutationRate => 4,
            Self::ConnectionCreationRate => 5,
            Self::PartitionCount => 6,
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
            Self::RequestPercentage | Self::ControllerMutationRate => Range::Double,
            Self::ConnectionCreationRate | Self::PartitionCount => Range::Int,
        }
    }

    /// What is counted in a second at most: of a core's time µs.
    pub(super) fn rate(self, value: QuotaValue) -> f64 {
        match self {
            Self::ProducerByteRate
            | Self::ConsumerByteRate
            | Self::ControllerMutationRate
            | Self::ConnectionCreationRate
            | Self::PartitionCount => value.get(),
            Self::RequestPercentage => value.get() * US_PER_PERCENT,
        }
    }

    /// Longest that a connection is held for it at a time, in ms.
    pub(super) fn max_held_ms(self) -> u64 {
        match self {
            Self::ProducerByteRate | Self::ConsumerByteRate | Self::ControllerMutationRate => {
                MAX_THROTTLE_MS
            }
            Self::RequestPercentage => MAX_REQUEST_THROTTLE_MS,
            Self::ConnectionCreationRate => MAX_CONNECTION_WAIT_MS,
            // It is no rate: what is too much is refused.
            Self::PartitionCount => 0,
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
