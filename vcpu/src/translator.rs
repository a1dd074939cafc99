//! Guest code → a block in the cache. One per vCPU, because it keeps its buffers.

use epoch::Participant;
use plugin_rt::fill;
use tb_cache::{ArenaOwner, Insert, Key, Tb, Translation};
use translate::Block;
use translate::frontend::{self, Limits};
use translate::passes::Optimizer;
use translate::x86::{Emitter, HostCode};

use crate::csr::timestamp;
use crate::engine::{Backend, Engine};
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
    pub(crate) fn obtain<'a>(
        &mut self,
        engine: &'a Engine,
        online: &'a Participant,
        arenas: &mut ArenaOwner,
        key: Key,
    ) -> Result<&'a Tb, Missing> {
        match engine.cache().lookup(online, key) {
            Some(tb) => Ok(tb),
            None if engine.interprets_first() && !self.seen.insert(key.pc) => {
                self.decode(engine, online, key)
            }
            None => self.translate(engine, online, arenas, key),
        }
    }

    fn translate<'a>(
        &mut self,
        engine: &'a Engine,
        online: &'a Participant,
        arenas: &mut ArenaOwner,
        key: Key,
    ) -> Result<&'a Tb, Missing> {
        let start = timestamp();
        let cache = engine.cache();
        let ticket = cache.ticket();
        let code = cache.watched(engine.code());
        frontend::translate(&mut self.block, key.pc, key.mode, &code, &self.limits);
        if self.block.bytes.is_empty() {
            return Err(Missing::Code);
        }
        let dump = engine.dump(key.pc);
        if let Some(dump) = dump {
            dump.translated(&self.block);
        }
        fill(&mut self.block, engine.set());
        self.optimizer.run(&mut self.block);
        if let Some(dump) = dump {
            dump.optimized(&self.block);
        }
        let host = match engine.backend() {
            Backend::X86_64 => {
                self.emitter.emit(&self.block, &mut self.host);
                if let Some(dump) = dump {
                    dump.emitted(&self.block, &self.host);
                }
                Some(&mut self.host)
            }
            Backend::Interp => None,
        };
        let translation = Translation {
            key,
            block: &self.block,
            host,
            ticket,
        };
        let retirements = cache.retirements();
        let inserted = cache.insert(online, arenas, engine.code(), translation);
        if cache.retirements() != retirements {
            engine.nudge();
        }
        let counts = engine.counts(online);
        add(counts, Count::Translations, 1);
        add(counts, Count::Insns, u64::from(self.block.n_insns));
        add(
            counts,
            Count::TranslationTicks,
            timestamp().wrapping_sub(start),
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
    fn decode<'a>(
        &mut self,
        engine: &Engine,
        online: &Participant,
        key: Key,
    ) -> Result<&'a Tb, Missing> {
        let plain = Limits {
            superblocks: false,
            fold: true,
            ..self.limits
        };
        if !self.prepare(engine, key, &plain) {
            return Err(Missing::Code);
        }
        add(engine.counts(online), Count::InterpretedFirst, 1);
        Err(Missing::Interpret)
    }

    /// Translates one instruction for the interpreter. Gives whether there is one.
    pub(crate) fn single(&mut self, engine: &Engine, key: Key) -> bool {
        let one = Limits {
            max_insns: 1,
            superblocks: false,
            fold: true,
        };
        self.prepare(engine, key, &one)
    }

    /// Makes ops for the interpreter. Gives whether there are any.
    fn prepare(&mut self, engine: &Engine, key: Key, limits: &Limits) -> bool {
        frontend::translate(&mut self.block, key.pc, key.mode, engine.code(), limits);
        fill(&mut self.block, engine.set());
        !self.block.bytes.is_empty()
    }

    /// The block translated last.
    pub(crate) fn block(&self) -> &Block {
        &self.block
    }
}
