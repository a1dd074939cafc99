//! `hartscope boot`: refused until the board exists.

use std::ffi::OsString;

use super::{Command, UsageError};

pub(super) fn parse(_args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    Err(UsageError::new(
        "boot is not there yet: whole machines come later (docs/status.md); \
         'hartscope run' runs Linux programs",
    ))
}
