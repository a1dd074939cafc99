//! The mutation check's hook: weakens one memory ordering, or leaves out one step, chosen by
//! environment variable.
//!
//! Exists in model builds only.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// Names the mutation to apply in this process.
pub const VARIABLE: &str = "HARTSCOPE_MUTATE";

/// Whether `mutation` is the one to apply.
pub fn is_chosen(mutation: &str) -> bool {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok());
    chosen.as_deref() == Some(mutation)
}

/// `wanted`, or its weakening if `mutation` is the one to apply.
pub fn ordering(mutation: &str, wanted: Ordering) -> Ordering {
    match wanted {
        _ if !is_chosen(mutation) => wanted,
        // The least weakening of a fence; if a model notices this one, it notices all.
        Ordering::SeqCst => Ordering::AcqRel,
        _ => Ordering::Relaxed,
    }
}
