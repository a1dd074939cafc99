//! What hartscope says about a run when it is over.

use std::fmt::Write;

use vcpu::Engine;

/// The number of executed instructions, in one line.
pub fn instructions(engine: &Engine) -> String {
    format!("hartscope: {} instructions\n", engine.stats().executed)
}

/// A row for each vCPU.
pub fn vcpus(engine: &Engine) -> String {
    let mut text = String::from(
        "vcpu  blocks translated  instructions  returns to the run loop  ms on a core\n",
    );
    for (vcpu, stats) in engine.vcpu_stats().iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{vcpu:4} {:18} {:>13} {:24} {:13.1}",
            stats.translations,
            counted(stats.executed),
            stats.leaves,
            stats.cpu_time_ns as f64 / 1e6
        );
    }
    text
}

/// A number that may not have been counted.
fn counted(number: u64) -> String {
    match number {
        0 => "-".into(),
        number => number.to_string(),
    }
}

/// What became of the translated blocks, in a few lines.
pub fn cache(engine: &Engine) -> String {
    let stats = engine.stats();
    let cache = &stats.cache;
    let mean_ns = stats.translation_ns.checked_div(stats.translations);
    format!(
        "translation: {} blocks of {} instructions in {:.1} ms ({} ns a block), {} interpreted first\n\
         cache: {} blocks alive, {} links made, {} invalidated, {} arenas evicted\n\
         run loop: {} unlinked exits, {} unknown jumps, {} stale blocks, {} requests, {} traps, \
         {} faults, {} interpreted\n",
        stats.translations,
        stats.insns,
        stats.translation_ns as f64 / 1e6,
        mean_ns.unwrap_or_default(),
        stats.interpreted_first,
        cache.blocks,
        cache.links,
        cache.invalidated,
        cache.evictions,
        stats.leaves.exits,
        stats.leaves.indirect,
        stats.leaves.stale,
        stats.leaves.requests,
        stats.leaves.traps,
        stats.leaves.faults,
        stats.leaves.interpreted,
    )
}
