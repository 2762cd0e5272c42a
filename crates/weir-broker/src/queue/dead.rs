//! Messages that leave the queue for another one, and those that wait for their time.

use weir_ledger::OwnerId;

/// Holds what is not ready before its time.
pub(super) const DELAYED: OwnerId = OwnerId(0);

/// Why a message is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Somebody did not want it.
    Rejected,
    /// Its time was over.
    Expired,
    /// There was no room for it.
    MaxLength,
    /// It failed too often.
    DeliveryLimit,
}

/// A message that is to be published elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    pub(crate) offset: u64,
    pub(crate) serial: u64,
    pub(crate) reason: Reason,
}

impl Reason {
    pub(super) const ALL: [Self; 4] = [
        Self::Rejected,
        Self::Expired,
        Self::MaxLength,
        Self::DeliveryLimit,
    ];

    /// Holds what is dead for this reason.
    pub(super) fn owner(self) -> OwnerId {
        OwnerId(match self {
            Self::Rejected => 1,
            Self::Expired => 2,
            Self::MaxLength => 3,
            Self::DeliveryLimit => 4,
        })
    }

    pub(super) fn of(owner: OwnerId) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.owner() == owner)
    }

    /// As headers name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}
