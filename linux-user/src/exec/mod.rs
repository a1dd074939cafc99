//! Starting programs: reading ELF files, loading them, their first stack, `execve`.

pub mod elf;
pub mod execve;
pub mod file;
pub mod load;
pub mod stack;
