//! Buffers that the guest has put into a queue.

use virtio_queue::desc::split::Descriptor;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

use crate::ram::DeviceView;

use super::Broken;

/// A buffer: some bytes to read, then some bytes to write, each in pieces.
pub struct Buffer<'a> {
    memory: &'a DeviceView,
    head: u16,
    /// What is still to be read, the next piece last.
    readable: Vec<(GuestAddress, usize)>,
    /// What is still to be written, the next piece last.
    writable: Vec<(GuestAddress, usize)>,
    written: u32,
}

impl<'a> Buffer<'a> {
    /// The next buffer of a queue.
    pub(super) fn next(
        queue: &mut Queue,
        memory: &'a DeviceView,
    ) -> Result<Option<Buffer<'a>>, Broken> {
        let mut heads = queue
            .iter(memory)
            .map_err(|_| Broken("the ring of available buffers makes no sense"))?;
        heads
            .next()
            .map(|chain| Buffer::of(chain, memory))
            .transpose()
    }

    fn of(
        mut chain: DescriptorChain<&DeviceView>,
        memory: &'a DeviceView,
    ) -> Result<Buffer<'a>, Broken> {
        let mut buffer = Buffer {
            memory,
            head: chain.head_index(),
            readable: Vec::new(),
            writable: Vec::new(),
            written: 0,
        };
        let mut last = None;
        for descriptor in chain.by_ref() {
            buffer.add(descriptor)?;
            last = Some(descriptor);
        }
        // The chain ends by itself, or because it is too long, or leads out of its table.
        if last.is_none_or(|last| last.has_next()) {
            return Err(Broken("a chain of descriptors does not end"));
        }
        buffer.readable.reverse();
        buffer.writable.reverse();
        Ok(buffer)
    }

    fn add(&mut self, descriptor: Descriptor) -> Result<(), Broken> {
        let piece = (descriptor.addr(), descriptor.len() as usize);
        if !self.memory.check_range(piece.0, piece.1) {
            return Err(Broken("a descriptor leads out of memory"));
        }
        if descriptor.is_write_only() {
            self.writable.push(piece);
        } else if self.writable.is_empty() {
            self.readable.push(piece);
        } else {
            return Err(Broken("what is to be read follows what is to be written"));
        }
        Ok(())
    }

    /// Which one it is among those of the queue.
    pub(super) fn head(&self) -> u16 {
        self.head
    }

    /// How many bytes have been written.
    pub fn written(&self) -> u32 {
        self.written
    }

    /// How many bytes are still to be read.
    pub fn readable(&self) -> usize {
        self.readable.iter().map(|piece| piece.1).sum()
    }

    /// How many bytes can still be written.
    pub fn writable(&self) -> usize {
        self.writable.iter().map(|piece| piece.1).sum()
    }

    /// Reads the next bytes into `to`, and gives how many there were.
    pub fn read(&mut self, to: &mut [u8]) -> Result<usize, Broken> {
        let memory = self.memory;
        transfer(&mut self.readable, to.len(), |at, done, len| {
            memory.read_slice(&mut to[done..done + len], at).is_ok()
        })
    }

    /// Writes `from`, and gives for how many bytes there was room.
    pub fn write(&mut self, from: &[u8]) -> Result<usize, Broken> {
        let memory = self.memory;
        let count = transfer(&mut self.writable, from.len(), |at, done, len| {
            memory.write_slice(&from[done..done + len], at).is_ok()
        })?;
        self.written += count as u32;
        Ok(count)
    }

    /// Takes the last byte that can be written away from the rest.
    pub fn split_last_byte(&mut self) -> Result<GuestAddress, Broken> {
        // The last piece is the first one here; some may be empty.
        let piece = self.writable.iter_mut().find(|piece| piece.1 > 0);
        let (start, len) = piece.ok_or(Broken("there is no room for a status"))?;
        *len -= 1;
        Ok(GuestAddress(start.0 + *len as u64))
    }

    /// Writes a byte that was split off.
    pub fn write_byte(&mut self, at: GuestAddress, value: u8) -> Result<(), Broken> {
        self.written += 1;
        let written = self.memory.write_obj(value, at);
        written.map_err(|_| Broken("a descriptor leads out of memory"))
    }
}

/// Goes through `len` bytes of the pieces: `copy(address, bytes before, bytes)`.
fn transfer(
    pieces: &mut Vec<(GuestAddress, usize)>,
    len: usize,
    mut copy: impl FnMut(GuestAddress, usize, usize) -> bool,
) -> Result<usize, Broken> {
    let mut done = 0;
    while done < len {
        let Some((at, left)) = pieces.last_mut() else {
            break;
        };
        let part = (*left).min(len - done);
        if part > 0 && !copy(*at, done, part) {
            return Err(Broken("a descriptor leads out of memory"));
        }
        done += part;
        *left -= part;
        at.0 += part as u64;
        if *left == 0 {
            pieces.pop();
        }
    }
    Ok(done)
}

/// Gives a buffer back to the guest; says whether the guest wants to be told.
pub(super) fn give_back(
    queue: &mut Queue,
    memory: &DeviceView,
    head: u16,
    written: u32,
) -> Result<bool, Broken> {
    let broken = |_| Broken("the ring of used buffers makes no sense");
    queue.add_used(memory, head, written).map_err(broken)?;
    queue.needs_notification(memory).map_err(broken)
}
