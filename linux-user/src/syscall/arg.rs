//! What the arguments of a call are: enough to print them and to hand them to the host.
//!
//! The same description serves two readers. `strace` prints arguments by it, and calls that the
//! host takes as they are ([`Run::Host`](super::Run)) have their pointers rebased by it: a pointer
//! becomes a host address, and memory that the kernel will write is made ready for that first.

use crate::Args;
use crate::strace::line::Line;
use crate::strace::set::Set;

/// One argument.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A file descriptor.
    Fd,
    /// A directory descriptor, or `AT_FDCWD`.
    At,
    /// A 32-bit number.
    Int,
    /// A signed 64-bit number.
    Long,
    /// An unsigned 64-bit number.
    Size,
    /// A number that reads best in hexadecimal.
    Hex,
    /// Permission bits.
    Mode,
    /// File type and permission bits.
    FileMode,
    /// A signal.
    Signal,
    /// A number with names.
    Set(&'static Set),
    /// An address that is not followed.
    Addr,
    /// A C string that names a file.
    Path,
    /// The same, where an existing file is meant: looked up under the `-L` prefix first.
    Lookup,
    /// Another C string.
    Text,
    /// Memory that the call reads.
    In(Data),
    /// Memory that the call writes.
    Out(Data),
    /// Memory that the call reads and writes.
    InOut(Data),
    /// A number or pointer whose sense depends on the other arguments; known before the call.
    Before(Special),
    /// The same, to be printed after the call.
    After(Special),
}

impl Arg {
    /// Whether only the finished call can show it.
    pub fn is_output(&self) -> bool {
        matches!(self, Arg::Out(_) | Arg::InOut(_) | Arg::After(_))
    }
}

/// Memory behind a pointer.
#[derive(Clone, Copy, Debug)]
pub struct Data {
    /// How much.
    pub len: Len,
    /// How it is printed.
    pub show: Show,
}

/// How many bytes are behind a pointer.
#[derive(Clone, Copy, Debug)]
pub enum Len {
    /// Always as many.
    Fixed(u32),
    /// As many as that argument says.
    Arg(u8),
    /// That argument counts items of this size.
    Items(u8, u32),
    /// That argument points to a 32-bit length.
    Behind(u8),
}

/// Prints what depends on several arguments. `result` is `None` before the call and when it failed.
pub type Special = fn(line: &mut Line<'_>, value: u64, args: &Args, result: Option<u64>);

/// How memory is printed.
#[derive(Clone, Copy, Debug)]
pub enum Show {
    /// Its address is enough.
    Address,
    /// As a string; as much of an output as the result counts.
    Bytes,
    /// A NUL-terminated string inside a buffer.
    Text,
    /// One structure.
    Struct(fn(&mut Line<'_>, &[u8])),
    /// Items in brackets.
    List(&'static Layout),
    /// A 32-bit length: room before the call, length after it.
    Length,
    /// A file position that the call moves.
    Offset,
    /// It knows itself.
    Special(Special),
}

/// How one item of a kind looks, and how large it is.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bytes.
    pub size: u32,
    /// Prints `size` bytes.
    pub show: fn(&mut Line<'_>, &[u8]),
}

/// A buffer whose length is argument `len`.
pub const fn bytes(len: u8) -> Data {
    Data {
        len: Len::Arg(len),
        show: Show::Bytes,
    }
}

/// A buffer for a string; its length is argument `len`.
pub const fn text(len: u8) -> Data {
    Data {
        len: Len::Arg(len),
        show: Show::Text,
    }
}

/// One structure.
pub const fn one(layout: &Layout) -> Data {
    Data {
        len: Len::Fixed(layout.size),
        show: Show::Struct(layout.show),
    }
}

/// An array whose item count is argument `count`.
pub const fn list(layout: &'static Layout, count: u8) -> Data {
    Data {
        len: Len::Items(count, layout.size),
        show: Show::List(layout),
    }
}

/// An array of fixed length.
pub const fn array(layout: &'static Layout, count: u32) -> Data {
    Data {
        len: Len::Fixed(layout.size * count),
        show: Show::List(layout),
    }
}

/// A structure of `size` bytes of which only the address is printed.
pub const fn opaque(size: u32) -> Data {
    Data {
        len: Len::Fixed(size),
        show: Show::Address,
    }
}

/// A buffer whose length is argument `len` and of which only the address is printed.
pub const fn raw(len: u8) -> Data {
    Data {
        len: Len::Arg(len),
        show: Show::Address,
    }
}

/// Memory with its own printer.
pub const fn special(len: Len, show: Special) -> Data {
    Data {
        len,
        show: Show::Special(show),
    }
}
