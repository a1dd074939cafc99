//! Which host registers a callback changes, found out by reading its code.
//!
//! Many callbacks add to a counter and return: they touch two or three registers of the many that
//! the calling convention lets them change. Saving only those makes such a call several times
//! cheaper. The reading follows direct jumps, both sides of branches, and calls whose target is
//! known (through the linkage table too); whatever it cannot follow, it takes to change everything.
//!
//! The result holds as long as the code and the pointers in linkage tables stay as they are, which
//! those of a library loaded with all symbols bound do.

use std::collections::HashSet;

use iced_x86::{
    Code, CpuidFeature, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
};

use super::code::{behind_linkage, decode, linked, target};
use crate::hooks::Clobbers;

/// Instructions that are read at most; a longer function has enough to do by itself.
const MOST_INSNS: usize = 300;

impl Clobbers {
    /// What the function at `function` may change. `never_returns` says of an address whether a
    /// function there ends the program: what it does on the way does not count.
    pub fn of(function: usize, never_returns: impl Fn(usize) -> bool) -> Clobbers {
        let mut reader = Reader {
            info: InstructionInfoFactory::new(),
            clobbers: Clobbers::NONE,
            seen: HashSet::new(),
            left: MOST_INSNS,
        };
        let mut to_read = vec![function as u64];
        while let Some(at) = to_read.pop() {
            if reader.path(at, &mut to_read, &never_returns).is_none() {
                return Clobbers::ALL;
            }
        }
        // What a function has to keep it has restored by the time it returns.
        reader.clobbers.ints &= Clobbers::ALL.ints;
        reader.clobbers
    }
}

struct Reader {
    info: InstructionInfoFactory,
    clobbers: Clobbers,
    /// Addresses of instructions that have been read.
    seen: HashSet<u64>,
    left: usize,
}

impl Reader {
    /// Reads from `at` on until the path ends, putting the other ways into `to_read`. Gives `None`
    /// where it cannot go on.
    fn path(
        &mut self,
        mut at: u64,
        to_read: &mut Vec<u64>,
        never_returns: &impl Fn(usize) -> bool,
    ) -> Option<()> {
        while self.seen.insert(at) {
            self.left = self.left.checked_sub(1)?;
            let insn = decode(at)?;
            self.note(&insn)?;
            let next = insn.next_ip();
            match insn.flow_control() {
                FlowControl::Next => {}
                FlowControl::Return => return Some(()),
                FlowControl::UnconditionalBranch => {
                    at = target(&insn)?;
                    continue;
                }
                FlowControl::IndirectBranch => {
                    // A call at the end of a function, or the linkage table's own jump.
                    let to = linked(&insn)?;
                    if never_returns(to as usize) {
                        return Some(());
                    }
                    at = to;
                    continue;
                }
                FlowControl::ConditionalBranch => to_read.push(target(&insn)?),
                FlowControl::Call | FlowControl::IndirectCall => {
                    let to = match insn.flow_control() {
                        FlowControl::Call => target(&insn)?,
                        _ => linked(&insn)?,
                    };
                    if never_returns(behind_linkage(to) as usize) {
                        return Some(());
                    }
                    to_read.push(to);
                }
                FlowControl::Exception if insn.code() == Code::Ud2 => return Some(()),
                FlowControl::Exception | FlowControl::Interrupt | FlowControl::XbeginXabortXend => {
                    return None;
                }
            }
            at = next;
        }
        Some(())
    }

    /// Notes what an instruction changes; `None` if that cannot be said.
    fn note(&mut self, insn: &Instruction) -> Option<()> {
        // It changes no more than upper halves, where nothing is.
        if insn.mnemonic() == Mnemonic::Vzeroupper {
            return Some(());
        }
        if insn.is_privileged() || insn.is_save_restore_instruction() {
            return None;
        }
        for used in self.info.info(insn).used_registers() {
            let register = used.register();
            let changes = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
            if register.is_gpr() {
                if changes {
                    self.clobbers.ints |= 1 << register.full_register().number();
                }
            } else if register.is_vector_register() {
                // Of those that the guest's values are in there are no more than 16.
                if changes && register.number() < 16 {
                    self.clobbers.vectors |= 1 << register.number();
                }
            } else if register.is_segment_register() {
                // Reading a thread's own memory is all that compilers do with them.
                if changes {
                    return None;
                }
            } else if !register.is_k() {
                return None;
            }
        }
        self.clobbers.environment |= minds_environment(insn);
        Some(())
    }
}

/// Whether what an instruction does depends on rounding modes and masks, or changes them: all of x87,
/// MMX and SSE does but for moves, logic and integer arithmetic.
fn minds_environment(insn: &Instruction) -> bool {
    let of_no_unit = |feature: &CpuidFeature| {
        let name = format!("{feature:?}");
        !["SSE", "AVX", "FPU", "FMA", "F16C", "MMX", "3DNOW", "D3NOW"]
            .iter()
            .any(|unit| name.contains(unit))
    };
    if insn.cpuid_features().iter().all(of_no_unit) {
        return false;
    }
    let name = format!("{:?}", insn.mnemonic()).to_lowercase();
    let name = name.strip_prefix('v').unwrap_or(&name);
    let harmless = [
        "mov",
        "p",
        "and",
        "or",
        "xor",
        "unpck",
        "shuf",
        "zero",
        "insert",
        "extract",
        "broadcast",
        "lddqu",
    ];
    !harmless.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::arch::naked_asm;

    fn of(function: unsafe extern "C" fn()) -> Clobbers {
        Clobbers::of(function as usize, |at| at == end as *const () as usize)
    }

    const RAX: u16 = 1 << 0;
    const RCX: u16 = 1 << 1;
    const RDI: u16 = 1 << 7;

    #[unsafe(naked)]
    unsafe extern "C" fn end() {
        naked_asm!("vzeroall", "ud2")
    }

    #[test]
    fn a_counter_touches_what_it_uses() {
        #[unsafe(naked)]
        unsafe extern "C" fn count() {
            naked_asm!(
                "push rbx",
                "mov ebx, edi",
                "lea rax, [rsi + rbx]",
                "inc qword ptr [rsi]",
                "pop rbx",
                "ret"
            )
        }
        assert_eq!(
            of(count),
            Clobbers {
                ints: RAX,
                ..Clobbers::NONE
            }
        );
    }

    #[test]
    fn both_sides_of_a_branch_and_calls_are_followed() {
        #[unsafe(naked)]
        unsafe extern "C" fn callee() {
            naked_asm!("xor ecx, ecx", "ret")
        }
        #[unsafe(naked)]
        unsafe extern "C" fn branches() {
            naked_asm!("test edi, edi", "je 2f", "xor eax, eax", "ret", "2:", "call {}", "add edi, 1", "ret", sym callee)
        }
        assert_eq!(of(branches).ints, RAX | RCX | RDI);
    }

    #[test]
    fn what_cannot_be_followed_changes_everything() {
        #[unsafe(naked)]
        unsafe extern "C" fn indirect() {
            naked_asm!("call rsi", "ret")
        }
        #[unsafe(naked)]
        unsafe extern "C" fn system_call() {
            naked_asm!("syscall", "ret")
        }
        assert_eq!(of(indirect), Clobbers::ALL);
        assert_eq!(of(system_call), Clobbers::ALL);
    }

    #[test]
    fn vector_registers_are_noticed_and_the_environment_apart_from_them() {
        #[unsafe(naked)]
        unsafe extern "C" fn two_counters() {
            naked_asm!(
                "movdqu xmm3, [rax]",
                "movq xmm1, rdx",
                "vpaddq xmm3, xmm3, xmm1",
                "movups [rax], xmm3",
                "vzeroupper",
                "ret"
            )
        }
        #[unsafe(naked)]
        unsafe extern "C" fn arithmetic() {
            naked_asm!("addsd xmm0, xmm1", "ret")
        }
        #[unsafe(naked)]
        unsafe extern "C" fn control() {
            naked_asm!("ldmxcsr [rsp]", "ret")
        }
        #[unsafe(naked)]
        unsafe extern "C" fn x87() {
            naked_asm!("fldz", "ret")
        }
        let counters = of(two_counters);
        assert_eq!((counters.vectors, counters.environment), (0b1010, false));
        assert!(of(arithmetic).environment);
        assert!(of(control).environment);
        assert!(of(x87).environment);
    }

    #[test]
    fn what_ends_the_program_does_not_count() {
        #[unsafe(naked)]
        unsafe extern "C" fn checked() {
            naked_asm!("test edi, edi", "je 2f", "ret", "2:", "call {}", sym end)
        }
        assert_eq!(of(checked), Clobbers::NONE);
    }
}
