//! Writes what the guest sends, on a thread of its own.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use machine::uart::Output;

/// Bytes that may wait to be written.
const LIMIT: usize = 64 << 10;

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// What comes from here on is not written any more.
    ends: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or the end; or there is room.
    changed: Condvar,
}

/// The thread.
pub struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread, which writes to `sink`.
    pub fn start(sink: Box<dyn Write + Send>) -> io::Result<Writer> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        let thread = thread::Builder::new().name("console".into());
        let thread = thread.spawn(move || writer.write(sink))?;
        Ok(Writer { shared, thread })
    }

    /// Where to put bytes.
    pub fn output(&self) -> Arc<dyn Output> {
        Arc::clone(&self.shared) as Arc<dyn Output>
    }

    /// Waits until everything is written.
    pub fn finish(self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_all();
        // It has told of its panic.
        let _ = self.thread.join();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut sink: Box<dyn Write>) {
        let mut bytes = Vec::new();
        let mut state = self.lock();
        loop {
            while state.bytes.is_empty() {
                if state.ends {
                    return;
                }
                state = self.wait(state);
            }
            std::mem::swap(&mut bytes, &mut state.bytes);
            drop(state);
            self.changed.notify_all();
            // If nobody reads any more the guest goes on all the same.
            let _ = sink.write_all(&bytes).and_then(|()| sink.flush());
            bytes.clear();
            state = self.lock();
        }
    }
}

impl Output for Shared {
    fn put(&self, bytes: &[u8]) {
        let mut state = self.lock();
        while state.bytes.len() >= LIMIT && !state.ends {
            state = self.wait(state);
        }
        if !state.ends {
            // The thread waits only while there is nothing to write.
            let wakes = state.bytes.is_empty();
            state.bytes.extend_from_slice(bytes);
            drop(state);
            if wakes {
                self.changed.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic holds it").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_is_written_in_order_before_the_end() {
        let kept = Kept::default();
        let writer = Writer::start(Box::new(kept.clone())).expect("a thread");
        let output = writer.output();
        let expected: Vec<u8> = (0..LIMIT * 3).map(|n| n as u8).collect();
        for piece in expected.chunks(1000) {
            output.put(piece);
        }
        writer.finish();
        assert!(*kept.0.lock().expect("no panic holds it") == expected);
        output.put(b"too late, and nobody waits");
    }
}
