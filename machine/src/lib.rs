//! The virt board (system mode).
