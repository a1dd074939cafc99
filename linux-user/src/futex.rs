//! Futexes: the host's, on guest memory. Guest thread ids are host thread ids, so priority
//! inheritance works as well.

use crate::copy::plain;
use crate::mm::AddressSpace;
use crate::{Args, Errno, SysResult, Thread};

const WAIT: i32 = 0;
const WAKE: i32 = 1;
const REQUEUE: i32 = 3;
const CMP_REQUEUE: i32 = 4;
const WAKE_OP: i32 = 5;
const LOCK_PI: i32 = 6;
const UNLOCK_PI: i32 = 7;
const TRYLOCK_PI: i32 = 8;
const WAIT_BITSET: i32 = 9;
const WAKE_BITSET: i32 = 10;
const WAIT_REQUEUE_PI: i32 = 11;
const CMP_REQUEUE_PI: i32 = 12;
const LOCK_PI2: i32 = 13;
const PRIVATE: i32 = 128;
const CLOCK_REALTIME: i32 = 256;

/// `futex`
pub fn futex(thread: &mut Thread, args: &Args) -> SysResult {
    let &[word, op, value, fourth, other, value3] = args;
    let mm = thread.process.mm.clone();
    let host_word = |addr| mm.output(addr, 4);
    let timeout = |addr| mm.pointer(addr);
    let word = host_word(word);
    let op = op as i32;
    match op & !(PRIVATE | CLOCK_REALTIME) {
        WAIT | WAIT_BITSET | LOCK_PI | LOCK_PI2 => {
            let args = [word, op as u64, value, timeout(fourth), 0, value3];
            thread.blocking_syscall(libc::SYS_futex, args)
        }
        WAIT_REQUEUE_PI => {
            let other = host_word(other);
            let args = [word, op as u64, value, timeout(fourth), other, value3];
            thread.blocking_syscall(libc::SYS_futex, args)
        }
        REQUEUE | CMP_REQUEUE | CMP_REQUEUE_PI | WAKE_OP => {
            let other = host_word(other);
            call([word, op as u64, value, fourth, other, value3])
        }
        WAKE | WAKE_BITSET | UNLOCK_PI | TRYLOCK_PI => call([word, op as u64, value, 0, 0, value3]),
        _ => Err(Errno::ENOSYS),
    }
}

plain! {
    /// `struct futex_waitv`
    struct Waiter {
        value: u64,
        word: u64,
        flags: u32,
        reserved: u32,
    }
}

/// Most futexes that one call waits for.
const MOST_WAITERS: u64 = 128;

/// `futex_waitv`
pub fn futex_waitv(thread: &mut Thread, args: &Args) -> SysResult {
    let &[waiters, count, flags, timeout, clock, _] = args;
    if count == 0 || count > MOST_WAITERS {
        return Err(Errno::EINVAL);
    }
    let mm = thread.process.mm.clone();
    let mut waiters = mm.read_array::<Waiter>(waiters, count as usize)?;
    for waiter in &mut waiters {
        waiter.word = mm.pointer(waiter.word);
    }
    let args = [
        waiters.as_ptr() as u64,
        count,
        flags,
        mm.pointer(timeout),
        clock,
        0,
    ];
    thread.blocking_syscall(libc::SYS_futex_waitv, args)
}

/// Wakes up to `count` waiters of the word at a guest address, also those in other processes.
pub(crate) fn wake(mm: &AddressSpace, word: u64, count: u64) {
    // Nobody waits at an address that is none.
    let _ = call([mm.pointer(word), WAKE as u64, count, 0, 0, 0]);
}

/// A call that does not block.
fn call(args: Args) -> SysResult {
    let [word, op, value, fourth, other, value3] = args;
    // SAFETY: the kernel checks the addresses; the words are guest memory.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, op, value, fourth, other, value3) };
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(result as u64)
    }
}
