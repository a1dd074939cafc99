//! What the control socket needs of a guest: a program's process, or a machine.

use std::{io, mem, ptr};

use machine::power::End;
use vcpu::Engine;

use super::KICK;

/// A guest, reached from a thread that runs none of its code.
pub trait Remote: Send + Sync {
    /// Whether the guest has begun. It may have ended since.
    fn has_begun(&self) -> bool;

    /// Shows what runs it, while there is one. To be looked at and not kept: the server has a table of
    /// descriptors of its own, and so must not be the one who takes a guest down.
    fn show_engine(&self, look: &mut dyn FnMut(Option<&Engine>));

    /// Its threads or harts, in order.
    fn cpus(&self) -> Vec<Cpu>;

    /// Whether it is stopped; `None` if there is no guest (any more).
    fn is_stopped(&self) -> Option<bool>;

    /// Makes it stand still. Gives whether it ran.
    fn stop(&self) -> bool;

    /// Lets it go on. Gives whether it was stopped.
    fn resume(&self) -> bool;

    /// Ends it in good order, with status 0.
    fn quit(&self);

    /// Asks it to end, as a user would; or says why that cannot be.
    fn power_down(&self) -> Result<(), &'static str>;

    /// Has it begin again; or says why that cannot be.
    fn reset(&self) -> Result<(), &'static str>;

    /// Does what loads plugins or may end them, while nobody forks.
    fn do_inside(&self, work: &mut dyn FnMut());

    /// Gets the thread `tid` of this process, which serves clients, out of a host call. May do nothing
    /// before the guest has begun.
    fn wake(&self, tid: i32);
}

impl dyn Remote {
    /// [`Remote::do_inside`], for work that has a result.
    pub fn inside<R>(&self, work: impl FnOnce() -> R) -> R {
        let (mut work, mut result) = (Some(work), None);
        self.do_inside(&mut || result = work.take().map(|work| work()));
        match result {
            Some(result) => result,
            None => unreachable!("the work is done once"),
        }
    }

    /// [`Remote::show_engine`], for a look that has a result.
    pub fn engine<R>(&self, look: impl FnOnce(Option<&Engine>) -> R) -> R {
        let (mut look, mut result) = (Some(look), None);
        self.show_engine(&mut |engine| result = look.take().map(|look| look(engine)));
        match result {
            Some(result) => result,
            None => unreachable!("it is shown once"),
        }
    }
}

/// A thread that runs guest code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its vCPU's number.
    pub vcpu: u32,
    /// The host's thread id.
    pub tid: i32,
    /// What it is, as QEMU writes that.
    pub path: String,
}

impl Remote for linux_user::Remote {
    fn has_begun(&self) -> bool {
        self.has_begun()
    }

    fn show_engine(&self, look: &mut dyn FnMut(Option<&Engine>)) {
        look(self.engine().as_deref());
    }

    fn cpus(&self) -> Vec<Cpu> {
        let threads = self.threads().into_iter();
        let cpu = |thread: linux_user::remote::GuestThread| Cpu {
            vcpu: thread.vcpu,
            tid: thread.tid,
            path: format!("/machine/cpu[{}]", thread.vcpu),
        };
        threads.map(cpu).collect()
    }

    fn is_stopped(&self) -> Option<bool> {
        self.is_stopped()
    }

    fn stop(&self) -> bool {
        self.stop()
    }

    fn resume(&self) -> bool {
        self.resume()
    }

    fn quit(&self) {
        self.quit(0);
    }

    fn power_down(&self) -> Result<(), &'static str> {
        if self.is_stopped().is_none() {
            return Err("there is no guest that runs");
        }
        // SAFETY: the guest's own signal handling takes it: this process has a guest.
        unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
        Ok(())
    }

    fn reset(&self) -> Result<(), &'static str> {
        Err("a program cannot be reset: start it again")
    }

    fn do_inside(&self, work: &mut dyn FnMut()) {
        self.inside(work);
    }

    fn wake(&self, tid: i32) {
        self.wake(tid);
    }
}

/// A machine, in a process that takes kicks.
pub struct Machine(machine::remote::Remote);

impl Machine {
    /// A remote of the machines of this process. From here on kicks interrupt host calls, and do nothing
    /// else. (Harts need none: they look for requests. Programs have a handler of their own.)
    pub fn new(machine: machine::remote::Remote) -> io::Result<Machine> {
        extern "C" fn nothing(_: libc::c_int) {}
        // SAFETY: zero is a valid value, and the handler may run at any time.
        let failed = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(KICK, &raw const action, ptr::null_mut())
        };
        match failed {
            0 => Ok(Machine(machine)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Remote for Machine {
    fn has_begun(&self) -> bool {
        self.0.has_begun()
    }

    fn show_engine(&self, look: &mut dyn FnMut(Option<&Engine>)) {
        self.0.with_engine(look);
    }

    fn cpus(&self) -> Vec<Cpu> {
        let threads = self.0.threads().into_iter();
        let cpu = |thread: machine::remote::HartThread| Cpu {
            vcpu: u32::try_from(thread.hart).unwrap_or(u32::MAX),
            tid: thread.tid,
            path: format!("/machine/soc0/harts[{}]", thread.hart),
        };
        threads.map(cpu).collect()
    }

    fn is_stopped(&self) -> Option<bool> {
        self.0.is_stopped()
    }

    fn stop(&self) -> bool {
        self.0.stop()
    }

    fn resume(&self) -> bool {
        self.0.resume()
    }

    fn quit(&self) {
        self.0.end(End::Off(0));
    }

    fn power_down(&self) -> Result<(), &'static str> {
        Err(
            "the board has no power button: 'quit' ends the machine, the guest's own poweroff its system",
        )
    }

    fn reset(&self) -> Result<(), &'static str> {
        match self.0.is_stopped() {
            None => Err("there is no machine that runs"),
            Some(_) => {
                self.0.end(End::Reset);
                Ok(())
            }
        }
    }

    /// Nobody forks.
    fn do_inside(&self, work: &mut dyn FnMut()) {
        work();
    }

    fn wake(&self, tid: i32) {
        // SAFETY: sends a signal that is handled. Thread 0, before the server has begun, is none.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, KICK) };
    }
}
