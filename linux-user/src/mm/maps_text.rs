//! The text of `/proc/self/maps`.

use super::AddressSpace;
use super::vma::Backing;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

impl AddressSpace {
    /// What the guest is to read from `/proc/self/maps`.
    pub fn proc_maps(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (range, vma) in self.lock().vmas.iter() {
            let (offset, device, inode, name): (u64, u64, u64, &[u8]) = match &vma.backing {
                Backing::Anonymous => (0, 0, 0, b""),
                Backing::Heap => (0, 0, 0, b"[heap]"),
                Backing::Stack => (0, 0, 0, b"[stack]"),
                Backing::Vdso => (0, 0, 0, b"[vdso]"),
                Backing::Shm(_, offset) => (*offset, 0, 0, b"/SYSV00000000"),
                Backing::File(file, offset) => {
                    let name = file.path.as_os_str().as_bytes();
                    (*offset, file.device, file.inode, name)
                }
            };
            let mut line = String::new();
            // Writing to a string cannot fail.
            let _ = write!(
                line,
                "{:08x}-{:08x} {}{} {:08x} {:02x}:{:02x} {} ",
                range.start,
                range.end,
                vma.prot.letters(),
                if vma.shared { 's' } else { 'p' },
                offset,
                libc::major(device),
                libc::minor(device),
                inode,
            );
            // Names begin in one column.
            if !name.is_empty() {
                line.extend(std::iter::repeat_n(
                    ' ',
                    73_usize.saturating_sub(line.len()),
                ));
            }
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(name);
            text.push(b'\n');
        }
        text
    }
}
