//! QEMU, the interpreter and the emitter do the same.

use isa_fuzz::campaign::{self, Plan};
use isa_fuzz::directed;
use isa_fuzz::generate::{Options, reserved};
use isa_fuzz::output::difference;
use std::time::Duration;

use crate::runners;

#[test]
fn random_programs_agree() {
    let plan = Plan {
        instructions: 200_000,
        seed: 1,
        jobs: 1,
        failures: 1,
        shrink: Duration::from_secs(30),
        options: Options::default(),
    };
    let tally = campaign::random(&plan, &runners()).expect("the runners run");
    assert_eq!(tally.failures, 0, "see above");
    assert!(tally.profile.total >= 200_000);
}

#[test]
fn every_instruction_agrees_on_edge_cases() {
    let runners = runners();
    let programs = directed::programs(1, 6);
    assert!(programs.len() > 200);
    for program in programs {
        if let Some(difference) = program.check(&runners).expect("the runners run") {
            panic!("{difference}");
        }
    }
}

#[test]
fn reserved_encodings_trap_everywhere() {
    let runners = runners();
    let program = &reserved::programs(1)[0];
    let image = program.assemble();
    let expected = runners[0].run(&image).expect("QEMU runs");
    // One trap and one dump per encoding.
    let records = isa_fuzz::output::records(&expected.bytes);
    let traps = records.filter(|record| matches!(record, isa_fuzz::output::Record::Trap(_)));
    assert_eq!(traps.count(), program.chunks.len());
    for runner in &runners[1..] {
        let output = runner.run(&image).expect("the runner runs");
        assert_eq!(difference(&expected, &output), None, "{}", runner.name());
    }
}
