//! The system calls about signals.

use super::{Action, AltStack, SIGNALS, SigInfo, SigSet, UNBLOCKABLE, bit, host_mask, read_set};
use crate::{Args, Errno, SysResult, Thread};

const SET_SIZE: u64 = size_of::<SigSet>() as u64;

fn check_size(size: u64) -> Result<(), Errno> {
    if size == SET_SIZE {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// `rt_sigaction`
pub fn rt_sigaction(thread: &mut Thread, args: &Args) -> SysResult {
    let &[signal, new, old, size, ..] = args;
    check_size(size)?;
    let signal = signal as i32;
    if !(1..=SIGNALS).contains(&signal) || new != 0 && bit(signal) & UNBLOCKABLE != 0 {
        return Err(Errno::EINVAL);
    }
    let process = &thread.process;
    let before = if new == 0 {
        process.actions.get(signal)
    } else {
        let mut bytes = [0; 24];
        process.mm.read(new, &mut bytes)?;
        let word = |index: usize| {
            u64::from_le_bytes(*bytes.as_chunks::<8>().0.get(index).unwrap_or(&[0; 8]))
        };
        let action = Action {
            handler: word(0),
            flags: word(1),
            mask: word(2) & !UNBLOCKABLE,
        };
        process.actions.set(signal, action)
    };
    if old != 0 {
        let words = [before.handler, before.flags, before.mask];
        process
            .mm
            .write(old, words.map(u64::to_le_bytes).as_flattened())?;
    }
    Ok(0)
}

/// `rt_sigprocmask`
pub fn rt_sigprocmask(thread: &mut Thread, args: &Args) -> SysResult {
    let &[how, set, old, size, ..] = args;
    check_size(size)?;
    let before = thread.signals.mask;
    if set != 0 {
        let set = read_set(&thread.process.mm, set)?;
        let mask = match how as i32 {
            libc::SIG_BLOCK => before | set,
            libc::SIG_UNBLOCK => before & !set,
            libc::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        thread.set_mask(mask)?;
    }
    if old != 0 {
        thread.process.mm.write(old, &before.to_le_bytes())?;
    }
    Ok(0)
}

/// `rt_sigpending`
pub fn rt_sigpending(thread: &mut Thread, args: &Args) -> SysResult {
    let &[set, size, ..] = args;
    if size > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let mut pending: SigSet = 0;
    // SAFETY: writes one word.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &mut pending, SET_SIZE) };
    pending |= thread.signals.mailbox.held();
    let bytes = pending.to_le_bytes();
    thread.process.mm.write(set, &bytes[..size as usize])?;
    Ok(0)
}

/// `rt_sigsuspend`
pub fn rt_sigsuspend(thread: &mut Thread, args: &Args) -> SysResult {
    let &[set, size, ..] = args;
    check_size(size)?;
    let mask = host_mask(read_set(&thread.process.mm, set)?);
    let args = [&raw const mask as u64, SET_SIZE, 0, 0, 0, 0];
    thread.blocking_syscall(libc::SYS_rt_sigsuspend, args)
}

/// `rt_sigtimedwait`
pub fn rt_sigtimedwait(thread: &mut Thread, args: &Args) -> SysResult {
    let &[set, info, timeout, size, ..] = args;
    check_size(size)?;
    let mm = thread.process.mm.clone();
    let set = host_mask(read_set(&mm, set)?);
    let info = match info {
        0 => 0,
        _ => mm.prepare_write(info, SigInfo::SIZE as u64)?,
    };
    let timeout = match timeout {
        0 => 0,
        _ => mm.host_range(timeout, 16)?,
    };
    let args = [&raw const set as u64, info, timeout, SET_SIZE, 0, 0];
    thread.blocking_syscall(libc::SYS_rt_sigtimedwait, args)
}

/// `rt_sigreturn`
pub fn rt_sigreturn(thread: &mut Thread, _args: &Args) -> SysResult {
    thread.return_from_handler()
}

/// `sigaltstack`
pub fn sigaltstack(thread: &mut Thread, args: &Args) -> SysResult {
    let &[new, old, ..] = args;
    let sp = thread.vcpu.state().x[2];
    let before = thread.signals.altstack;
    if new != 0 {
        let mut bytes = [0; AltStack::SIZE];
        thread.process.mm.read(new, &mut bytes)?;
        thread.signals.altstack = before.change(&bytes, sp)?;
    }
    if old != 0 {
        thread.process.mm.write(old, &before.encode(sp))?;
    }
    Ok(0)
}

/// `kill`
pub fn kill(thread: &mut Thread, args: &Args) -> SysResult {
    send(thread, libc::SYS_kill, [args[0], args[1], 0, 0, 0, 0])
}

/// `tkill`
pub fn tkill(thread: &mut Thread, args: &Args) -> SysResult {
    send(thread, libc::SYS_tkill, [args[0], args[1], 0, 0, 0, 0])
}

/// `tgkill`
pub fn tgkill(thread: &mut Thread, args: &Args) -> SysResult {
    let args = [args[0], args[1], args[2], 0, 0, 0];
    send(thread, libc::SYS_tgkill, args)
}

/// `rt_sigqueueinfo`
pub fn rt_sigqueueinfo(thread: &mut Thread, args: &Args) -> SysResult {
    let info = thread
        .process
        .mm
        .host_range(args[2], SigInfo::SIZE as u64)?;
    let args = [args[0], args[1], info, 0, 0, 0];
    send(thread, libc::SYS_rt_sigqueueinfo, args)
}

/// `rt_tgsigqueueinfo`
pub fn rt_tgsigqueueinfo(thread: &mut Thread, args: &Args) -> SysResult {
    let info = thread
        .process
        .mm
        .host_range(args[3], SigInfo::SIZE as u64)?;
    let args = [args[0], args[1], args[2], info, 0, 0];
    send(thread, libc::SYS_rt_tgsigqueueinfo, args)
}

/// Sends a signal: process and thread ids are the host's.
fn send(thread: &mut Thread, nr: i64, args: Args) -> SysResult {
    // A signal to oneself must be on its way to the guest before the call returns: not offline.
    // SAFETY: sends a signal; a pointer among the arguments is checked by the kernel.
    unsafe { super::safe_syscall(&thread.signals.mailbox, nr, &args) }
}
