//! A bump allocator for what goes with the blocks of one arena.
//!
//! A block's description consists of half a dozen small pieces that are made together and freed
//! together, with all others of their arena. So they are laid out one after the other in chunks;
//! nothing is freed alone, and nothing is dropped: what needs dropping is its owner's business.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// Unit and strictest alignment of allocations.
type Word = u64;

/// Words of an ordinary chunk: 32 KiB.
const CHUNK: usize = 4096;

/// A growing heap whose allocations stay where they are until [`Bump::reset`] or drop.
#[derive(Default)]
pub struct Bump {
    /// Boxes, as pointers: a reference to a whole chunk would be one to what lies in it.
    chunks: Vec<NonNull<[MaybeUninit<Word>]>>,
    /// Words used of the last chunk.
    used: usize,
}

// SAFETY: the chunks are owned, and what lies in them is reached through `NonNull`s, whose users
// answer for it themselves.
unsafe impl Send for Bump {}

impl Bump {
    /// Moves a value in.
    pub fn place<T>(&mut self, value: T) -> NonNull<T> {
        let at = self.allocate(Layout::new::<T>()).cast::<T>();
        // SAFETY: fresh memory of T's layout.
        unsafe { at.write(value) };
        at
    }

    /// Copies a slice in.
    pub fn copy<T: Copy>(&mut self, source: &[T]) -> NonNull<[T]> {
        let at = self.allocate(Layout::for_value(source)).cast::<T>();
        // SAFETY: fresh memory of the slice's layout, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(source.as_ptr(), at.as_ptr(), source.len()) };
        NonNull::slice_from_raw_parts(at, source.len())
    }

    /// Frees everything, keeping one chunk for what comes next.
    ///
    /// # Safety
    ///
    /// Nothing that was allocated is used any more.
    pub unsafe fn reset(&mut self) {
        self.free_from(1);
        self.used = 0;
    }

    fn allocate(&mut self, layout: Layout) -> NonNull<u8> {
        assert!(layout.align() <= align_of::<Word>());
        let words = layout.size().div_ceil(size_of::<Word>());
        if words == 0 {
            return NonNull::<Word>::dangling().cast();
        }
        let chunk = match self.chunks.last() {
            Some(&last) if last.len() - self.used >= words => last,
            _ => {
                let chunk = Box::into_raw(Box::new_uninit_slice(CHUNK.max(words)));
                // SAFETY: a box is not null.
                let chunk = unsafe { NonNull::new_unchecked(chunk) };
                self.chunks.push(chunk);
                self.used = 0;
                chunk
            }
        };
        // SAFETY: the chunk has `words` more words from `used` on.
        let at = unsafe { chunk.cast::<Word>().add(self.used) };
        self.used += words;
        at.cast()
    }

    fn free_from(&mut self, keep: usize) {
        for chunk in self.chunks.drain(keep.min(self.chunks.len())..) {
            // SAFETY: made from a box by `allocate`, and forgotten with this.
            drop(unsafe { Box::from_raw(chunk.as_ptr()) });
        }
    }
}

impl Drop for Bump {
    fn drop(&mut self) {
        self.free_from(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_keep_their_values_while_others_follow() {
        let mut bump = Bump::default();
        let numbers: Vec<_> = (0..10_000_u64).map(|n| bump.place(n)).collect();
        let slices: Vec<_> = (0..250_u8).map(|n| bump.copy(&[n; 77])).collect();
        for (n, at) in numbers.iter().enumerate() {
            // SAFETY: nothing has been reset.
            assert_eq!(unsafe { *at.as_ref() }, n as u64);
        }
        for (n, at) in slices.iter().enumerate() {
            // SAFETY: as above.
            assert_eq!(unsafe { at.as_ref() }, [n as u8; 77]);
        }
    }

    #[test]
    fn a_piece_larger_than_a_chunk_fits() {
        let mut bump = Bump::default();
        let long = vec![7_u32; 100_000];
        let at = bump.copy(&long);
        // SAFETY: nothing has been reset.
        assert_eq!(unsafe { at.as_ref() }, &long[..]);
    }

    #[test]
    fn empty_slices_need_no_memory() {
        let mut bump = Bump::default();
        let at = bump.copy::<u64>(&[]);
        // SAFETY: a slice of nothing.
        assert!(unsafe { at.as_ref() }.is_empty());
        assert!(bump.chunks.is_empty());
    }

    #[test]
    fn reset_reuses_the_first_chunk() {
        let mut bump = Bump::default();
        let first = bump.place(1_u64);
        for n in 0..10_000_u64 {
            bump.place(n);
        }
        // SAFETY: none of the values is read again.
        unsafe { bump.reset() };
        assert_eq!(bump.place(2_u64), first);
    }
}
