//! The terminal while the guest has it.

use std::fs::File;

use super::{is_terminal, standard};

/// A terminal whose keys go to the guest one by one. When this is dropped it is as it was before.
pub struct Terminal {
    input: File,
    before: libc::termios,
}

impl Terminal {
    /// Takes the terminal on standard input, if it is one. With `signals`, `Ctrl-c` is still one.
    pub fn raw(signals: bool) -> Option<Terminal> {
        let input = standard(libc::STDIN_FILENO).ok().filter(is_terminal)?;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&input);
        // SAFETY: the kernel fills the structure, or says that it does not.
        let before = unsafe {
            let mut before = std::mem::zeroed();
            (libc::tcgetattr(fd, &raw mut before) == 0).then_some(before)
        }?;
        let mut raw = before;
        // SAFETY: changes the structure.
        unsafe { libc::cfmakeraw(&raw mut raw) };
        // The output goes on as usual: hartscope and plugins write lines besides the guest.
        raw.c_oflag = before.c_oflag;
        if signals {
            raw.c_lflag |= libc::ISIG;
        }
        set(fd, &raw);
        Some(Terminal { input, before })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        set(std::os::fd::AsRawFd::as_raw_fd(&self.input), &self.before);
    }
}

fn set(fd: i32, state: &libc::termios) {
    // SAFETY: a whole structure. A terminal that has gone needs no settings.
    unsafe { libc::tcsetattr(fd, libc::TCSADRAIN, state) };
}
