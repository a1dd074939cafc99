//! SiFive's platform-level interrupt controller.
//!
//! Each hart has two contexts: machine mode, then supervisor mode. Lines are level-triggered: a source is
//! pending while its line is high, unless somebody has claimed it and not completed it yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use translate::ops::Size;

use crate::bus::Device;
use crate::map;
use crate::wire::Wire;

/// One bit for each source.
const WORDS: usize = map::LAST_IRQ as usize / 32 + 1;
const SOURCES: usize = map::LAST_IRQ as usize + 1;
/// Priorities have three bits.
const MAX_PRIORITY: u32 = 7;

const PENDING: u64 = 0x1000;
const ENABLE: u64 = 0x2000;
const ENABLE_STRIDE: u64 = 0x80;
const CONTEXT: u64 = 0x20_0000;
const CONTEXT_STRIDE: u64 = 0x1000;

type Bits = [u32; WORDS];

struct Context {
    enabled: Bits,
    threshold: u32,
    output: Arc<dyn Wire>,
    /// What the output was last put to.
    level: bool,
}

struct State {
    priority: [u32; SOURCES],
    /// The lines as they are.
    lines: Bits,
    /// Claimed, and not completed.
    claimed: Bits,
    contexts: Vec<Context>,
}

/// The controller.
pub struct Plic(Mutex<State>);

fn has(bits: &Bits, source: u32) -> bool {
    bits[source as usize / 32] >> (source % 32) & 1 != 0
}

fn put(bits: &mut Bits, source: u32, value: bool) {
    let word = &mut bits[source as usize / 32];
    *word = *word & !(1 << (source % 32)) | u32::from(value) << (source % 32);
}

impl State {
    /// The source that a context would claim; 0 for none. Of equals the lowest.
    fn best(&self, context: &Context) -> u32 {
        let mut best = (0, 0);
        for (word, enabled) in context.enabled.iter().enumerate() {
            let mut ready = enabled & self.lines[word] & !self.claimed[word];
            while ready != 0 {
                let source = word as u32 * 32 + ready.trailing_zeros();
                ready &= ready - 1;
                let priority = self.priority[source as usize];
                if priority > best.0 {
                    best = (priority, source);
                }
            }
        }
        if best.0 > context.threshold {
            best.1
        } else {
            0
        }
    }

    /// Puts the outputs to where they belong.
    fn update(&mut self) {
        for at in 0..self.contexts.len() {
            let level = self.best(&self.contexts[at]) != 0;
            let context = &mut self.contexts[at];
            if level != context.level {
                context.level = level;
                context.output.set(level);
            }
        }
    }

    fn claim(&mut self, context: usize) -> u32 {
        let source = self.best(&self.contexts[context]);
        if source != 0 {
            put(&mut self.claimed, source, true);
            self.update();
        }
        source
    }

    fn complete(&mut self, context: usize, source: u32) {
        let known = (source as usize) < SOURCES && has(&self.contexts[context].enabled, source);
        if known {
            put(&mut self.claimed, source, false);
            self.update();
        }
    }

    fn read(&mut self, offset: u64) -> u32 {
        match offset {
            CONTEXT.. => {
                let (at, register) = split(offset - CONTEXT, CONTEXT_STRIDE);
                match register {
                    0 => self.contexts.get(at).map_or(0, |context| context.threshold),
                    4 if at < self.contexts.len() => self.claim(at),
                    _ => 0,
                }
            }
            ENABLE.. => {
                let (at, register) = split(offset - ENABLE, ENABLE_STRIDE);
                let word = self
                    .contexts
                    .get(at)
                    .and_then(|c| c.enabled.get(register / 4));
                word.copied().unwrap_or(0)
            }
            PENDING.. => {
                let word = ((offset - PENDING) / 4) as usize;
                let lines = self.lines.get(word).copied().unwrap_or(0);
                lines & !self.claimed.get(word).copied().unwrap_or(0)
            }
            _ => self
                .priority
                .get((offset / 4) as usize)
                .copied()
                .unwrap_or(0),
        }
    }

    fn write(&mut self, offset: u64, value: u32) {
        match offset {
            CONTEXT.. => {
                let (at, register) = split(offset - CONTEXT, CONTEXT_STRIDE);
                let Some(context) = self.contexts.get_mut(at) else {
                    return;
                };
                match register {
                    0 => context.threshold = value & MAX_PRIORITY,
                    4 => return self.complete(at, value),
                    _ => return,
                }
            }
            ENABLE.. => {
                let (at, register) = split(offset - ENABLE, ENABLE_STRIDE);
                let context = self.contexts.get_mut(at);
                let Some(word) = context.and_then(|c| c.enabled.get_mut(register / 4)) else {
                    return;
                };
                // There is no source 0.
                *word = if register < 4 { value & !1 } else { value };
            }
            PENDING.. => return,
            _ => match self.priority.get_mut((offset / 4) as usize) {
                Some(priority) if offset != 0 => *priority = value & MAX_PRIORITY,
                _ => return,
            },
        }
        self.update();
    }
}

/// Which of the things that are `stride` apart, and where in it.
fn split(offset: u64, stride: u64) -> (usize, usize) {
    ((offset / stride) as usize, (offset % stride) as usize)
}

impl Plic {
    /// A controller with these outputs, by context.
    pub fn new(outputs: Vec<Arc<dyn Wire>>) -> Arc<Plic> {
        let context = |output| Context {
            enabled: [0; WORDS],
            threshold: 0,
            output,
            level: false,
        };
        Arc::new(Plic(Mutex::new(State {
            priority: [0; SOURCES],
            lines: [0; WORDS],
            claimed: [0; WORDS],
            contexts: outputs.into_iter().map(context).collect(),
        })))
    }

    /// The line of a source.
    ///
    /// # Panics
    ///
    /// If there is no such source.
    pub fn source(self: &Arc<Plic>, source: u32) -> Arc<dyn Wire> {
        assert!(
            (1..=map::LAST_IRQ).contains(&source),
            "no interrupt {source}"
        );
        Arc::new(Source {
            plic: Arc::clone(self),
            source,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device for Plic {
    fn read(&self, offset: u64, size: Size) -> u64 {
        match size {
            Size::B4 if offset.is_multiple_of(4) => u64::from(self.lock().read(offset)),
            _ => 0,
        }
    }

    fn write(&self, offset: u64, size: Size, value: u64) {
        if size == Size::B4 && offset.is_multiple_of(4) {
            self.lock().write(offset, value as u32);
        }
    }
}

struct Source {
    plic: Arc<Plic>,
    source: u32,
}

impl Wire for Source {
    fn set(&self, level: bool) {
        let mut state = self.plic.lock();
        if has(&state.lines, self.source) != level {
            put(&mut state.lines, self.source, level);
            state.update();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::Probe;

    fn plic(contexts: usize) -> (Arc<Plic>, Vec<Arc<Probe>>) {
        let probes: Vec<Arc<Probe>> = (0..contexts).map(|_| Arc::default()).collect();
        let wires = probes
            .iter()
            .map(|probe| Arc::clone(probe) as Arc<dyn Wire>);
        (Plic::new(wires.collect()), probes)
    }

    fn enable(plic: &Plic, context: u64, source: u64, priority: u64) {
        plic.write(source * 4, Size::B4, priority);
        let at = ENABLE + context * ENABLE_STRIDE + source / 32 * 4;
        let word = plic.read(at, Size::B4);
        plic.write(at, Size::B4, word | 1 << (source % 32));
    }

    fn claim_of(context: u64) -> u64 {
        CONTEXT + context * CONTEXT_STRIDE + 4
    }

    #[test]
    fn a_level_is_delivered_claimed_and_completed() {
        let (plic, probes) = plic(2);
        enable(&plic, 1, 10, 1);
        let line = plic.source(10);
        line.set(true);
        assert!(!probes[0].level() && probes[1].level());
        assert_eq!(plic.read(PENDING, Size::B4), 1 << 10);
        assert_eq!(plic.read(claim_of(0), Size::B4), 0, "not enabled there");
        assert_eq!(plic.read(claim_of(1), Size::B4), 10);
        assert!(!probes[1].level());
        assert_eq!(plic.read(claim_of(1), Size::B4), 0);
        // The line is still high.
        plic.write(claim_of(1), Size::B4, 10);
        assert!(probes[1].level());
        line.set(false);
        assert!(!probes[1].level());
    }

    #[test]
    fn the_highest_priority_comes_first_and_thresholds_hold_back() {
        let (plic, probes) = plic(1);
        for (source, priority) in [(3, 1), (40, 5), (95, 5), (7, 0)] {
            enable(&plic, 0, source, priority);
            plic.source(source as u32).set(true);
        }
        plic.write(CONTEXT, Size::B4, 5);
        assert!(!probes[0].level());
        plic.write(CONTEXT, Size::B4, 0);
        let claimed: Vec<u64> = (0..4).map(|_| plic.read(claim_of(0), Size::B4)).collect();
        assert_eq!(claimed, [40, 95, 3, 0], "and a priority of 0 never");
    }

    #[test]
    fn registers_that_are_not_there_do_nothing() {
        let (plic, _) = plic(1);
        let end = map::PLIC.end - map::PLIC.start;
        for offset in (0..0x4000)
            .chain(CONTEXT - 8..CONTEXT + 0x3000)
            .chain(end - 64..end)
        {
            for size in [Size::B1, Size::B2, Size::B4, Size::B8] {
                plic.write(offset, size, u64::MAX);
                plic.read(offset, size);
            }
        }
        assert_eq!(plic.read(0, Size::B4), 0);
        assert_eq!(plic.read(ENABLE, Size::B4), 0xffff_fffe);
    }
}
