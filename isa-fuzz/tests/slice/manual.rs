//! What QEMU does otherwise than the manual: both back ends go by the manual.

use isa_fuzz::asm;
use isa_fuzz::generate::{self, Options};
use isa_fuzz::output::{Record, records};
use isa_fuzz::program::{Item, Program};
use isa_fuzz::run::Runner;
use isa_fuzz::run::inprocess::{Backend, InProcess};
use riscv::Opcode::{Addi, ScD, ScW};

/// QEMU lets it fail if there is no reservation.
#[test]
fn a_misaligned_sc_traps_with_its_address() {
    let options = Options {
        chunks: 0,
        ..Options::default()
    };
    for (op, offset) in [(ScW, 2), (ScD, 4)] {
        let empty = generate::program(1, &options);
        let base = empty.base;
        let address = (1..32).find(|reg| *reg != base).expect("another register");
        let program = Program {
            rounds: 1,
            chunks: vec![vec![Item::Code(vec![
                asm::i(Addi, address, base, offset),
                asm::r(op, 0, address, 0),
            ])]],
            ..empty
        };
        for backend in [Backend::Plain, Backend::Interpreter, Backend::Emitter] {
            let output = InProcess::new(backend).run(&program.assemble());
            let output = output.expect("memory can be mapped");
            let Some(Record::Trap(trap)) = records(&output.bytes).next() else {
                panic!("{backend:?}: no trap");
            };
            let fault = isa_fuzz::layout::BASE + offset as u64;
            assert_eq!(trap[..4], 7u32.to_le_bytes(), "SIGBUS");
            assert_eq!(trap[16..24], fault.to_le_bytes());
        }
    }
}
