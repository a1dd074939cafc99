//! What programs write, as records, and where two outputs part.

use std::fmt;

use riscv::names::{f_name, x_name};

use crate::layout::{MEMORY_BYTES, MEMORY_TAG, POOL, STATE_BYTES, TRAP_BYTES};
use crate::run::{End, Output};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Registers at the end of a chunk.
    State(&'a [u8]),
    /// Pool and scratch memory at the end of a round.
    Memory(&'a [u8]),
    /// A trap.
    Trap(&'a [u8]),
    /// What is none of these.
    Garbage(&'a [u8]),
}

/// Splits an output into its records.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let tag = rest.first_chunk().map(|first| u64::from_le_bytes(*first));
        let len = match tag {
            Some(0) => STATE_BYTES,
            Some(MEMORY_TAG) => MEMORY_BYTES,
            _ => TRAP_BYTES,
        };
        let Some((record, tail)) = rest.split_at_checked(len) else {
            return Some(Record::Garbage(std::mem::take(&mut rest)));
        };
        rest = tail;
        Some(match tag {
            Some(0) => Record::State(record),
            Some(MEMORY_TAG) => Record::Memory(record),
            _ => Record::Trap(record),
        })
    })
}

/// The first place where two outputs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// State records before it, in both outputs: chunks that agreed, over all rounds.
    pub chunks_before: usize,
    /// Whether a program did not end, rather than end differently.
    pub timeout: bool,
    /// What differs, in words.
    pub details: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  after {} chunks:", self.chunks_before)?;
        for line in &self.details {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

/// Compares two outputs; `None` if they are the same.
pub fn difference(a: &Output, b: &Output) -> Option<Difference> {
    if a == b {
        return None;
    }
    let mut chunks_before = 0;
    let (mut left, mut right) = (records(&a.bytes), records(&b.bytes));
    loop {
        let details = match (left.next(), right.next()) {
            (None, None) => vec![format!("end: {}, {}", a.end, b.end)],
            (Some(x), Some(y)) if x == y => {
                chunks_before += usize::from(matches!(x, Record::State(_)));
                continue;
            }
            (Some(x), Some(y)) => compare(x, y),
            (x, y) => vec![format!(
                "one stops: {} ({}), {} ({})",
                name(x),
                a.end,
                name(y),
                b.end
            )],
        };
        return Some(Difference {
            chunks_before,
            timeout: [a, b].iter().any(|output| output.end == End::Timeout),
            details,
        });
    }
}

fn name(record: Option<Record<'_>>) -> &'static str {
    match record {
        None => "nothing more",
        Some(Record::State(_)) => "registers",
        Some(Record::Memory(_)) => "memory",
        Some(Record::Trap(_)) => "a trap",
        Some(Record::Garbage(_)) => "garbage",
    }
}

fn compare(x: Record<'_>, y: Record<'_>) -> Vec<String> {
    match (x, y) {
        (Record::State(x), Record::State(y)) => words(x, y, state_word),
        (Record::Memory(x), Record::Memory(y)) => words(x, y, memory_word),
        (Record::Trap(x), Record::Trap(y)) => words(x, y, trap_word),
        _ => {
            let describe = |record| match record {
                Record::Trap(bytes) => format!("a trap ({})", trap(bytes)),
                other => name(Some(other)).to_owned(),
            };
            vec![format!("{}, {}", describe(x), describe(y))]
        }
    }
}

/// One line per 8 bytes that differ.
fn words(x: &[u8], y: &[u8], name: fn(usize) -> String) -> Vec<String> {
    let word = |bytes: &[u8]| {
        let mut buffer = [0; 8];
        buffer[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(buffer)
    };
    x.chunks(8)
        .zip(y.chunks(8))
        .enumerate()
        .filter(|(_, (x, y))| x != y)
        .map(|(at, (x, y))| format!("{:10} {:016x}  {:016x}", name(at), word(x), word(y)))
        .collect()
}

fn register(at: usize) -> String {
    match at {
        0..32 => x_name(at as u8).to_owned(),
        32..64 => f_name(at as u8 - 32).to_owned(),
        _ => "fcsr".to_owned(),
    }
}

fn state_word(at: usize) -> String {
    register(at)
}

fn memory_word(at: usize) -> String {
    format!("base{:+}", POOL + 8 * at as i32)
}

fn trap_word(at: usize) -> String {
    match at {
        0 => "signal".to_owned(),
        1 => "code".to_owned(),
        2 => "address".to_owned(),
        3 => "pc".to_owned(),
        _ => register(at - 3),
    }
}

/// A trap in short.
fn trap(bytes: &[u8]) -> String {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    format!(
        "signal {} code {} address {:#x} pc {:#x}",
        word(0) as u32,
        word(8) as u32,
        word(16),
        word(24)
    )
}
