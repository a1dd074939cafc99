//! Guest code → a block in the cache. One per vCPU, because it keeps its buffers.

use epoch::Participant;
use histogram::thread_cpu_time;
use plugin_rt::{InstrumentationSet, Instruments, Wishes, fill};
use tb_cache::{ArenaOwner, Insert, Key, SetId, Tb, Translation};
use translate::frontend::{self, Limits};
use translate::hooks;
use translate::lanes::Lanes;
use translate::passes::Optimizer;
use translate::x86::{Emitter, HostCode};
use translate::{Block, clock};

use crate::engine::{Backend, Engine};
use crate::latency::Recorder;
use crate::place::{Mapped, Place};
use crate::seen::Seen;
use crate::stats::{Count, add};

/// Why there is no block for a pc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The cache has no room, or the block is not worth any yet: [`Translator::block`] is to be
    /// interpreted.
    Interpret,
    /// The code changed during its translation: try again.
    Changed,
    /// No instruction can be fetched there.
    Code,
}

/// What a vCPU translates with, besides its translator.
pub(crate) struct Tools<'a, 'v> {
    pub engine: &'a Engine,
    pub online: &'a Participant,
    pub arenas: &'v mut ArenaOwner,
    pub instruments: &'v mut Instruments,
    /// Of the vCPU's instrumentation set.
    pub lanes: Option<&'a Lanes>,
    /// Where the code of the block is.
    pub place: Place,
    /// The vCPU's number.
    pub vcpu: u32,
    /// Where to note how long it takes.
    pub latency: Option<&'a Recorder>,
}

impl Tools<'_, '_> {
    /// The code around that of `key`.
    fn code(&self, key: Key) -> Mapped<'_> {
        Mapped {
            code: self.engine.code(),
            pc: key.pc,
            place: self.place,
        }
    }
}

/// A translator.
pub(crate) struct Translator {
    limits: Limits,
    block: Block,
    host: HostCode,
    optimizer: Optimizer,
    emitter: Emitter,
    seen: Seen,
}

impl Translator {
    pub(crate) fn new() -> Translator {
        Translator {
            limits: Limits::default(),
            block: Block::default(),
            host: HostCode::default(),
            optimizer: Optimizer::default(),
            emitter: Emitter::new(),
            seen: Seen::new(),
        }
    }

    /// The block of `key`: found in the cache, or translated and inserted.
    #[inline]
    pub(crate) fn obtain<'a>(&mut self, tools: Tools<'a, '_>, key: Key) -> Result<&'a Tb, Missing> {
        match tools.engine.cache().lookup(tools.online, key) {
            Some(tb) => Ok(tb),
            None if self.is_first_time(&tools, key) => self.decode(&tools, key),
            None => match tools.latency {
                None => self.translate(tools, key),
                Some(latency) => {
                    let for_plugins = tools.instruments.set() != SetId::EMPTY;
                    let cpu_time = for_plugins.then(thread_cpu_time);
                    let begun = latency.translates();
                    let result = self.translate(tools, key);
                    latency.translated(begun);
                    if let Some(begun) = cpu_time {
                        latency.instrumented(thread_cpu_time().saturating_sub(begun));
                    }
                    result
                }
            },
        }
    }

    /// Whether the block is to be interpreted this once. Plugins are to see a block when it is
    /// translated, and not a second time for that.
    fn is_first_time(&mut self, tools: &Tools<'_, '_>, key: Key) -> bool {
        tools.engine.interprets_first()
            && tools.instruments.set() == SetId::EMPTY
            && !self.seen.insert(key.pc)
    }

    fn translate<'a>(&mut self, tools: Tools<'a, '_>, key: Key) -> Result<&'a Tb, Missing> {
        let start = clock::cycle();
        let engine = tools.engine;
        let cache = engine.cache();
        let ticket = cache.ticket();
        let watched = cache.watched(engine.code());
        let code = Mapped {
            code: &watched,
            pc: key.pc,
            place: tools.place,
        };
        let block = &mut self.block;
        frontend::translate(block, key.pc, key.mode, &code, &self.limits);
        if block.bytes.is_empty() {
            return Err(Missing::Code);
        }
        let dump = engine.dump(key.pc);
        if let Some(dump) = dump {
            dump.translated(block);
        }
        let wishes = wishes(tools.instruments, block);
        if hooks::changes_registers(&wishes) {
            let limits = Limits {
                fold: false,
                ..self.limits
            };
            frontend::translate(block, key.pc, key.mode, &code, &limits);
        }
        fill_points(block, &wishes, false, engine);
        if let Some(dump) = dump {
            dump.filled(block);
        }
        if let Some(lanes) = tools.lanes {
            lanes.plan(block);
        }
        self.optimizer.run(block);
        if let Some(dump) = dump {
            dump.optimized(block);
        }
        let host = match engine.backend() {
            Backend::X86_64 => {
                self.emitter.emit(block, &mut self.host);
                if let Some(dump) = dump {
                    dump.emitted(block, &self.host);
                }
                Some(&mut self.host)
            }
            Backend::Interp => None,
        };
        code.make_physical(&mut block.ranges);
        let translation = Translation {
            key,
            block,
            host,
            ticket,
        };
        let retirements = cache.retirements();
        let inserted = cache.insert(tools.online, tools.arenas, engine.code(), translation);
        if cache.retirements() != retirements {
            engine.nudge();
        }
        let counts = engine.counts(tools.vcpu);
        add(counts, Count::Translations, 1);
        add(counts, Count::Insns, u64::from(self.block.n_insns));
        add(
            counts,
            Count::TranslationTicks,
            clock::cycle().wrapping_sub(start),
        );
        match inserted {
            Insert::Published(tb) => Ok(tb),
            Insert::NoRoom => {
                add(counts, Count::InterpretedForRoom, 1);
                Err(Missing::Interpret)
            }
            Insert::Changed => Err(Missing::Changed),
        }
    }

    /// Makes ops of the plain block at `key` for the interpreter, to be run this once.
    #[cold]
    fn decode<'a>(&mut self, tools: &Tools<'a, '_>, key: Key) -> Result<&'a Tb, Missing> {
        let plain = Limits {
            superblocks: false,
            ..self.limits
        };
        let block = &mut self.block;
        frontend::translate(block, key.pc, key.mode, &tools.code(key), &plain);
        if block.bytes.is_empty() {
            return Err(Missing::Code);
        }
        fill(block, tools.engine.set());
        let counts = tools.engine.counts(tools.vcpu);
        add(counts, Count::InterpretedFirst, 1);
        Err(Missing::Interpret)
    }

    /// Makes ops of one instruction for the interpreter. Gives whether there is one.
    pub(crate) fn single(&mut self, tools: &mut Tools<'_, '_>, key: Key) -> bool {
        self.plain(tools, key, 1, false)
    }

    /// Makes ops for the interpreter of what is left of a plain block, from the instruction at `key`
    /// on, which the block of `start` has begun: the hooks before it have run.
    pub(crate) fn rest(&mut self, tools: &mut Tools<'_, '_>, key: Key, start: Option<Key>) -> bool {
        if tools.instruments.set() == SetId::EMPTY {
            return self.plain(tools, key, 1, true);
        }
        let Some(start) = start else {
            // Up to where any plain block ends.
            return self.plain(tools, key, self.limits.max_insns, true);
        };
        let block = &mut self.block;
        frontend::translate(block, start.pc, start.mode, &tools.code(key), &self.limits);
        let mut left = 1;
        hooks::plain_blocks(block, |_, insns| {
            if let Some(at) = insns.iter().position(|insn| insn.pc == key.pc) {
                left = insns.len() - at;
            }
        });
        self.plain(tools, key, left as u32, true)
    }

    fn plain(&mut self, tools: &mut Tools<'_, '_>, key: Key, insns: u32, begun: bool) -> bool {
        let limits = Limits {
            max_insns: insns,
            enough_insns: u32::MAX,
            superblocks: false,
            fold: false,
        };
        let block = &mut self.block;
        frontend::translate(block, key.pc, key.mode, &tools.code(key), &limits);
        let wishes = wishes(tools.instruments, block);
        fill_points(block, &wishes, begun, tools.engine);
        !block.bytes.is_empty()
    }

    /// The block translated last.
    pub(crate) fn block(&self) -> &Block {
        &self.block
    }
}

/// What plugins ask for in a block.
fn wishes(instruments: &mut Instruments, block: &Block) -> Wishes {
    match instruments.set() {
        SetId::EMPTY => Wishes::new(),
        _ => instruments.translated(block),
    }
}

/// Fills the block's points with what plugins and the engine itself ask for.
fn fill_points(block: &mut Block, wishes: &Wishes, begun: bool, engine: &Engine) {
    // Either removes the points: most blocks are gone through once.
    if !wishes.is_empty() {
        hooks::fill(block, wishes, begun);
    }
    if wishes.is_empty() || engine.set() != &InstrumentationSet::EMPTY {
        fill(block, engine.set());
    }
}
