//! Virtio devices.
//!
//! A device has a thread, which serves its queues; a hart that notifies it only rings its bell. So a
//! disk that takes its time stops no hart, and a guest that keeps a device busy keeps only that
//! device busy.
//!
//! Rules:
//!
//! 1. Queues and the device's own state are behind one lock ([`transport`]). The device's thread holds
//!    it while it serves one buffer; a hart takes it only to set the device up. What a hart needs while
//!    the device works (which interrupts are pending, the bell) are atomics.
//! 2. A guest that breaks the rules of a queue breaks the device: it stops, says so in its status, and
//!    works again after a reset. Every buffer is checked against memory before it is used, and chains
//!    end after as many descriptors as there are in the queue.

pub mod block;
pub mod queue;
pub mod rng;
#[cfg(test)]
mod tests;
pub mod transport;

pub use queue::Buffer;
pub use transport::{Bell, Transport};

/// A guest that has broken the rules of a queue: the device stops.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the driver broke the rules: {0}")]
pub struct Broken(pub &'static str);

/// What a device does with a buffer.
pub enum Served {
    /// It is done, with this many bytes written.
    Done(u32),
    /// It cannot be used yet: the device rings its bell when it can.
    Later,
}

/// What makes a transport a certain device.
pub trait Device: Send {
    /// The number of the kind of device.
    fn kind(&self) -> u32;

    /// What it can do beyond what the transport sees to.
    fn features(&self) -> u64;

    /// How many queues it has, and how many entries each has at most: a power of two.
    fn queues(&self) -> &'static [u16];

    /// Its configuration, as far as there is one.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The guest has agreed to these of the features.
    fn negotiated(&mut self, _features: u64) {}

    /// Does what a buffer of a queue asks for.
    fn serve(&mut self, queue: usize, buffer: &mut Buffer<'_>) -> Result<Served, Broken>;
}
