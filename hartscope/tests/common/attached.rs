//! The guest whose three threads wait, work when they are told to, and wait again.

use std::io::Write;

use super::control::{Client, Guest, LIMIT};
use super::plugins::{address, bare_guest};
use super::process::{self, End};

/// A guest of `attached`.
pub struct Attached(pub Guest);

impl Attached {
    /// It begins.
    pub fn start(options: &[&str]) -> Attached {
        Attached(Guest::of(bare_guest("attached"), options))
    }

    /// A client of it.
    pub fn connect(&self) -> Client {
        self.0.connect_soon().ready()
    }

    /// Waits until all threads wait, the workers for a word.
    pub fn wait(&self, client: &mut Client, word: &str) {
        let word = address(&self.0.program, word);
        let calls = [
            (libc::SYS_read, 0),
            (libc::SYS_futex, word),
            (libc::SYS_futex, word),
        ];
        self.0.wait_for_calls(client, &calls);
    }

    /// Lets it work.
    pub fn work(&mut self) {
        let input = self.0.input.as_mut().expect("it has not been ended");
        input.write_all(b"x").expect("it reads");
    }

    /// Ends it by the end of its input.
    pub fn end(mut self) {
        drop(self.0.input.take());
        assert_eq!(process::finish(&mut self.0.child, LIMIT), End::Exited(0));
    }
}
