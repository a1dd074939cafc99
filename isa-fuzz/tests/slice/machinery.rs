//! The tests can see: what is generated, and that a wrong result is found and cut down.

use isa_fuzz::asm::all_encodings;
use isa_fuzz::generate::{self, Class, Options};
use isa_fuzz::output::difference;
use isa_fuzz::program::{Image, Item, Program};
use isa_fuzz::run::inprocess::{self, Backend, InProcess, Profile};
use isa_fuzz::run::{Output, RunError, Runner};
use isa_fuzz::shrink::shrink;
use riscv::{Opcode, decode};
use std::time::Duration;

#[test]
fn random_programs_execute_every_encoding() {
    let mut profile = Profile::default();
    for seed in 0..40 {
        let image = generate::program(seed, &Options::default()).assemble();
        profile += &inprocess::profile(&image).expect("memory can be mapped");
    }
    for encoding in all_encodings() {
        if generate::class(encoding.op) != Class::Trap {
            assert!(profile.count(encoding) > 0, "{encoding:?} never ran");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_program() {
    let assemble = |seed| generate::program(seed, &Options::default()).assemble();
    assert_eq!(assemble(7).code, assemble(7).code);
    assert_ne!(assemble(7).code, assemble(8).code);
}

/// Takes every `mulhsu` for a `mulhu`.
struct Wrong(InProcess);

impl Runner for Wrong {
    fn name(&self) -> &str {
        "wrong"
    }

    fn run(&self, image: &Image) -> Result<Output, RunError> {
        let mut image = image.clone();
        let mut at = 0;
        while at + 4 <= image.code.len() {
            let word: &mut [u8; 4] = image.code[at..].first_chunk_mut().expect("four bytes");
            let insn = decode(u32::from_le_bytes(*word));
            if insn.op == Opcode::Mulhsu {
                *word = (insn.raw | 1 << 12).to_le_bytes();
            }
            at += usize::from(insn.len);
        }
        self.0.run(&image)
    }
}

#[test]
fn a_wrong_result_is_found_and_cut_down_to_its_instruction() {
    let right = InProcess::new(Backend::Interpreter);
    let wrong = Wrong(InProcess::new(Backend::Interpreter));
    let differs = |program: &Program| {
        let image = program.assemble();
        let expected = right.run(&image).expect("memory can be mapped");
        let output = wrong.run(&image).expect("memory can be mapped");
        difference(&expected, &output).is_some()
    };
    let options = Options {
        chunks: 20,
        rounds: 2,
        ..Options::default()
    };
    let failing = (0..50)
        .map(|seed| generate::program(seed, &options))
        .find(differs)
        .expect("one of fifty programs has a mulhsu that matters");
    let least = shrink(&failing, Duration::from_secs(20), differs);
    let words: usize = least
        .chunks
        .iter()
        .flatten()
        .map(|item| match item {
            Item::Code(words) => words.len(),
            _ => 1,
        })
        .sum();
    assert!(words <= 4, "{}", isa_fuzz::report::describe(&least));
    let is_culprit = |item: &Item| match item {
        Item::Code(words) => words.iter().any(|w| decode(w.bits).op == Opcode::Mulhsu),
        _ => false,
    };
    assert!(least.chunks.iter().flatten().any(is_culprit));
}
