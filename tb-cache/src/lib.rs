//! Where translated blocks live: lookup, chaining, invalidation, arenas, eviction.
