//! What each op means: directed cases through the interpreter, and the interpreter against the
//! emitter.

mod control;
mod float;
mod hooked;
mod integer;
mod memory;
mod world;

#[cfg(target_arch = "x86_64")]
mod differential;
#[cfg(target_arch = "x86_64")]
mod division;
#[cfg(target_arch = "x86_64")]
mod idioms;
#[cfg(target_arch = "x86_64")]
mod jit;
#[cfg(target_arch = "x86_64")]
#[path = "../softfloat/operands.rs"]
mod operands;
#[cfg(target_arch = "x86_64")]
mod random_ops;
#[cfg(target_arch = "x86_64")]
mod specials;
