//! Random cases: levels, registers, page tables, protection. Each sets a hart up, runs a few instructions
//! at some level until they trap, and shows all that may have changed.
//!
//! `HART_FUZZ=FROM..TO` tries these seeds instead of the few that a test tries.

use std::fmt::Write;
use std::ops::Range;

use vcpu::Backend;

use crate::machine_under_test::run;
use crate::{guest, reference};

/// Cases of one program.
const CASES: u64 = 400;
/// Programs that the test tries.
const SEEDS: Range<u64> = 1..4;

/// A sequence of pseudo-random numbers (splitmix).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A value with few, many, or random bits.
    fn value(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => !(1 << self.below(64)),
            4 => self.next() & self.next(),
            _ => self.next(),
        }
    }
}

/// Exceptions that may be delegated without end: not those of fetching, as the supervisor's handler may be
/// closed to it, and not its own call, by which the handler goes on to the machine level.
const DELEGABLE: u64 = 0xb3ff & !(1 << 1 | 1 << 9 | 1 << 12);

/// Registers that the set-up writes, with the bits that it may set there.
const SET_UP: &[(&str, u64)] = &[
    // No MIE: the set-up is not to be interrupted. No MPRV: it needs its memory. No vectors.
    (
        "mstatus",
        !(0xf << 32 | 1 << 3 | 3 << 11 | 1 << 17 | 3 << 9),
    ),
    ("medeleg", DELEGABLE),
    ("mideleg", 0x222),
    ("mcounteren", 7),
    ("scounteren", 7),
    ("sscratch", u64::MAX),
];

/// Registers that cases access, with the bits that may be set.
const CSRS: &[(&str, u64)] = &[
    ("mstatus", !(0xf << 32 | 1 << 17 | 3 << 9)),
    ("sstatus", !(3 << 32 | 3 << 9)),
    ("medeleg", DELEGABLE),
    ("mideleg", 0x222),
    ("mie", 0xaaa),
    ("sie", 0xaaa),
    ("mip", 0x022),
    ("sip", 0x022),
    ("mscratch", 0),
    ("sscratch", u64::MAX),
    ("mepc", !1),
    ("sepc", !1),
    ("mcause", 1 << 63 | 63),
    ("scause", 1 << 63 | 63),
    ("mtval", u64::MAX),
    ("stval", u64::MAX),
    ("mcounteren", 7),
    ("scounteren", 7),
    // No other tables: where they would be there is no memory.
    ("satp", 0xffff << 44),
    ("fcsr", 0xff),
    ("fflags", 0x1f),
    ("pmpaddr1", (1 << 54) - 1),
    ("pmpaddr2", (1 << 54) - 1),
    ("mhartid", 0),
    ("mvendorid", 0),
];

const ACCESSES: &[&str] = &[
    "ld a0, (a0)",
    "lw a0, 4(a0)",
    "lb a0, 8(a0)",
    "sd a1, 8(a0)",
    "sb a1, 9(a0)",
    // Aligned, as QEMU 7.2 takes a misaligned one for a load.
    "andi a0, a0, -8\n\tamoadd.d a0, a1, (a0)",
    "lr.d a0, (a0)",
    "li a1, 4089\n\tadd a0, a0, a1\n\tld a0, (a0)",
    "jr a0",
    "li a1, 4090\n\tadd a0, a0, a1\n\tsd a1, (a0)",
];

struct Case<'a> {
    random: &'a mut Random,
    text: String,
}

impl Case<'_> {
    fn line(&mut self, text: &str) {
        self.text.push('\t');
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn set_up(&mut self) {
        for &(name, bits) in SET_UP {
            if self.random.one_in(2) {
                let value = self.random.value() & bits;
                self.line(&format!("li t0, {value:#x}"));
                self.line(&format!("csrw {name}, t0"));
            }
        }
    }

    /// Not the external one, which QEMU takes for the least urgent: unit tests tell that.
    fn raise(&mut self) {
        let line = self.random.choose(&[1, 5]);
        self.line(&format!("li t0, {:#x}", 1 << line));
        self.line("csrw mip, t0");
        let enabled = if self.random.one_in(4) { 0 } else { 0xaaa };
        self.line(&format!("li t0, {enabled:#x}"));
        self.line("csrw mie, t0");
    }

    fn protect(&mut self) {
        // The page of data, or some bytes of it; everything else is free.
        let size = self.random.choose(&[0x1ff_u64, 0xf, 1]);
        let mut config = self.random.below(8) | 0x18;
        if size != 0x1ff {
            // A page of which only a part is executable is not executable here.
            config &= !4;
        }
        let config = if config & 3 == 2 { config & !2 } else { config };
        self.line("la t0, on_data");
        self.line("ld t0, (t0)");
        self.line("srli t0, t0, 2");
        self.line(&format!("ori t0, t0, {size}"));
        self.line("csrw pmpaddr0, t0");
        self.line("li t0, 0x3fffffffffffff");
        self.line("csrw pmpaddr1, t0");
        self.line(&format!("li t0, {:#x}", config | 0x1f00));
        self.line("csrw pmpcfg0, t0");
        self.line("sfence.vma");
    }

    /// Page tables, whose leaf is of all kinds; gives where it lies.
    fn map(&mut self, level: u64) -> u64 {
        let levels = 3 + self.random.below(3);
        let depth = self.random.choose(&[0, 0, 0, 1, 2]);
        let mut leaf = 0xd1 | self.random.below(8) << 1;
        if self.random.one_in(2) {
            leaf ^= 1 << self.random.below(8);
        }
        if self.random.one_in(2) {
            leaf ^= 0x10;
        }
        if self.random.one_in(12) {
            leaf |= 1 << (54 + self.random.below(7));
        }
        if self.random.one_in(8) {
            // A misaligned leaf, if it is a large one.
            leaf |= 1 << 10;
        }
        self.line(&format!("li a0, {levels}"));
        self.line(&format!("li a1, {depth}"));
        self.line(&format!("li a2, {leaf:#x}"));
        self.line(&format!("li a3, {}", u64::from(level == 0)));
        self.line("call map");
        depth
    }

    fn csr_access(&mut self) {
        let (name, bits) = self.random.choose(CSRS);
        let value = self.random.value() & bits;
        let op = self
            .random
            .choose(&["csrrw", "csrrs", "csrrc", "csrrs", "csrrc"]);
        self.line(&format!("li a2, {value:#x}"));
        match self.random.below(4) {
            // What keeps the trap handler alive is not written.
            0 => self.line(&format!("csrr a1, {name}")),
            _ if name == "mscratch" => self.line("csrr a1, mscratch"),
            _ => self.line(&format!("{op} a1, {name}, a2")),
        }
        if name != "satp" {
            self.line(&format!("csrr a2, {name}"));
            self.line("slli a1, a1, 1");
            self.line("xor a1, a1, a2");
        }
    }

    fn other(&mut self) {
        let text = self.random.choose(&[
            "sfence.vma",
            "sfence.vma a0, a1",
            "csrr zero, time",
            "csrr zero, cycle",
            "csrr zero, instret",
            "ebreak",
            ".word 0xffffffff",
            "fmv.d.x fa0, a1",
            "fence.i",
            "csrw mhartid, a0",
            "csrr a1, 0x7b0",
            "csrr a1, 0x5a8",
            // The machine level, as the user or the supervisor.
            "li a2, 0x20000\n\tcsrs mstatus, a2",
            "li a2, 0x20800\n\tcsrs mstatus, a2",
            "li a2, 0x20000\n\tcsrc mstatus, a2",
            // SUM, MXR.
            "li a2, 0x40000\n\tcsrs sstatus, a2",
            "li a2, 0x40000\n\tcsrc sstatus, a2",
            "li a2, 0x80000\n\tcsrs sstatus, a2",
            "li a2, 0x80000\n\tcsrc sstatus, a2",
        ]);
        self.line(text);
    }

    fn returns(&mut self) {
        let (op, epc) = self.random.choose(&[("mret", "mepc"), ("sret", "sepc")]);
        self.line("la a2, 9f");
        self.line(&format!("csrw {epc}, a2"));
        self.line(op);
        self.line("nop");
        self.text.push_str("9:\n");
        self.line("csrr a1, sscratch");
    }
}

/// A program of cases.
fn program(seed: u64) -> String {
    let mut random = Random(seed);
    let mut text = String::from(
        "\t.option norvc\n\t.globl main\nmain:\taddi sp, sp, -16\n\tsd ra, (sp)\n\tcsrw mtval, zero\n",
    );
    for number in 0..CASES {
        let mut case = Case {
            random: &mut random,
            text: String::new(),
        };
        case.line("call calm");
        let level = case.random.choose(&[0, 1, 1, 3]);
        let depth = match case.random.below(3) {
            0 => case.map(level),
            _ => 0,
        };
        if case.random.one_in(4) {
            case.protect();
        }
        case.set_up();
        if case.random.one_in(4) {
            case.raise();
        }
        let access = match case.random.below(10) {
            0 => "0x500000",
            _ => "0x503000",
        };
        let value = case.random.value();
        case.line(&format!("li a0, {level}"));
        case.line("la a1, 1f");
        case.line(&format!("li a2, {access}"));
        case.line(&format!("li a3, {value:#x}"));
        case.line("call try");
        case.line(&format!("li a0, {number:#x}"));
        case.line(&format!("li a1, {depth}"));
        case.line("call dump");
        case.line("j 2f");
        case.text.push_str("\t.balign 4\n1:\n");
        for _ in 0..1 + case.random.below(4) {
            match case.random.below(8) {
                0..=2 => case.csr_access(),
                3..=5 => {
                    let access = case.random.choose(ACCESSES);
                    if case.random.one_in(2) {
                        case.line("li a0, 0x503000");
                    }
                    case.line(access);
                }
                6 => case.returns(),
                _ => case.other(),
            }
        }
        case.line("ecall");
        case.text.push_str("2:\n");
        // Writing to a String cannot fail.
        let _ = write!(text, "# case {number:x}\n{}", case.text);
    }
    text.push_str("\tli a0, 0\n\tld ra, (sp)\n\taddi sp, sp, 16\n\tret\n");
    text
}

/// The text of a case, for who wants to know why it fails.
fn case_of<'a>(text: &'a str, line: &str) -> &'a str {
    let number = line.split(' ').nth(1).unwrap_or_default();
    let from = text.find(&format!("# case {number}\n")).unwrap_or(0);
    let to = text[from + 1..]
        .find("# case")
        .map_or(text.len(), |to| from + 1 + to);
    &text[from..to]
}

fn check(seed: u64) {
    let text = program(seed);
    let program = guest::build_generated("fuzz", &text);
    let expected = reference(&program);
    let done = expected.lines().count() as u64;
    assert!(
        done == CASES,
        "seed {seed}: QEMU does not get through\n{}",
        case_of(&text, &format!("case {done:x}"))
    );
    for backend in [Backend::X86_64, Backend::Interp] {
        let found = run(&program, backend, 1);
        for (expected, found) in expected.lines().zip(found.lines()) {
            assert!(
                found == expected,
                "seed {seed}, {backend:?}\n{}QEMU {expected}\nhere {found}",
                case_of(&text, expected)
            );
        }
        assert_eq!(found.lines().count(), expected.lines().count());
    }
}

#[test]
fn random_cases_agree() {
    let seeds = match std::env::var("HART_FUZZ") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("HART_FUZZ=FROM..TO");
            let number = |text: &str| text.parse().expect("a number");
            number(from)..number(to)
        }
        Err(_) => SEEDS,
    };
    for seed in seeds {
        check(seed);
    }
}
