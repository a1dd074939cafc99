//! What was not as it must be.
//!
//! Noted wherever it is seen: by control threads, in callbacks, in forked children of the guest. So the
//! notes lie in memory that children share, and noting takes neither a lock nor memory.

use std::cell::UnsafeCell;
use std::fmt::{self, Write};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many are kept; the others are counted.
const KEPT: usize = 32;
const LENGTH: usize = 508;

/// See the module.
pub struct Violations {
    count: AtomicU32,
    notes: [Note; KEPT],
}

/// Written once, by whom its number was given.
struct Note {
    /// Bytes of the text; 0 while it is not there.
    length: AtomicU32,
    text: UnsafeCell<[u8; LENGTH]>,
}

// SAFETY: a note's text is written by one thread before its length, and read after that.
unsafe impl Sync for Violations {}

impl Violations {
    /// None so far. They stay for the process's life.
    pub fn new() -> io::Result<&'static Violations> {
        // SAFETY: a new mapping, zeroed, which is what no violations are; it is never unmapped.
        unsafe {
            let at = libc::mmap(
                ptr::null_mut(),
                size_of::<Violations>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            match at {
                libc::MAP_FAILED => Err(io::Error::last_os_error()),
                at => Ok(&*at.cast::<Violations>()),
            }
        }
    }

    /// Notes one, and says so at once.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let mut line = Line {
            text: [0; LENGTH],
            length: 0,
        };
        // What is too long is cut off.
        let _ = line.write_fmt(what);
        let text = &line.text[..line.length];
        let number = self.count.fetch_add(1, Ordering::Relaxed) as usize;
        let Some(note) = self.notes.get(number) else {
            return;
        };
        // SAFETY: nobody else has this number, and nobody reads before the length is there.
        unsafe { (&mut *note.text.get())[..text.len()].copy_from_slice(text) };
        // Release: pairs with the Acquire in `list`.
        note.length.store(text.len() as u32, Ordering::Release);
        say(text);
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// The first of them.
    pub fn list(&self) -> Vec<String> {
        let there = self.notes.iter().filter_map(|note| {
            // Acquire: pairs with the Release in `note`.
            let length = note.length.load(Ordering::Acquire) as usize;
            // SAFETY: complete, and not written any more, once it has a length.
            let text = unsafe { &(&*note.text.get())[..length] };
            (length != 0).then(|| String::from_utf8_lossy(text).into_owned())
        });
        there.collect()
    }
}

/// Writes a line to standard error, in one piece and without a lock.
fn say(text: &[u8]) {
    let parts = [b"hartscope: violation: ".as_slice(), text, b"\n"];
    let parts = parts.map(|part| libc::iovec {
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    });
    // SAFETY: reads the parts. A line that cannot be written is in the summary all the same.
    unsafe { libc::writev(libc::STDERR_FILENO, parts.as_ptr(), parts.len() as i32) };
}

struct Line {
    text: [u8; LENGTH],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.text[self.length..];
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_kept_and_all_are_counted() {
        let violations = Violations::new().expect("there is memory");
        assert_eq!((violations.count(), violations.list().len()), (0, 0));
        for number in 0..KEPT + 5 {
            violations.note(format_args!("number {number}: {:1000}", ""));
        }
        assert_eq!(violations.count() as usize, KEPT + 5);
        let list = violations.list();
        assert_eq!(list.len(), KEPT);
        assert!(list[3].starts_with("number 3: ") && list[3].len() == LENGTH);
    }
}
