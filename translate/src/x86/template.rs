//! Where instructions are put together: the bytes behind the code so far.
//!
//! An instruction is made of half a dozen pieces, and dynasm hands them over one by one. To look each
//! time for room, and to note each time how long the code is, would take longer than all the rest. So
//! there is room for a whole template before it begins, and it becomes part of the code when it is
//! complete: what the compiler sees is stores at fixed distances, most of them of constants.

use std::mem::MaybeUninit;

use dynasmrt::{AssemblyOffset, DynasmApi};

/// The most bytes that one template may have. A longer one panics, whatever its operands.
const ROOM: usize = 64;

/// What is being written behind the code.
pub struct Template<'a> {
    room: &'a mut [MaybeUninit<u8>; ROOM],
    /// So many bytes have been written.
    len: usize,
}

/// Appends to `code` what `write` writes.
#[inline(always)]
pub fn append(code: &mut Vec<u8>, write: impl FnOnce(&mut Template<'_>)) {
    if code.capacity() - code.len() < ROOM {
        grow(code);
    }
    let Some(room) = code.spare_capacity_mut().first_chunk_mut() else {
        unreachable!("room has been made");
    };
    let mut template = Template { room, len: 0 };
    write(&mut template);
    let written = template.len;
    let len = code.len() + written;
    // SAFETY: the template has written the bytes that are new.
    unsafe { code.set_len(len) };
}

#[cold]
#[inline(never)]
fn grow(code: &mut Vec<u8>) {
    code.reserve(ROOM);
}

impl Template<'_> {
    /// Appends `byte`, or nothing, without a branch.
    #[inline(always)]
    pub fn byte_if(&mut self, there: bool, byte: u8) {
        self.room[self.len].write(byte);
        self.len += usize::from(there);
    }

    /// Appends the low `len` bytes of `word`, likewise.
    #[inline(always)]
    pub fn word<const N: usize>(&mut self, word: [u8; N], len: usize) {
        self.room[self.len..][..N].copy_from_slice(&word.map(MaybeUninit::new));
        self.len += len.min(N);
    }
}

impl Extend<u8> for Template<'_> {
    #[inline(always)]
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        for byte in bytes {
            self.push(byte);
        }
    }
}

impl<'b> Extend<&'b u8> for Template<'_> {
    #[inline(always)]
    fn extend<T: IntoIterator<Item = &'b u8>>(&mut self, bytes: T) {
        self.extend(bytes.into_iter().copied());
    }
}

impl DynasmApi for Template<'_> {
    /// Within the template.
    fn offset(&self) -> AssemblyOffset {
        AssemblyOffset(self.len)
    }

    #[inline(always)]
    fn push(&mut self, byte: u8) {
        self.room[self.len].write(byte);
        self.len += 1;
    }

    #[inline(always)]
    fn push_i32(&mut self, value: i32) {
        self.word(value.to_le_bytes(), 4);
    }

    #[inline(always)]
    fn push_i64(&mut self, value: i64) {
        self.word(value.to_le_bytes(), 8);
    }

    fn align(&mut self, alignment: usize, with: u8) {
        while !self.len.is_multiple_of(alignment) {
            self.push(with);
        }
    }
}
