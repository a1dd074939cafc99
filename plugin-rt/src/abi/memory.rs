use super::Export;

pub(super) const EXPORTS: &[Export] = &[];
