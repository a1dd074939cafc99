//! Directed programs: every instruction on every combination of edge-case operands.
//!
//! One program per encoding. It loops over tables of operands; for each combination it runs a
//! few *steps*, each with its own registers, immediates and rounding mode, and notes the result,
//! the flags and a word of memory. Loops keep the code small, so that millions of results take
//! seconds.

mod build;
mod steps;

use riscv::{Encoding, Opcode, decode, disassemble, mnemonic};

use crate::asm::{Word, all_encodings};
use crate::generate::{Class, class};
use crate::program::Image;
use crate::rng::Rng;
use crate::run::{Output, RunError, Runner};

/// Bytes of the note about one step: result, `fflags`, memory.
const NOTE: usize = 24;

/// A register file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    X,
    F,
}

/// What is run on one combination of operands.
#[derive(Clone, Debug)]
struct Step {
    /// Where the operands go, in order.
    operands: Vec<(File, u8)>,
    /// Run first, to set the rounding mode.
    before: Vec<Word>,
    /// The instruction under test, with what it needs around it.
    words: Vec<Word>,
    /// Where its result is.
    result: (File, u8),
}

/// A directed program.
#[derive(Clone, Debug)]
pub struct Directed {
    /// What it tests.
    pub name: String,
    /// The program.
    pub image: Image,
    steps: Vec<Step>,
    /// Values of each operand.
    tables: Vec<Vec<u64>>,
}

/// The programs for all encodings but those that only trap, with every `stride`-th value of each
/// operand.
pub fn programs(seed: u64, stride: usize) -> Vec<Directed> {
    let mut rng = Rng::new(seed);
    let testable = |encoding: &&Encoding| match class(encoding.op) {
        Class::Trap | Class::Fence | Class::CacheBlock => false,
        Class::Control => steps::BRANCHES.contains(&encoding.op) && encoding.len == 4,
        _ => true,
    };
    all_encodings()
        .iter()
        .filter(testable)
        .map(|encoding| directed(&mut rng, encoding, stride))
        .collect()
}

fn directed(rng: &mut Rng, encoding: &Encoding, stride: usize) -> Directed {
    let steps = steps::steps(rng, encoding);
    let tables = steps::tables(encoding.op, steps[0].operands.len(), stride);
    let width = if encoding.len == 2 {
        " (compressed)"
    } else {
        ""
    };
    Directed {
        name: format!("{}{width}", mnemonic(encoding.op)),
        image: build::image(&steps, &tables),
        steps,
        tables,
    }
}

impl Directed {
    /// Results that the program notes.
    pub fn results(&self) -> usize {
        let combinations: usize = self.tables.iter().map(Vec::len).product();
        combinations * self.steps.len()
    }

    /// Runs it everywhere; says what differs from the first runner, if anything.
    pub fn check(&self, runners: &[Box<dyn Runner>]) -> Result<Option<String>, RunError> {
        let expected = runners[0].run(&self.image)?;
        for runner in &runners[1..] {
            let output = runner.run(&self.image)?;
            if output != expected {
                let names = (runners[0].name(), runner.name());
                return Ok(Some(self.explain(names, &expected, &output)));
            }
        }
        // The comparison would also be content with outputs that are wrong alike.
        if expected.bytes.len() != self.results() * NOTE {
            let bytes = expected.bytes.len();
            return Ok(Some(format!("{}: only {bytes} bytes of output", self.name)));
        }
        Ok(None)
    }

    fn explain(&self, names: (&str, &str), a: &Output, b: &Output) -> String {
        let notes = |output: &Output| -> Vec<Vec<u8>> {
            output.bytes.chunks(NOTE).map(<[u8]>::to_vec).collect()
        };
        let (x, y) = (notes(a), notes(b));
        let Some(at) = x.iter().zip(&y).position(|(x, y)| x != y) else {
            return format!(
                "{}: {} {}, {} {}",
                self.name, names.0, a.end, names.1, b.end
            );
        };
        let step = &self.steps[at % self.steps.len()];
        let mut combination = at / self.steps.len();
        let mut operands = Vec::new();
        for table in self.tables.iter().rev() {
            operands.insert(0, format!("{:#018x}", table[combination % table.len()]));
            combination /= table.len();
        }
        let text = |words: &[Word]| -> Vec<String> {
            let line = |word: &Word| disassemble(&decode(word.bits), 0);
            words.iter().map(line).collect()
        };
        format!(
            "{}: {}; {} on {}\n  {:10} {}\n  {:10} {}",
            self.name,
            text(&step.before).join("; "),
            text(&step.words).join("; "),
            operands.join(", "),
            names.0,
            note(&x[at]),
            names.1,
            note(&y[at]),
        )
    }
}

fn note(bytes: &[u8]) -> String {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    format!(
        "{:#018x} flags {:#04x} memory {:#018x}",
        word(0),
        word(8),
        word(16)
    )
}

/// Whether `op` works on singles.
fn is_single(op: Opcode) -> bool {
    mnemonic(op).contains(".s") && op != Opcode::FcvtSD
}
