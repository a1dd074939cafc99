//! Instrumentation: callback sets, filling instrumentation points, plugin lifecycle.
