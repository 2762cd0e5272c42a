//! Who asks for something that only people and their tools ask for.

use weir_access::{Principal, token::Grants};

/// Who asks, and from where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requester {
    /// `None`: an operator, through a port that knows no users and lets nobody else in.
    principal: Option<Principal>,
    /// What its token allows, beside what rules do; `None`: it has come in otherwise.
    grants: Option<Grants>,
    /// Where it is; empty where that is not known.
    peer: String,
}

impl Requester {
    /// A client of a door, as it has logged in. What it may do is asked for it.
    pub fn client(principal: Principal, grants: Option<Grants>, peer: String) -> Self {
        Self {
            principal: Some(principal),
            grants,
            peer,
        }
    }

    /// By the name by which rules know it; empty: an operator, whom none binds.
    pub(crate) fn name(&self) -> &str {
        self.principal.as_ref().map_or("", Principal::name)
    }

    /// Who; `None`: an operator.
    pub(crate) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// What its token allows.
    pub(crate) fn grants(&self) -> Option<&Grants> {
        self.grants.as_ref()
    }

    /// Where it is.
    pub fn peer(&self) -> &str {
        &self.peer
    }
}
