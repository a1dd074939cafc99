//! Quiescence domain: grace periods, retirement, and the std-or-loom sync shim.
