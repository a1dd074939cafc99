//! vCPU state, the run loop, exits, kicks, idle, pinning.
