//! Changes that belong together.

use parking_lot::{RwLock, RwLockReadGuard};
use std::cell::Cell;

thread_local! {
    /// This thread has one.
    static IS_HELD: Cell<bool> = const { Cell::new(false) };
}

/// Changes made while it is held are committed together. It is for a moment: as long as it is held, nothing is committed.
#[derive(Debug)]
pub struct Scope<'a>(#[allow(dead_code, reason = "it is held")] Option<RwLockReadGuard<'a, ()>>);

impl<'a> Scope<'a> {
    /// Of a store that there is not.
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn enter(lock: &'a RwLock<()>) -> Self {
        // The inner one would wait for the thread that commits, which waits for the outer one.
        let was_held = IS_HELD.replace(true);
        debug_assert!(!was_held, "scopes do not nest");
        Self(Some(lock.read()))
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        if self.0.is_some() {
            IS_HELD.set(false);
        }
    }
}
