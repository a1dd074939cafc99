//! Linux riscv64 user mode: ELF loading, address space, system calls, signals, threads.
