//! What callbacks do to the host's registers, function by function.

use translate::hooks::Clobbers;

/// What a function may change.
pub(crate) fn of(_function: usize) -> Clobbers {
    Clobbers::ALL
}
