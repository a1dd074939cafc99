# Three threads whose instructions are counted by hand, function by function. No library.
#
# vCPU 0 starts vCPU 1, then vCPU 2, lets them go on, and waits for their ends. Each of them works,
# waits until it is let go, so that both are there at the same time, and ends. How often anything is
# executed does not depend on time.
#
#              vCPU 0           vCPU 1           vCPU 2
#   _start     14 + 8 + 2 = 24  0                0
#   start      2 * 13 = 26      1                1
#   worker     0                2 + 100 * 3      2 + 200 * 3
#   tail       0                10               10
#   join       2 * 5 = 10       0                0
#   nowhere    3                0                0
#
# `nowhere` is no function. `_start` runs on into it, and `worker` into `tail`, so that a plain block
# begins in one and ends in the other.

    .option norelax
    .text

    .globl _start
    .type _start, @function
_start:
    # 14
    li      a1, 100
    jal     ra, start
    mv      s0, a0
    li      a1, 200
    jal     ra, start
    mv      s1, a0
    lla     a0, gate            # 2
    li      t0, 1
    sw      t0, 0(a0)
    li      a1, 1               # FUTEX_WAKE
    li      a2, 2
    li      a7, 98
    ecall
    # 8
    lla     a0, ids + 100       # 2
    mv      a2, s0
    jal     ra, join
    lla     a0, ids + 200       # 2
    mv      a2, s1
    jal     ra, join
    # 2
    nop
    nop
    .size _start, . - _start

nowhere: # 3
    li      a0, 0
    li      a7, 94
    ecall

# Starts a worker of a1 rounds, whose id is a1 bytes into `ids`. Gives the id.
    .type start, @function
start:  # 11 + 2
    mv      t5, a1
    lla     t3, ids             # 2
    add     a2, t3, a1
    mv      a4, a2
    li      a1, 0               # it needs no stack
    li      a3, 0
    # VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID
    li      a0, 0x350f00        # 2
    li      a7, 220
    ecall
    beqz    a0, worker
    ret
    .size start, . - start

# Works for t5 rounds.
    .type worker, @function
worker: # 2 + t5 * 3
    mv      t0, t5
1:
    addi    t0, t0, -1
    nop
    bnez    t0, 1b
    nop
    .size worker, . - worker

    .type tail, @function
tail:   # 10
    lla     a0, gate            # 2
    li      a1, 0               # FUTEX_WAIT
    li      a2, 0
    li      a3, 0
    li      a7, 98
    ecall                       # returns at once if the gate is open
    li      a0, 0
    li      a7, 93
    ecall
    .size tail, . - tail

# Waits until the word at a0 is not a2 any more: the id of a thread, cleared at its end.
    .type join, @function
join:   # 5
    li      a1, 0               # FUTEX_WAIT
    li      a3, 0
    li      a7, 98
    ecall
    ret
    .size join, . - join

    .bss
    .balign 16
ids:
    .space 256
gate:
    .space 16
