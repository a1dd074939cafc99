//! Per-vCPU storage with stable addresses for plugins and statistics.
