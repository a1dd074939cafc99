# Values in registers and memory, for a plugin to look at and to change before `point`. The exit
# status says what has become of a0, a1 and the instruction at `changed`; `text` is printed.
    .option norelax
    .option norvc
    .text
    .globl _start
    .type _start, @function
_start:
    li      a0, 11
    li      a1, 0x123456789abcdef0
    li      s0, -1
    li      t0, 3
    fcvt.d.w fa0, t0
    li      t1, 0x41
    csrw    fcsr, t1
    .globl point
point:
    nop
    # Whatever was written to zero is not there.
    add     s1, a0, zero
    li      a0, 1
    lla     a1, text
    li      a2, 6
    li      a7, 64
    ecall
    # Behind the call there is another block.
    .globl changed
changed:
    li      a2, 0
    add     s1, s1, a2
    mv      a0, s1
    li      a7, 94
    ecall
    .size _start, . - _start

    .section .rodata
    .globl text
text:
    .ascii "hello\n"
