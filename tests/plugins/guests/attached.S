# Three threads that wait, work when a byte comes in, and wait again. What they execute between is
# counted by hand, function by function. No library.
#
#              vCPU 0           vCPU 1           vCPU 2
#   _start     8 + 1 + 6 = 15   0                0
#   sum        2 + 50 * 2       0                0
#   worker     0                2 + 100 * 3      2 + 200 * 3
#   tail       0                7                7
#
# vCPU 0 waits in `read`, the others for the word `gate`; then vCPU 0 in `read`, the others for `end`.

    .option norelax
    .text

    .globl _start
    .type _start, @function
_start:
    # Before: not counted.
    li      a1, 100
    jal     ra, start
    li      a1, 200
    jal     ra, start
    li      a0, 0
    lla     a1, byte
    li      a2, 1
    li      a7, 63              # read
    ecall
    # 8
    lla     a0, gate            # 2
    li      t0, 1
    sw      t0, 0(a0)
    li      a1, 1               # FUTEX_WAKE
    li      a2, 2
    li      a7, 98
    ecall
    # 1
    jal     ra, sum
    # 6
    li      a0, 0
    lla     a1, byte            # 2
    li      a2, 1
    li      a7, 63              # read
    ecall
    # Behind: not counted.
    li      a0, 0
    li      a7, 94
    ecall
    .size _start, . - _start

    .type sum, @function
sum:    # 1 + 50 * 2 + 1
    li      t0, 50
1:
    addi    t0, t0, -1
    bnez    t0, 1b
    ret
    .size sum, . - sum

# Starts a worker of a1 rounds.
    .type start, @function
start:
    mv      t5, a1
    li      a1, 0               # it needs no stack
    li      a2, 0
    li      a3, 0
    li      a4, 0
    li      a0, 0x50f00         # VM, FS, FILES, SIGHAND, THREAD, SYSVSEM
    li      a7, 220
    ecall
    beqz    a0, prepare
    ret
    .size start, . - start

    .type prepare, @function
prepare:
    lla     a0, gate
    li      a1, 0               # FUTEX_WAIT
    li      a2, 0
    li      a3, 0
    li      a7, 98
    ecall
    .size prepare, . - prepare

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
tail:   # 7
    lla     a0, end             # 2
    li      a1, 0               # FUTEX_WAIT
    li      a2, 0
    li      a3, 0
    li      a7, 98
    ecall
    li      a0, 0
    li      a7, 93
    ecall
    .size tail, . - tail

    .bss
    .balign 16
gate:
    .space 16
end:
    .space 16
byte:
    .space 16
