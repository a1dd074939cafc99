//! Random numbers, from the host's kernel.

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;

use super::{Broken, Buffer, Device, Served};

/// The device.
pub struct Rng;

/// As many bytes a buffer gets at most.
const LIMIT: usize = 4096;

impl Device for Rng {
    fn kind(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> &'static [u16] {
        &[64]
    }

    fn serve(&mut self, _queue: usize, buffer: &mut Buffer<'_>) -> Result<Served, Broken> {
        let mut bytes = [0; LIMIT];
        let wanted = buffer.writable().min(LIMIT);
        let had = random(&mut bytes[..wanted]);
        buffer.write(&bytes[..had])?;
        Ok(Served::Done(buffer.written()))
    }
}

/// Fills `bytes` with random ones and gives how many there were.
pub fn random(bytes: &mut [u8]) -> usize {
    // SAFETY: the kernel writes into the slice.
    let had = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    usize::try_from(had).unwrap_or(0)
}
