//! Tokens in place of passwords: whom they name, until when, and those that follow them.

use weir_access::{Principal, token::Grants};
use weir_broker::access::{Believed, TokenView};
use weir_door::Millis;
use weir_model::fields::ShortString;

use super::{
    connection::{AmqpClose, AmqpSession, Stage},
    sasl::Password,
};
use crate::{
    codec::method,
    wire_code::{Failure, ReplyCode},
};

/// How the audit topic calls a token that follows another.
const UPDATE_SECRET: &str = "update-secret";

/// What a connection has of a token.
#[derive(Debug, Default)]
pub(super) struct Credential {
    tokens: TokenView,
    /// `None`: it has come in without one.
    held: Option<HeldToken>,
}

#[derive(Debug)]
struct HeldToken {
    principal: Principal,
    ends: Millis,
    /// What it allows; `None`: the node has been told.
    grants: Option<Grants>,
}

impl Credential {
    /// Believes these.
    pub(super) fn believing(tokens: TokenView) -> Self {
        Self { tokens, held: None }
    }

    /// Tokens are taken in place of passwords.
    pub(super) fn takes_tokens(&self) -> bool {
        self.tokens.is_on()
    }

    /// Who it is, by its token or as the user of that name, and what the token allows.
    pub(super) fn claim(&mut self, user: &ShortString) -> (Principal, Option<Grants>) {
        match &mut self.held {
            Some(held) => (held.principal.clone(), held.grants.take()),
            None => (Principal::User(user.as_str().into()), None),
        }
    }

    fn hold(&mut self, now: Millis, believed: Believed) -> Option<Grants> {
        let Believed {
            principal,
            left_ms,
            grants,
        } = believed;
        let held = self.held.insert(HeldToken {
            principal,
            ends: now.plus(left_ms),
            grants: Some(grants),
        });
        held.grants.clone()
    }
}

impl AmqpSession {
    /// A password that is a token: the name that came with it says nothing.
    pub(super) fn log_in_by_token(&mut self, mechanism: &str, token: &Password) {
        let how = format!("{mechanism} token");
        let access = self.access.load();
        match self.credential.tokens.check(&token.0) {
            Ok(believed) => {
                let name = believed.principal.name();
                if access.user(name).is_some_and(|user| !user.is_enabled) {
                    self.note_login(&how, name, Some("the user is disabled"));
                    return self.refuse_login(mechanism);
                }
                self.note_login(&how, name, None);
                let user = ShortString::new(name).unwrap_or_default();
                self.credential.hold(self.link.now, believed);
                self.propose_limits(user);
            }
            Err(refused) => {
                let name = refused.name.as_deref().unwrap_or_default();
                self.note_login(&how, name, Some(&refused.error.to_string()));
                self.refuse_login(mechanism);
            }
        }
    }

    /// Another token that names the same counts from now on. Whoever has come in by a password has that checked
    /// no more, as in RabbitMQ.
    pub(super) fn update_secret(
        &mut self,
        update: &method::ConnectionUpdateSecret,
    ) -> Result<(), Failure> {
        if let Some(held) = &self.credential.held {
            let name = held.principal.name().to_owned();
            let token = std::str::from_utf8(&update.new_secret).unwrap_or_default();
            let found = self.credential.tokens.check(token);
            let why = match &found {
                Ok(believed) if believed.principal == held.principal => None,
                Ok(_) => Some("a token that names somebody else".to_owned()),
                Err(refused) => Some(refused.error.to_string()),
            };
            self.note_login(UPDATE_SECRET, &name, why.as_deref());
            let (Ok(believed), None) = (found, why) else {
                let text = "New secret was refused by one of the backends";
                return Err(Failure::new(ReplyCode::NotAllowed, text));
            };
            if let Some(grants) = self.credential.hold(self.link.now, believed) {
                let regranted = self.link.session()?.regrant(grants);
                regranted.map_err(|refused| Failure::refused(&refused))?;
            }
        }
        let answer = method::ConnectionUpdateSecretOk {};
        self.link.outbox.method(0, &answer.into());
        Ok(())
    }

    /// When its token ends, where that ends the connection.
    pub(super) fn token_due(&self) -> Option<Millis> {
        let ends = self.credential.held.as_ref().map(|held| held.ends);
        match self.stage {
            Stage::Tune
            | Stage::Open
            | Stage::Opening
            | Stage::Running
            | Stage::Leaving
            | Stage::Stopping => ends,
            Stage::Header
            | Stage::Start
            | Stage::Checking
            | Stage::Ending
            | Stage::Closing
            | Stage::Silent => None,
        }
    }

    /// In RabbitMQ's words, where it has.
    pub(super) fn end_with_token(&mut self) {
        if self.token_due().is_none_or(|due| due > self.link.now) {
            return;
        }
        let failure = Failure::new(ReplyCode::ConnectionForced, "credential expired");
        match self.stage {
            Stage::Running | Stage::Leaving | Stage::Stopping => self.fail(failure),
            Stage::Header
            | Stage::Start
            | Stage::Checking
            | Stage::Tune
            | Stage::Open
            | Stage::Opening
            | Stage::Ending
            | Stage::Closing
            | Stage::Silent => self.close(AmqpClose::Failed(failure)),
        }
    }
}
