//! Panics of production code become findings, with their place and without noise.

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `work`; a panic gives its message and place.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    CATCHING.with_borrow_mut(|catching| *catching = true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.with_borrow_mut(|catching| *catching = false);
    result.map_err(|_| {
        CAUGHT
            .with_borrow_mut(Option::take)
            .unwrap_or_else(|| "a panic without a message".to_owned())
    })
}

fn install_hook() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.with_borrow(|catching| *catching) {
                CAUGHT.with_borrow_mut(|caught| *caught = Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_as_its_message() {
        let message = catch(|| panic!("of {}", 7)).unwrap_err();
        assert!(message.contains("of 7"), "{message}");
        assert_eq!(catch(|| 1), Ok(1));
    }
}
