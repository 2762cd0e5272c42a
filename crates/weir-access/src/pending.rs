//! The check of a password as work for somebody else: its derivation takes milliseconds of a core.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    plain::{AuthError, check_password},
    store::Access,
    user::User,
};

/// What a check will find, or has found.
#[derive(Clone, Default)]
pub struct PendingCheck(Arc<OnceLock<Result<Arc<User>, AuthError>>>);

impl fmt::Debug for PendingCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PendingCheck(done: {})", self.0.get().is_some())
    }
}

impl PendingCheck {
    /// A check, and what is to be called, once and on any thread, to do it.
    pub fn new(
        access: Arc<Access>,
        user: String,
        password: String,
    ) -> (Self, Box<dyn FnOnce() + Send>) {
        let pending = Self::default();
        let found = pending.clone();
        let work = move || {
            let _ = found.0.set(check_password(&access, &user, &password));
        };
        (pending, Box::new(work))
    }

    /// The user with that name and password, where `now` still knows one who may log in. What was not
    /// done to its end finds nobody.
    pub fn finish(self, now: &Access) -> Result<Arc<User>, AuthError> {
        let found = self.0.get().cloned();
        let found = found.unwrap_or(Err(AuthError::Credentials))?;
        let known = now.user(&found.name);
        // Meanwhile the password may be another one.
        let same = known.filter(|user| user.is_enabled && user.verifiers == found.verifiers);
        same.cloned().ok_or(AuthError::Credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limit::{MIN_ITERATIONS, SALT_BYTES},
        store::Seed,
        verifier::{Hash, Verifier},
    };

    fn with(is_enabled: bool, password: &str) -> Access {
        let mut user = User::new("tim");
        user.is_enabled = is_enabled;
        let salt = [1; SALT_BYTES];
        let verifier = Verifier::of_password(Hash::Sha256, password, &salt, MIN_ITERATIONS);
        user.put_verifier(verifier.unwrap());
        let mut access = Access::default();
        access.create_user(user, Seed([9; 32])).unwrap();
        access
    }

    #[test]
    fn a_check_finds_whom_it_is_of_as_things_are_at_its_end() {
        let access = Arc::new(with(true, "secret"));
        let check = |password: &str| {
            let (pending, work) =
                PendingCheck::new(Arc::clone(&access), "tim".into(), password.into());
            work();
            pending
        };
        assert!(check("secret").finish(&access).is_ok());
        assert!(check("other").finish(&access).is_err());
        for changed in [with(false, "secret"), with(true, "new"), Access::default()] {
            assert!(check("secret").finish(&changed).is_err());
        }
        let (undone, work) = PendingCheck::new(Arc::clone(&access), "tim".into(), "secret".into());
        drop(work);
        assert!(undone.finish(&access).is_err());
    }
}
