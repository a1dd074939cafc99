//! Callbacks that do nothing but add to counters of their vCPU: there is no need to call them.
//!
//! Such a callback is run here once, on what is known of its arguments: which vCPU calls is open, and
//! so is its userdata, on which addresses and amounts may depend linearly. If it comes to its end, what
//! it does is a list of additions, the same as if it had asked for inline operations. Whatever is not
//! understood means that it has to be called.
//!
//! What a callback reads of its plugin's variables, the handle of a scoreboard above all, may change.
//! Each such value is a [`Guard`]: blocks that rely on it look first.

use std::collections::HashMap;

use iced_x86::{ConditionCode, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::code::{behind_linkage, decode, guard, linked, target};
use super::value::{Linear, Value};
use crate::hooks::Guard;

/// Instructions at most; a longer callback has enough to do by itself.
const MOST_INSNS: usize = 200;

/// What a callback comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// Additions, by the offset from the start of the vCPU's area: where, and what.
    pub additions: Vec<(Linear, Linear)>,
    /// What that relies on.
    pub guards: Vec<Guard>,
    /// The boards that the callback knows.
    pub boards: Vec<Board>,
}

/// A function whose effect is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `void *find(scoreboard, vcpu)`
    Find,
    /// `void add({scoreboard, offset}, vcpu, value)`
    Add,
}

/// A scoreboard as callbacks know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// Where the elements begin, from the start of each area.
    pub offset: u32,
    /// Bytes of an element.
    pub size: u32,
    /// What says that the board is still there.
    pub guard: Guard,
}

/// What there is to know about functions and handles.
pub trait Library {
    /// The function at an address, if it is one of those.
    fn known(&self, function: usize) -> Option<Known>;
    /// The scoreboard of a handle, if it is one.
    fn board(&self, handle: usize) -> Option<Board>;
}

/// What a callback is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Before instructions and blocks: `(vcpu, userdata)`.
    Execution,
    /// After memory accesses: `(vcpu, info, vaddr, userdata)`.
    Access,
}

impl Evaluated {
    /// The additions for a userdata: offset and value. `None` if one is not within a board.
    pub fn additions(&self, userdata: u64) -> Option<Vec<(u32, u64)>> {
        let within = |offset: u64| {
            self.boards.iter().any(|board| {
                let at = offset.wrapping_sub(board.offset.into());
                at.checked_add(8)
                    .is_some_and(|end| end <= board.size.into())
            })
        };
        let additions = self.additions.iter().map(|(at, value)| {
            let offset = at.at(userdata);
            within(offset).then(|| (offset as u32, value.at(userdata)))
        });
        additions.collect()
    }

    /// What the callback at `function` comes to, for any userdata or for a certain one.
    pub fn of(
        function: usize,
        role: Role,
        userdata: Option<u64>,
        library: &dyn Library,
    ) -> Result<Evaluated, Refused> {
        let mut machine = Machine::new(role, userdata, library);
        let mut at = function as u64;
        for _ in 0..MOST_INSNS {
            match machine.step(at) {
                Some(Next::At(next)) => at = next,
                Some(Next::End) => return Ok(machine.done),
                None => return Err(machine.refused),
            }
        }
        Err(Refused::Called)
    }
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The function has to be called.
    Called,
    /// It looks at what its userdata points to: a certain userdata may have a result.
    ByUserdata,
}

enum Next {
    At(u64),
    End,
}

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RSP: usize = 4;
const RSI: usize = 6;
const RDI: usize = 7;

struct Machine<'a> {
    library: &'a dyn Library,
    ints: [Value; 16],
    vectors: [[Value; 2]; 16],
    stack: HashMap<i64, Value>,
    /// Of the last comparison, if both sides are known: the sides, as the signed numbers they are.
    compared: Option<(u64, u64, u32)>,
    done: Evaluated,
    /// What is said if a step is not understood.
    refused: Refused,
}

impl<'a> Machine<'a> {
    fn new(role: Role, userdata: Option<u64>, library: &'a dyn Library) -> Machine<'a> {
        let mut ints = [Value::Any; 16];
        ints[RSP] = Value::Stack(0);
        ints[RDI] = Value::Vcpu;
        let register = match role {
            Role::Execution => RSI,
            Role::Access => RCX,
        };
        let any = Linear {
            constant: 0,
            factor: 1,
        };
        ints[register] = Value::Known(userdata.map_or(any, Linear::constant));
        Machine {
            library,
            ints,
            vectors: [[Value::Any; 2]; 16],
            stack: HashMap::new(),
            compared: None,
            done: Evaluated::default(),
            refused: Refused::Called,
        }
    }

    fn step(&mut self, at: u64) -> Option<Next> {
        let insn = decode(at)?;
        let next = insn.next_ip();
        match insn.flow_control() {
            FlowControl::Next => {
                self.plain(&insn)?;
                Some(Next::At(next))
            }
            FlowControl::UnconditionalBranch => self.jump(target(&insn)?),
            FlowControl::IndirectBranch => self.jump(linked(&insn)?),
            FlowControl::ConditionalBranch => {
                let taken = self.holds(insn.condition_code())?;
                Some(Next::At(if taken { target(&insn)? } else { next }))
            }
            FlowControl::Call => self.call(target(&insn)?, next),
            FlowControl::IndirectCall => self.call(linked(&insn)?, next),
            FlowControl::Return => self.ret(),
            _ => None,
        }
    }

    fn call(&mut self, to: u64, back: u64) -> Option<Next> {
        let function = behind_linkage(to);
        if let Some(known) = self.library.known(function as usize) {
            self.run_known(known)?;
            return Some(Next::At(back));
        }
        self.push(Value::constant(back))?;
        Some(Next::At(function))
    }

    /// Maybe a call at the end of a function.
    fn jump(&mut self, to: u64) -> Option<Next> {
        match self.library.known(behind_linkage(to) as usize) {
            Some(known) => {
                self.run_known(known)?;
                self.ret()
            }
            None => Some(Next::At(to)),
        }
    }

    fn ret(&mut self) -> Option<Next> {
        match self.ints[RSP] {
            Value::Stack(0) => Some(Next::End),
            Value::Stack(_) => Some(Next::At(self.pop()?.as_constant()?)),
            _ => None,
        }
    }

    fn run_known(&mut self, known: Known) -> Option<()> {
        let handle = self.constant(self.ints[RDI])?;
        let board = self.library.board(handle as usize)?;
        self.rely_on(board.guard);
        self.done.boards.push(board);
        let start = Linear::constant(board.offset.into());
        match known {
            Known::Find if self.ints[RSI] == Value::Vcpu => {
                self.forget();
                self.ints[RAX] = Value::Area(start);
            }
            Known::Add if self.ints[RDX] == Value::Vcpu => {
                let (Value::Known(offset), Value::Known(value)) = (self.ints[RSI], self.ints[RCX])
                else {
                    return None;
                };
                let within =
                    self.constant(Value::Known(offset))?.checked_add(8)? <= board.size.into();
                within.then(|| self.add(start.plus(offset), value))?;
                self.forget();
            }
            _ => return None,
        }
        Some(())
    }

    /// A value that must be known without the userdata.
    fn constant(&mut self, value: Value) -> Option<u64> {
        if let Value::Known(value) = value
            && value.as_constant().is_none()
        {
            self.refused = Refused::ByUserdata;
        }
        value.as_constant()
    }

    /// What a function need not keep.
    fn forget(&mut self) {
        for r in [RAX, RCX, RDX, RSI, RDI, 8, 9, 10, 11] {
            self.ints[r] = Value::Any;
        }
        self.vectors = [[Value::Any; 2]; 16];
        self.compared = None;
    }

    fn add(&mut self, at: Linear, value: Linear) {
        self.done.additions.push((at, value));
    }

    fn rely_on(&mut self, guard: Guard) {
        if !self.done.guards.contains(&guard) {
            self.done.guards.push(guard);
        }
    }

    fn push(&mut self, value: Value) -> Option<()> {
        self.ints[RSP] = self.ints[RSP].plus(Value::constant(8_u64.wrapping_neg()));
        self.store(self.ints[RSP], value)
    }

    fn pop(&mut self) -> Option<Value> {
        let value = self.load(self.ints[RSP], 8)?;
        self.ints[RSP] = self.ints[RSP].plus(Value::constant(8));
        Some(value)
    }

    fn load(&mut self, addr: Value, size: usize) -> Option<Value> {
        match addr {
            Value::Stack(at) if size == 8 => Some(self.stack.get(&at).copied().unwrap_or_default()),
            Value::Area(at) if size == 8 => Some(Value::Counter {
                at,
                plus: Linear::ZERO,
                after: self.done.additions.len(),
            }),
            Value::Known(at) => {
                if at.as_constant().is_none() {
                    self.refused = Refused::ByUserdata;
                }
                let guard = guard(at.as_constant()?, size as u8)?;
                self.rely_on(guard);
                Some(Value::constant(guard.value))
            }
            _ => None,
        }
    }

    /// Eight bytes.
    fn store(&mut self, addr: Value, value: Value) -> Option<()> {
        match (addr, value) {
            (Value::Stack(to), _) => {
                // What overlaps is forgotten.
                for near in to - 7..to + 8 {
                    self.stack.remove(&near);
                }
                self.stack.insert(to, value);
                Some(())
            }
            (Value::Area(to), Value::Counter { at, plus, after }) if to == at => {
                let since = &self.done.additions[after..];
                let apart = |&(other, _): &(Linear, Linear)| {
                    let distance = other.constant.wrapping_sub(at.constant);
                    other.factor == at.factor && (8..=8_u64.wrapping_neg()).contains(&distance)
                };
                since.iter().all(apart).then(|| self.add(at, plus))
            }
            _ => None,
        }
    }

    fn address(&self, insn: &Instruction) -> Option<Value> {
        if insn.segment_prefix() != Register::None {
            return None;
        }
        if insn.is_ip_rel_memory_operand() {
            return Some(Value::constant(insn.ip_rel_memory_address()));
        }
        let part = |register: Register| match register {
            Register::None => Some(Value::ZERO),
            register if register.is_gpr64() => Some(self.ints[register.number()]),
            _ => None,
        };
        let scale = u64::from(insn.memory_index_scale());
        let index = part(insn.memory_index())?.times(scale);
        let base = part(insn.memory_base())?;
        Some(
            base.plus(index)
                .plus(Value::constant(insn.memory_displacement64())),
        )
    }

    /// An operand of 4 or 8 bytes, extended with zeros.
    fn read(&mut self, insn: &Instruction, operand: u32) -> Option<Value> {
        match insn.op_kind(operand) {
            OpKind::Register => self.register(insn.op_register(operand)),
            OpKind::Memory => {
                let size = insn.memory_size().size();
                let addr = self.address(insn)?;
                self.load(addr, size)
            }
            _ => {
                let value = insn.try_immediate(operand).ok()?;
                let narrow = insn.op_kind(0) == OpKind::Register && insn.op_register(0).is_gpr32();
                Some(Value::constant(if narrow {
                    value & 0xffff_ffff
                } else {
                    value
                }))
            }
        }
    }

    fn register(&self, register: Register) -> Option<Value> {
        let value = self.ints[register.full_register().number()];
        match register {
            r if r.is_gpr64() => Some(value),
            r if r.is_gpr32() => Some(value.low_half()),
            _ => None,
        }
    }

    fn write(&mut self, insn: &Instruction, operand: u32, value: Value) -> Option<()> {
        match insn.op_kind(operand) {
            OpKind::Register => {
                let register = insn.op_register(operand);
                self.ints[register.full_register().number()] = match register {
                    r if r.is_gpr64() => value,
                    r if r.is_gpr32() => value.low_half(),
                    _ => return None,
                };
                Some(())
            }
            OpKind::Memory if insn.memory_size().size() == 8 => {
                let addr = self.address(insn)?;
                self.store(addr, value)
            }
            _ => None,
        }
    }

    fn plain(&mut self, insn: &Instruction) -> Option<()> {
        let compared = self.compared.take();
        match insn.mnemonic() {
            Mnemonic::Endbr64 | Mnemonic::Nop => self.compared = compared,
            Mnemonic::Mov | Mnemonic::Movzx => {
                self.compared = compared;
                let value = self.read(insn, 1)?;
                self.write(insn, 0, value)?;
            }
            Mnemonic::Lea => {
                self.compared = compared;
                let value = self.address(insn)?;
                self.write(insn, 0, value)?;
            }
            Mnemonic::Push => {
                let value = self.read(insn, 0)?;
                self.push(value)?;
            }
            Mnemonic::Pop => {
                let value = self.pop()?;
                self.write(insn, 0, value)?;
            }
            Mnemonic::Add => {
                let (a, b) = (self.read(insn, 0)?, self.read(insn, 1)?);
                self.write(insn, 0, a.plus(b))?;
            }
            Mnemonic::Sub => {
                let (a, b) = (self.read(insn, 0)?, self.read(insn, 1)?);
                self.write(insn, 0, a.minus(b))?;
            }
            Mnemonic::Inc => {
                let a = self.read(insn, 0)?;
                self.write(insn, 0, a.plus(Value::constant(1)))?;
            }
            Mnemonic::Shl => {
                let (a, n) = (self.read(insn, 0)?, insn.try_immediate(1).ok()?);
                self.write(insn, 0, a.times(1 << (n & 63)))?;
            }
            Mnemonic::Xor if insn.op0_register() == insn.op1_register() => {
                self.write(insn, 0, Value::ZERO)?;
            }
            Mnemonic::Cmp => {
                let (a, b) = (self.read(insn, 0)?, self.read(insn, 1)?);
                self.compare(insn, a, b);
            }
            Mnemonic::Test if insn.op0_register() == insn.op1_register() => {
                let a = self.read(insn, 0)?;
                self.compare(insn, a, Value::ZERO);
            }
            _ => self.vector(insn)?,
        }
        Some(())
    }

    fn compare(&mut self, insn: &Instruction, a: Value, b: Value) {
        let size = match insn.op_kind(0) {
            OpKind::Register => insn.op0_register().size(),
            _ => insn.memory_size().size(),
        };
        if let (Some(a), Some(b)) = (a.as_constant(), b.as_constant())
            && matches!(size, 4 | 8)
        {
            self.compared = Some((a, b, 8 * size as u32));
        }
    }

    fn holds(&self, condition: ConditionCode) -> Option<bool> {
        let (a, b, bits) = self.compared?;
        let signed = |n: u64| (n << (64 - bits)) as i64 >> (64 - bits);
        let unsigned = |n: u64| n & (u64::MAX >> (64 - bits));
        let (sa, sb, ua, ub) = (signed(a), signed(b), unsigned(a), unsigned(b));
        Some(match condition {
            ConditionCode::e => ua == ub,
            ConditionCode::ne => ua != ub,
            ConditionCode::b => ua < ub,
            ConditionCode::ae => ua >= ub,
            ConditionCode::be => ua <= ub,
            ConditionCode::a => ua > ub,
            ConditionCode::l => sa < sb,
            ConditionCode::ge => sa >= sb,
            ConditionCode::le => sa <= sb,
            ConditionCode::g => sa > sb,
            _ => return None,
        })
    }

    /// Compilers add to two neighbouring counters at once.
    fn vector(&mut self, insn: &Instruction) -> Option<()> {
        match insn.mnemonic() {
            Mnemonic::Movdqu | Mnemonic::Movdqa | Mnemonic::Movups | Mnemonic::Movaps => {
                let value = self.read_vector(insn, 1)?;
                match insn.op_kind(0) {
                    OpKind::Register => self.set_vector(insn, value)?,
                    _ => {
                        let addr = self.address(insn)?;
                        self.store(addr, value[0])?;
                        self.store(addr.plus(Value::constant(8)), value[1])?;
                    }
                }
            }
            Mnemonic::Movq if insn.op0_register().is_xmm() => {
                let low = match insn.op_kind(1) {
                    OpKind::Register if insn.op1_register().is_xmm() => {
                        self.vectors[insn.op1_register().number()][0]
                    }
                    _ => self.read(insn, 1)?,
                };
                self.set_vector(insn, [low, Value::ZERO])?;
            }
            Mnemonic::Movhps if insn.op_kind(1) == OpKind::Memory => {
                let addr = self.address(insn)?;
                let high = self.load(addr, 8)?;
                self.vectors.get_mut(insn.op0_register().number())?[1] = high;
            }
            Mnemonic::Punpcklqdq => {
                let (a, b) = (self.read_vector(insn, 0)?, self.read_vector(insn, 1)?);
                self.set_vector(insn, [a[0], b[0]])?;
            }
            Mnemonic::Paddq => {
                let (a, b) = (self.read_vector(insn, 0)?, self.read_vector(insn, 1)?);
                self.set_vector(insn, [a[0].plus(b[0]), a[1].plus(b[1])])?;
            }
            Mnemonic::Pxor if insn.op0_register() == insn.op1_register() => {
                self.set_vector(insn, [Value::ZERO; 2])?;
            }
            _ => return None,
        }
        Some(())
    }

    fn read_vector(&mut self, insn: &Instruction, operand: u32) -> Option<[Value; 2]> {
        match insn.op_kind(operand) {
            OpKind::Register if insn.op_register(operand).is_xmm() => self
                .vectors
                .get(insn.op_register(operand).number())
                .copied(),
            OpKind::Memory => {
                let addr = self.address(insn)?;
                let low = self.load(addr, 8)?;
                Some([low, self.load(addr.plus(Value::constant(8)), 8)?])
            }
            _ => None,
        }
    }

    fn set_vector(&mut self, insn: &Instruction, value: [Value; 2]) -> Option<()> {
        let register = insn.op0_register();
        if !register.is_xmm() {
            return None;
        }
        *self.vectors.get_mut(register.number())? = value;
        Some(())
    }
}

#[cfg(test)]
mod tests;
