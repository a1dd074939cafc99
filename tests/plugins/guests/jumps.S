# Exits with s0, which says by which way it went; a plugin may send it to `elsewhere`.
    .option norelax
    .option norvc
    .text
    .globl _start
    .type _start, @function
    .globl insn, block, memory, elsewhere, call, behind_call, fault
_start:
    li      s0, 1
    lla     t0, word
    addi    s0, s0, 1
insn:
    addi    s0, s0, 1       # 3
    j       block
block:
    addi    s0, s0, 1       # 4
memory:
    sd      s0, 0(t0)
    addi    s0, s0, 1       # 5
    li      a0, 77
    li      a7, 172         # getpid
call:
    ecall
behind_call:
    addi    s0, s0, 1       # 6
    mv      a0, s0
    li      a7, 94
    ecall

elsewhere:
    # The word says whether the store happened; a0 whether a call gave a result.
    addi    s0, s0, 100
    ld      t1, 0(t0)
    add     s0, s0, t1
    li      t2, 77
    bne     a0, t2, 1f
    addi    s0, s0, 50
1:
    mv      a0, s0
    li      a7, 94
    ecall
    .size _start, . - _start

    .data
    .balign 8
word:
    .dword  0
